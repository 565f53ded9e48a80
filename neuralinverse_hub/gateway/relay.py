"""The way of one request through its route: wait for a turn, ask, and go on to the next way until one answers.

The one retry loop of the gateway. Guarantees, each with a test:
- nothing is tried again once the first byte of an answer went to the client;
- whoever leaves takes the upstream's request, and the place in the queue, with them;
- a busy upstream (429) makes a request wait or spill over, and never fail;
- a request fails only when every way is broken, and then the error names each cause.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Final

from neuralinverse_hub.gateway.answers import Answer
from neuralinverse_hub.gateway.asks import Ask
from neuralinverse_hub.gateway.balance import SPILL_S, choose
from neuralinverse_hub.gateway.errors import UpstreamRefused, UpstreamsFailed
from neuralinverse_hub.gateway.failures import Failure
from neuralinverse_hub.gateway.gate import Gate, Turn
from neuralinverse_hub.gateway.hedge import race
from neuralinverse_hub.gateway.meter import Usage, estimate_tokens, usage_from
from neuralinverse_hub.gateway.router import Deployment, Route, Way
from neuralinverse_hub.gateway.stream import AnswerStream, StreamError, normalise_answer
from neuralinverse_hub.gateway.turns import Ticket, cost
from neuralinverse_hub.gateway.upstreams import Failed, Reply, UpstreamClient

__all__ = ["Journey", "Relay"]

ROUNDS: Final = 3
"""How often all ways are gone through before a request fails."""
BACKOFF_S: Final = 0.25
"""Pause before the second round, doubled for the third, each with jitter."""
USUAL_ANSWER: Final = 500
"""Output tokens a request is counted as while it is not known: corrected when it is over."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Journey:
    """Where a request is on its way; who waits may look at it."""

    turn: Turn | None = None
    way: Way | None = None
    """The way that was asked last; None while none was."""
    retries: int = 0
    working: bool = False
    """Whether that one works on it, which is billed also when nobody waits for the answer any more. A failure is not."""
    lost: Way | None = None
    """A way that was asked beside the last one, and was slower: it worked all the same."""

    def place(self) -> tuple[int, float] | None:
        """``(how many go before, about how many seconds)`` while it waits for its turn; else None."""
        if self.turn is None or not self.turn.waits:
            return None
        return self.turn.place()


def _slower(journey: Journey) -> Way | None:
    return journey.way if journey.working else None


class _Condition:
    """What a gate says of its deployment when it is asked: see `balance.Condition`."""

    __slots__ = ("_gate", "_way")

    def __init__(self, gate: Gate, way: Way) -> None:
        self._gate = gate
        self._way = way

    @property
    def allowed(self) -> bool:
        return self._gate.breaker.allows(self._gate.clock())

    @property
    def free(self) -> bool:
        return self._gate.free()

    @property
    def wait_s(self) -> float:
        return self._gate.wait_s(len(self._gate.queue))

    @property
    def load(self) -> float:
        return (self._gate.in_flight + 1) / max(self._way.deployment.weight, 1)


class Relay:
    """Sends asks along their routes, through one gate per deployment."""

    def __init__(
        self,
        client: UpstreamClient,
        tried: Callable[[Deployment, str], None] | None = None,
        hedge_s: float = 0.0,
    ) -> None:
        self._client = client
        self._tried = tried or (lambda row, outcome: None)
        self._hedge_s = hedge_s
        """Seconds without a first word after which a second deployment is asked too; 0: never."""
        self.gates: dict[str, Gate] = {}
        self.weights: dict[str, float] = {}
        """People whose weight in every queue is below 1: see `FairQueue`."""

    def gate(self, row: Deployment) -> Gate:
        """The gate of a deployment: one queue and one health, whatever it serves."""
        gate = self.gates.get(row.name)
        if gate is None:
            gate = self.gates[row.name] = Gate(row.name, at_once=row.at_once, weights=self.weights)
        return gate

    def keep(self, names: Iterable[str]) -> None:
        """Forget the gates of deployments that are gone and at rest."""
        wanted = set(names)
        for name in [name for name, gate in self.gates.items() if name not in wanted]:
            if not self.gates[name].in_flight and not self.gates[name].queue:
                self.gates.pop(name).close()

    def close(self) -> None:
        """Forget all gates."""
        for gate in self.gates.values():
            gate.close()

    def answer(
        self, ask: Ask, route: Route, person: str, headers: dict[str, str], journey: Journey | None = None
    ) -> Coroutine[Any, Any, Answer]:
        """The first answer that begins along ``route``. Raises `UpstreamRefused` or `UpstreamsFailed`."""
        journey = journey or Journey()
        if not self._hedge_s or len(route.ways) < 2:
            return self._pursue(ask, route, person, headers, journey)
        return self._race(ask, route, person, headers, journey)

    async def _race(self, ask: Ask, route: Route, person: str, headers: dict[str, str], journey: Journey) -> Answer:
        """The answer that begins first: along ``route``, or of a second deployment that is asked when that takes long."""
        beside = Journey()

        def second() -> Coroutine[Any, Any, Answer] | None:
            # Who still waits for a turn is helped by spilling over, and a second place in a queue would be taken from others.
            if journey.way is None or journey.place() is not None:
                return None
            asked = journey.way.deployment.name
            for way in route.ways:
                state = self._condition(way)
                if way.deployment.name != asked and state.allowed and state.free:
                    return self._pursue(ask, route._replace(ways=(way,)), person, headers, beside, rounds=1)
            return None

        try:
            answer = await race(self._pursue(ask, route, person, headers, journey), second, self._hedge_s, Answer.close)
        except asyncio.CancelledError:
            journey.lost = _slower(beside)
            raise
        journey.lost = _slower(journey if answer.way is beside.way else beside)
        journey.way = answer.way
        return answer

    async def _pursue(
        self, ask: Ask, route: Route, person: str, headers: dict[str, str], journey: Journey, rounds: int = ROUNDS
    ) -> Answer:
        """The first answer that begins along ``route``, one way after the other."""
        causes: dict[str, str] = {}
        hopeless: set[str] = set()
        refusal: UpstreamRefused | None = None
        for round_ in range(rounds):
            if round_:
                await asyncio.sleep(BACKOFF_S * 2 ** (round_ - 1) * (1 + random.random()))
            left = [way for way in route.ways if way.deployment.name not in hopeless]
            while left:
                way, turn = await self._turn(ask, left, person, journey)
                if turn is None:
                    break
                try:
                    return await self._try(ask, way, turn, headers, journey, patient=len(left) == 1)
                except Failed as error:
                    failure = error.failure
                except BaseException:
                    turn.leave()
                    raise
                turn.leave()
                if failure.kind == "busy":
                    continue
                if failure.kind == "refused" and failure.refusal is not None:
                    raise failure.refusal
                journey.retries += 1
                refusal = refusal or failure.refusal
                causes[way.deployment.name] = failure.cause
                left = [other for other in left if other.deployment.name != way.deployment.name]
                if failure.kind != "broken":
                    hopeless.add(way.deployment.name)
        if refusal is not None:
            raise refusal
        raise UpstreamsFailed(self._sentence(route, causes))

    async def _turn(self, ask: Ask, ways: list[Way], person: str, journey: Journey) -> tuple[Way, Turn | None]:
        """A way that may be asked now, and the turn at its gate; no turn when the health of none allows one."""
        likely = cost(ask.prompt_tokens, min(ask.answer_tokens or USUAL_ANSWER, USUAL_ANSWER) * ask.choices)
        while True:
            way = choose(ways, self._condition)
            if way is None:
                return ways[0], None
            turn = self.gate(way.deployment).ask(Ticket(person, likely, interactive=not ask.batch))
            journey.turn = turn
            while turn.waits and not await self._turned(turn, patient=len(ways) == 1):
                if choose(ways, self._condition) is not way:
                    break
            if not turn.waits and self._allowed(way, turn):
                return way, turn
            turn.leave()

    async def _turned(self, turn: Turn, *, patient: bool) -> bool:
        """Wait until it is the turn's turn; False when another way should be looked for meanwhile."""
        if not turn.waits:
            return True
        try:
            async with asyncio.timeout(None if patient else SPILL_S):
                await turn.come()
        except TimeoutError:
            return not turn.waits
        except BaseException:
            turn.leave()
            raise
        return True

    def _allowed(self, way: Way, turn: Turn) -> bool:
        # Its own try is what keeps a breaker from letting others through.
        breaker = self.gate(way.deployment).breaker
        return breaker.state(turn.sent_at) != "open"

    def _condition(self, way: Way) -> _Condition:
        return _Condition(self.gate(way.deployment), way)

    async def _try(
        self, ask: Ask, way: Way, turn: Turn, headers: dict[str, str], journey: Journey, *, patient: bool
    ) -> Answer:
        """One answer of one deployment, waiting as long as it is only busy. The turn goes on with the answer."""
        row = way.deployment
        body = ask.upstream_body(row.deployment)
        journey.way = way
        while True:
            try:
                journey.working = True
                reply = await self._client.post(row, ask.api, body, headers)
                break
            except Failed as error:
                journey.working = False
                failure = error.failure
                self._tried(row, failure.kind)
                if failure.kind != "busy":
                    if failure.kind in ("broken", "misconfigured"):
                        turn.failed(
                            failure.cause, for_good=failure.kind == "misconfigured", wait_s=failure.retry_after_s
                        )
                    raise
                journey.retries += 1
                turn.refused(failure.retry_after_s)
                # With another way to go, a long pause here is its chance; else the upstream's word is waited for.
                wait_s = turn.place()[1]
                if not patient and wait_s > SPILL_S:
                    raise
                if not await self._turned(turn, patient=patient) or not self._allowed(way, turn):
                    raise
        try:
            answer = await self._read(ask, way, turn, reply)
        except (Failed, StreamError) as error:
            journey.working = False
            reply.close()
            failure = error.failure if isinstance(error, Failed) else Failure("broken", str(error))
            self._tried(row, failure.kind)
            turn.failed(failure.cause)
            raise Failed(failure) from error
        except BaseException:
            reply.close()
            raise
        answer.retries = journey.retries
        self._tried(row, "answered")
        return answer

    async def _read(self, ask: Ask, way: Way, turn: Turn, reply: Reply) -> Answer:
        if ask.stream and reply.streams:
            return await self._begin(ask, way, turn, reply)
        body, whole = await reply.json()
        listed = "data" if ask.api == "embeddings" else "choices"
        if not isinstance(whole, dict) or not isinstance(whole.get(listed), list):
            raise Failed(Failure("broken", "answered with something that is no answer"))
        try:
            changed = normalise_answer(whole, label=way.deployment.label)
        except (AttributeError, TypeError) as error:
            raise Failed(Failure("broken", "answered with something that is no answer")) from error
        turn.answered(remaining=reply.remaining)
        usage = usage_from(whole.get("usage"))
        if usage is None:
            said = "" if listed == "data" else json.dumps(whole["choices"])
            usage = Usage(ask.prompt_tokens, estimate_tokens(said) if said else 0, exact=False)
        answer = Answer(way, turn, whole=whole, body=None if changed else body, usage=usage, complete=True)
        # All of it is here: the next one need not wait until the client has read it.
        answer.close()
        return answer

    async def _begin(self, ask: Ask, way: Way, turn: Turn, reply: Reply) -> Answer:
        stream = AnswerStream(
            label=way.deployment.label,
            wants_usage=ask.wants_usage,
            choices=ask.choices,
            thinks=ask.api == "chat/completions",
        )
        first = b""
        while not first and (piece := await reply.next()):
            first = stream.feed(piece)
        if not first:
            first = stream.end()
            if not stream.events:
                raise StreamError("answered with an empty stream")
        turn.answered(remaining=reply.remaining)
        return Answer(way, turn, stream=stream, reply=reply, first=first, prompt_tokens=ask.prompt_tokens)

    def _sentence(self, route: Route, causes: dict[str, str]) -> str:
        parts = []
        for way in route.ways:
            name = way.deployment.name
            breaker = self.gate(way.deployment).breaker
            pause = breaker.opens_in(self.gate(way.deployment).clock())
            cause = causes.get(name) or breaker.cause or "was not asked"
            parts.append(f"{name} {cause}" + (f", asked again in {pause:.0f} s" if pause >= 1 else ""))
        return f"no model could answer: {'; '.join(parts)}. Try again in a moment"
