"""Whose turn is it, and how many at once. Pure: no clock of its own, no tasks, no I/O.

A fair queue after the Virtual Token Counter (Sheng et al., "Fairness in Serving Large Language Models",
arXiv 2401.00588): every person has a counter of the tokens served to them, and of those who wait, the one with the
lowest is next. Guarantees, each with a property test:

- work-conserving: `FairQueue.next` gives a ticket whenever one waits;
- no starvation: a waiting ticket goes after a bounded number of others, however many more keep coming;
- bounded unfairness: while two people both wait, what each was served differs by no more than the largest request of
  theirs, and what the one of them had under way when the other came;
- nobody saves up: whoever comes back after a pause starts level with those who wait;
- wrong estimates even out: only what a request really cost stays on a counter;
- a person's weight is their share of a contended deployment beside others', and nothing without contention: whoever
  is served while nobody else waits is charged alike at any weight;
- nobody is refused: there is no call that says no.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

__all__ = ["Aimd", "FairQueue", "Ticket", "cost", "weights_from"]

OUTPUT_WEIGHT: Final = 4
"""An output token keeps an upstream busy about as long as this many input tokens."""
BATCH_EVERY: Final = 8
"""While both wait, one of this many turns goes to batch work, so that it is late and never stuck."""
MANY_WAITING: Final = 64
"""With more requests of one person waiting than this, their turns count double while others wait too."""
REMEMBERED: Final = 10_000
"""People whose counters are kept while they are away. Those forgotten start level, like everybody new."""
LEAST_WEIGHT: Final = 0.01
"""No weight counts as less than this, so that a lowered person's turn comes within a bounded number of others'."""


def cost(input_tokens: int, output_tokens: int) -> float:
    """What a request counts on its person's counter: input tokens, and output tokens by their weight."""
    return float(input_tokens + OUTPUT_WEIGHT * output_tokens)


def weights_from(given: Mapping[str, object]) -> tuple[dict[str, float], list[str]]:
    """``(weights that count, people whose weight does not)``. A weight is a number above 0 and up to 1; 1 is everybody's."""
    weights: dict[str, float] = {}
    wrong: list[str] = []
    for person, weight in given.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight <= 1:
            wrong.append(person)
        elif weight < 1:
            weights[person] = max(float(weight), LEAST_WEIGHT)
    return weights, wrong


@dataclass(slots=True, eq=False)
class Ticket:
    """One request that wants a turn. ``cost`` is an estimate until it is settled."""

    person: str
    cost: float
    interactive: bool = True
    charged: float = 0.0


class FairQueue:
    """The people who wait for one deployment, and the order of their turns.

    ``weights`` is looked into at every turn; who is not in it has weight 1.
    """

    def __init__(self, weights: Mapping[str, float] = MappingProxyType({})) -> None:
        self._weights = weights
        self._lanes: dict[bool, dict[str, deque[Ticket]]] = {True: {}, False: {}}
        self._counters: dict[str, float] = {}
        """What each person was served, with estimates for what is under way: whose is lowest is next."""
        self._settled: dict[str, float] = {}
        """The same without what is under way. Newcomers start level with this: an estimate of others may be far off."""
        self._level = 0.0
        self._since_batch = 0
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def people(self) -> int:
        """How many different people wait."""
        return len(self._lanes[True].keys() | self._lanes[False].keys())

    def waiting_of(self, person: str) -> int:
        """How many requests of a person wait."""
        return sum(len(lane.get(person, ())) for lane in self._lanes.values())

    def add(self, ticket: Ticket) -> None:
        """Let a ticket wait behind the others of its person."""
        if not self.waiting_of(ticket.person):
            self._lift(ticket.person)
        self._lanes[ticket.interactive].setdefault(ticket.person, deque()).append(ticket)
        self._waiting += 1

    def admit(self, ticket: Ticket) -> None:
        """A turn at once while nobody waits: what `add` and `next` come to then, for less."""
        assert not self._waiting, "whoever waits goes first"
        self._lift(ticket.person)
        self._level = max(self._level, self._settled[ticket.person])
        ticket.charged = ticket.cost
        self._counters[ticket.person] += ticket.cost

    def next(self) -> Ticket | None:
        """Take out the ticket whose turn it is and charge its person; None when nobody waits."""
        lane = self._lane()
        if lane is None:
            return None
        person = min(lane, key=self._counters.__getitem__)
        self._level = max(self._level, self._settled[person])
        ticket = lane[person].popleft()
        if not lane[person]:
            del lane[person]
        self._waiting -= 1
        ticket.charged = ticket.cost * self._factor(person)
        self._counters[person] += ticket.charged
        return ticket

    def settle(self, ticket: Ticket, actual: float) -> None:
        """Replace what was charged by what it really cost."""
        factor = ticket.charged / ticket.cost if ticket.cost else 1.0
        if ticket.person in self._counters:
            self._counters[ticket.person] += actual * factor - ticket.charged
            self._settled[ticket.person] += actual * factor
        ticket.charged = actual * factor

    def put_back(self, ticket: Ticket) -> None:
        """Undo a turn that came to nothing: the ticket is first in its person's line again, and not charged."""
        self.settle(ticket, 0.0)
        if ticket.person not in self._counters:
            self._lift(ticket.person)
        self._lanes[ticket.interactive].setdefault(ticket.person, deque()).appendleft(ticket)
        self._waiting += 1

    def withdraw(self, ticket: Ticket) -> bool:
        """Take a waiting ticket out for good; False when it was not waiting."""
        lane = self._lanes[ticket.interactive]
        line = lane.get(ticket.person)
        if line is None or ticket not in line:
            return False
        line.remove(ticket)
        if not line:
            del lane[ticket.person]
        self._waiting -= 1
        return True

    def before(self, ticket: Ticket) -> int:
        """About how many turns come before this waiting ticket's: 0 is next."""
        lane = self._lanes[ticket.interactive]
        line = lane.get(ticket.person)
        if line is None:
            return 0
        # When its turn comes, its person's counter stands here; others go first as often as they stay below it.
        place = line.index(ticket)
        mark = self._counters[ticket.person] + sum(each.cost for each in list(line)[:place]) * self._factor(
            ticket.person
        )
        ahead = place
        for person, others in lane.items():
            if person == ticket.person:
                continue
            counter = self._counters[person]
            for other in others:
                if counter > mark:
                    break
                ahead += 1
                counter += other.cost * self._factor(person)
        if not ticket.interactive:
            ahead += min(sum(map(len, self._lanes[True].values())), (ahead + 1) * BATCH_EVERY)
        return ahead

    def _factor(self, person: str) -> float:
        """How many times a turn of theirs counts now: once at least, and once when nobody else waits."""
        own = self.waiting_of(person)
        if own == self._waiting:
            return 1.0
        return (2.0 if own > MANY_WAITING else 1.0) / self._weights.get(person, 1.0)

    def _lane(self) -> dict[str, deque[Ticket]] | None:
        interactive, batch = self._lanes[True], self._lanes[False]
        if interactive and batch:
            self._since_batch = (self._since_batch + 1) % BATCH_EVERY
            return batch if self._since_batch == 0 else interactive
        return interactive or batch or None

    def _lift(self, person: str) -> None:
        """Start level with those who wait, or with who was next last: neither credit saved up nor debt forgiven."""
        level = self._level
        if self._waiting:
            level = min(map(self._settled.__getitem__, self._lanes[True].keys() | self._lanes[False].keys()))
        missing = level - self._settled.setdefault(person, 0.0)
        if missing > 0:
            self._settled[person] += missing
        self._counters[person] = self._counters.get(person, 0.0) + max(missing, 0.0)
        if len(self._settled) > REMEMBERED:
            self._forget()

    def _forget(self) -> None:
        """Forget those who are away and at or below the level: they would be lifted to it anyway."""
        for name in [name for name, settled in self._settled.items() if settled <= self._level]:
            if not self.waiting_of(name) and self._counters[name] <= self._settled[name]:
                del self._settled[name], self._counters[name]


class Aimd:
    """How many requests a deployment takes at once, found by trying (additive increase, multiplicative decrease).

    Until the first refusal the limit grows by one with every answer. A refusal says how many others were taken at that
    moment: the limit falls below that and comes back to it within about one round of answers. From there it tries more,
    by ``1 / PATIENCE`` in the first round and so much more in each further one: slowly where it was refused, faster the
    longer nothing is. ``most`` is a bound known beforehand.
    """

    CUT: Final = 0.9
    PATIENCE: Final = 20

    def __init__(self, *, start: float = 16.0, most: float = 2048.0) -> None:
        self.most = most
        self.limit = min(start, most)
        self._known = most
        self._searching = True
        self._rounds = 0.0
        self._cut_at = float("-inf")

    def answered(self, in_flight: int, *, remaining: int | None = None) -> None:
        """An answer came while ``in_flight`` were under way; ``remaining`` is what a rate-limit header said is left.

        A limit that was not used up says nothing, nor does one whose headers say that little is left.
        """
        if in_flight + 1 < self.limit or (remaining is not None and 0 < remaining < in_flight):
            return
        if self._searching:
            step = 1.0
        elif self.limit < self._known:
            step = 1.0 / self.limit
        else:
            self._rounds += 1.0 / self.limit
            step = (1 + int(self._rounds)) / (self.limit * self.PATIENCE)
        self.limit = min(self.limit + step, self.most)

    def refused(self, *, sent_at: float, now: float, others: int) -> None:
        """The upstream said that it is too much (429) while ``others`` were under way. Times in seconds of one clock."""
        self._searching = False
        self._rounds = 0.0
        if sent_at > self._cut_at:
            self._known = max(1.0, min(self.limit, float(others)))
            self.limit = max(1.0, self._known * self.CUT)
            self._cut_at = now
        else:
            # Of the same volley: no second cut, but now it is clearer how many of it were taken.
            self._known = max(1.0, min(self._known, float(others)))
            self.limit = min(self.limit, self._known)

    def takes(self, in_flight: int) -> bool:
        """Whether one more may be sent."""
        return in_flight < max(1, int(self.limit))
