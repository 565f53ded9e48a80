"""The door of one deployment: its fair queue, its limit and its health, with tasks that wait. Thin around pure parts."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from neuralinverse_hub.gateway.health import Breaker
from neuralinverse_hub.gateway.turns import MANY_WAITING, Aimd, FairQueue, Ticket

__all__ = ["Gate", "Turn"]

BUSY_PAUSE_S: Final = 1.0
"""How long a deployment rests after a 429 that does not say."""

log = logging.getLogger(__name__)


class Turn:
    """One request's stay at a gate: waiting, then in, then out exactly once."""

    __slots__ = ("_gate", "_state", "_turned", "sent_at", "ticket")

    def __init__(self, gate: Gate, ticket: Ticket, now: float) -> None:
        self._gate = gate
        self._state = "waiting"
        self.ticket = ticket
        self.sent_at = now
        self._turned: asyncio.Future[None] | None = None

    @property
    def waits(self) -> bool:
        """Whether it is not its turn yet."""
        return self._state == "waiting"

    async def come(self) -> None:
        """Wait until it is its turn."""
        while self.waits:
            if self._turned is None or self._turned.done():
                self._turned = self._gate.loop.create_future()
            await self._turned

    def place(self) -> tuple[int, float]:
        """``(how many go before, about how many seconds that takes)``."""
        if self._state != "waiting":
            return 0, 0.0
        before = self._gate.queue.before(self.ticket)
        return before, self._gate.wait_s(before)

    def answered(self, *, remaining: int | None = None) -> None:
        """The upstream began to answer."""
        self._gate.breaker.succeeded()
        self._gate.limit.answered(self._gate.in_flight, remaining=remaining)
        # A stream may go on for minutes: who waits comes in as soon as there is more room, not when one has ended.
        self._gate.pump()

    def settle(self, actual_cost: float) -> None:
        """It is over: the place is free and the person is charged what it cost."""
        self._leave(actual_cost)
        self._gate.took(time.monotonic() - self.sent_at)

    def failed(self, cause: str, *, for_good: bool = False, wait_s: float | None = None) -> None:
        """The upstream did not answer, or stopped; costs nothing."""
        self._gate.breaker.failed(self._gate.clock(), cause, for_good=for_good, wait_s=wait_s)
        self._leave(0.0)

    def broke(self, cause: str) -> None:
        """The answer broke off after it had begun: bad for the deployment's health; the turn still has to be settled."""
        self._gate.breaker.failed(self._gate.clock(), cause)

    def refused(self, wait_s: float | None) -> None:
        """The upstream is busy: everybody waits a little, and this request is first in its person's line again."""
        gate = self._gate
        gate.limit.refused(sent_at=self.sent_at, now=gate.clock(), others=gate.in_flight - 1)
        gate.rest(BUSY_PAUSE_S if wait_s is None else wait_s)
        gate.breaker.left()
        self._state = "waiting"
        gate.waiters[self.ticket] = self
        gate.in_flight -= 1
        gate.queue.put_back(self.ticket)
        gate.pump()

    def leave(self) -> None:
        """Give up waiting, or give the turn back unused. Harmless when it is over already."""
        if self._state == "waiting":
            self._state = "out"
            self._gate.waiters.pop(self.ticket, None)
            self._gate.queue.withdraw(self.ticket)
        elif self._state == "in":
            self._gate.breaker.left()
            self._leave(0.0)

    def enter(self) -> None:
        """The turn came."""
        self._state = "in"
        self.sent_at = self._gate.clock()
        self._gate.breaker.sent(self.sent_at)
        if self._turned is not None and not self._turned.done():
            self._turned.set_result(None)

    def _leave(self, cost: float) -> None:
        if self._state == "in":
            self._state = "out"
            self._gate.in_flight -= 1
            self._gate.queue.settle(self.ticket, cost)
            self._gate.pump()


class Gate:
    """The door of one deployment. ``at_once`` bounds its limit when that is known; ``weights`` are the fair queue's."""

    def __init__(
        self,
        name: str,
        *,
        at_once: int | None = None,
        weights: Mapping[str, float] = MappingProxyType({}),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.clock = clock
        self.loop = asyncio.get_running_loop()
        self.queue = FairQueue(weights)
        self.limit = Aimd() if at_once is None else Aimd(start=at_once, most=at_once)
        self.breaker = Breaker()
        self.in_flight = 0
        self.waiters: dict[Ticket, Turn] = {}
        self._rests_until = 0.0
        self._alarm: asyncio.TimerHandle | None = None
        self._usual_s = 1.0

    def ask(self, ticket: Ticket) -> Turn:
        """A turn for ``ticket``, which comes at once when there is room; else await its `Turn.come`."""
        turn = Turn(self, ticket, self.clock())
        if self.free():
            self.queue.admit(ticket)
            self.in_flight += 1
            turn.enter()
            return turn
        self.waiters[ticket] = turn
        self.queue.add(ticket)
        self.pump()
        if self.queue.waiting_of(ticket.person) == MANY_WAITING + 1:
            log.warning(
                "%s has more than %d requests waiting for %s; their turns count double until fewer wait",
                ticket.person,
                MANY_WAITING,
                self.name,
            )
        return turn

    def free(self) -> bool:
        """Whether a new request would be sent at once."""
        return not self.queue and self.limit.takes(self.in_flight) and self.clock() >= self._rests_until

    def wait_s(self, before: int) -> float:
        """About how many seconds until it is the turn of someone with ``before`` others before them."""
        rest = max(0.0, self._rests_until - self.clock())
        return rest + (before + 1) * self._usual_s / max(1.0, self.limit.limit)

    def rest(self, seconds: float) -> None:
        """Send nothing for this long."""
        self._rests_until = max(self._rests_until, self.clock() + seconds)

    def took(self, seconds: float) -> None:
        """Take note of how long an answer took, for `wait_s`."""
        self._usual_s += 0.1 * (seconds - self._usual_s)

    def pump(self) -> None:
        """Let in whoever is next, as many as there is room for."""
        if not self.queue:
            return
        now = self.clock()
        if now < self._rests_until:
            if self._alarm is None:
                self._alarm = self.loop.call_later(self._rests_until - now, self._wake)
            return
        while self.queue and self.limit.takes(self.in_flight):
            ticket = self.queue.next()
            if ticket is None:
                return
            turn = self.waiters.pop(ticket)
            self.in_flight += 1
            turn.enter()

    def close(self) -> None:
        """Forget the alarm."""
        if self._alarm is not None:
            self._alarm.cancel()

    def _wake(self) -> None:
        self._alarm = None
        self.pump()
