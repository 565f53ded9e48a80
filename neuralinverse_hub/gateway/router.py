"""Which ways can answer a request, best first. Pure: a table of rows in, a route out; knows no health and no queue.

A way is a model on a deployment. Guarantees, each with a test:
- a request that needs a capability, or a window, never gets a way without it;
- a retired model's ways begin with its successor's;
- a wrong guess of ``auto`` still has the general model's ways behind it;
- the stand-ins of a fresh machine (Ollama, the demo model) never answer where an operator named an upstream;
- what has to stay in a place never gets a way out of it (see `places`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from neuralinverse_hub.gateway.errors import Incapable, NoUpstream, PromptTooLong, UnknownModel
from neuralinverse_hub.gateway.places import Place
from neuralinverse_hub.gateway.tasks import TASKS, Decision, Task

__all__ = ["AUTO", "Deployment", "Model", "Need", "Price", "Route", "Table", "Upstream", "Way", "route"]

AUTO: Final = "auto"

Need = Literal["chat", "tools", "vision", "json", "choices", "completions", "embeddings"]
"""What a request can need of a model. ``choices`` is ``n > 1``; ``completions`` the older inline-completion call."""

_NEED_IN_WORDS: Final[Mapping[Need, str]] = {
    "chat": "conversations",
    "tools": "tool calls",
    "vision": "images",
    "json": "JSON mode",
    "choices": "more than one choice (n > 1)",
    "completions": "plain completions",
    "embeddings": "embeddings",
}


@dataclass(frozen=True, slots=True)
class Price:
    """USD per million tokens, valid from a date on. ``cached`` is None when cached input costs what input costs."""

    since: date
    input: Decimal
    output: Decimal
    cached: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """A logical model: the name people use, which outlives the models behind it."""

    name: str
    title: str
    window: int
    """Tokens of prompt and answer together."""
    can: frozenset[Need]
    prices: tuple[Price, ...] = ()
    retires: date | None = None
    successor: str | None = None


@dataclass(frozen=True, slots=True)
class Upstream:
    """One server that answers: where it is and how it wants to be asked. The key never shows in a repr."""

    name: str
    kind: Literal["azure", "openai", "local"]
    url: str
    """Base URL, ending in a slash; ``chat/completions`` is put behind it."""
    key: str | None = field(default=None, repr=False)
    key_header: Literal["api-key", "Authorization"] = "Authorization"
    entra: bool = False
    """Asked with a token of Entra ID instead of a key."""
    query: str = ""
    """Put behind every address: the api-version that older Azure endpoints want."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """A model on an upstream: one row, one queue, one health."""

    name: str
    upstream: Upstream
    deployment: str
    """What the upstream calls it: sent as ``model``."""
    models: frozenset[str]
    """Logical models it serves."""
    stand_in: bool = False
    """It serves these models in their place, as another one: it has neither their price nor their window."""
    label: str | None = None
    """Real name to show; None shows what the upstream itself says."""
    window: int | None = None
    can: frozenset[Need] | None = None
    prices: tuple[Price, ...] = ()
    rank: int = 0
    """Lower is asked first; the next rank only when this one cannot answer."""
    at_once: int | None = None
    """Requests it works on at the same time, when that is known; None: found by trying."""
    weight: int = 1
    """Share of the requests among deployments of one rank, model and region."""
    region: str = ""
    """Where it is; see `Place.distance`."""
    residency: str = ""
    """Tag of where what is sent to it stays: ``eu``. Empty: nobody promises anything."""

    def window_for(self, model: Model) -> int:
        """Tokens of prompt and answer together that this deployment takes when it serves ``model``."""
        return self.window if self.window is not None else model.window

    def can_for(self, model: Model) -> frozenset[Need]:
        """What it can do when it serves ``model``."""
        return self.can if self.can is not None else model.can

    def prices_for(self, model: Model) -> tuple[Price, ...]:
        """Its prices; a stand-in has none of the model's."""
        return self.prices or (() if self.stand_in else model.prices)


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """All rows; equal to itself only, so that what follows from it can be kept. ``advice`` is the sentence for a person when there is no deployment at all."""

    tasks: Mapping[Task, tuple[str, ...]]
    models: Mapping[str, Model]
    deployments: tuple[Deployment, ...] = ()
    advice: str = "configure an upstream for the AI gateway"
    place: Place = field(default_factory=Place)

    def names(self) -> list[str]:
        """Everything that may stand in ``model``, tasks first."""
        return [AUTO, *TASKS, *self.models, *(row.name for row in self.deployments if row.name not in self.models)]


@dataclass(frozen=True, slots=True)
class Way:
    """One way to answer: the logical model and the deployment that serves it."""

    model: Model
    deployment: Deployment
    distance: int = 0
    """How far away its region is; 0 is here."""


class Route(NamedTuple):
    """Where a request may go, best first, and why."""

    task: Task
    reason: str
    ways: tuple[Way, ...]
    notes: tuple[str, ...] = ()
    """What the person and the operator should know: ``deepseek-r1 retired on 2026-08-13, served by …``."""


def route(
    table: Table,
    *,
    model: str,
    decide: Callable[[], Decision],
    needs: frozenset[Need],
    prompt_tokens: int,
    answer_tokens: int,
    today: date,
    person: str = "",
) -> Route:
    """The route of a request for ``model`` (task, logical model or deployment name).

    ``decide`` is called for ``auto`` only. Tokens are estimates; an answer limit that fits nowhere is left to the
    upstream to cut. ``person`` is who asks: what has to stay somewhere may be theirs alone. Raises `UnknownModel`,
    `NoUpstream`, `Incapable` or `PromptTooLong`.
    """
    task, reason, chain, pinned = _chain(table, model, decide)
    if not table.deployments:
        raise NoUpstream(f"no AI model is connected: {table.advice}")
    found = _capable(table, model, chain, pinned, needs, table.place.tags(person), today)
    if prompt_tokens + max(answer_tokens, 1) <= found.least_window:
        return Route(task, reason, found.once_each, found.notes)
    roomy = _with_room(found.ways, prompt_tokens + max(answer_tokens, 1)) or _with_room(found.ways, prompt_tokens + 1)
    if not roomy:
        raise PromptTooLong(_too_long(prompt_tokens, found.ways), param="messages")
    return Route(task, reason, _once_each(roomy), found.notes)


@dataclass(frozen=True, slots=True)
class _Found:
    """Ways for a kind of request, before its length is looked at."""

    ways: tuple[Way, ...]
    once_each: tuple[Way, ...]
    notes: tuple[str, ...]
    least_window: int
    """What is no longer than this fits everywhere."""


@lru_cache(maxsize=1024)
def _capable(
    table: Table,
    model: str,
    chain: tuple[str, ...],
    pinned: str | None,
    needs: frozenset[Need],
    tags: frozenset[str],
    today: date,
) -> _Found:
    """Every way that can do it: the same for all requests of a kind, until the table or the day is another."""
    chain, notes = _living(table, chain, today)
    candidates = [
        (row.rank, order, Way(table.models[name], row, table.place.distance(row.region)))
        for order, name in enumerate(chain)
        for row in table.deployments
        if name in row.models and (pinned is None or row.name == pinned)
    ]
    ways = [way for _, _, way in sorted(candidates, key=lambda each: (each[0], each[1], each[2].distance))]
    if not ways:
        raise NoUpstream(f"no upstream serves {model!r}: {table.advice}")
    if tags:
        ways = [way for way in ways if tags == {way.deployment.residency}]
        if not ways:
            raise NoUpstream(_confined(model, tags, table))
    capable = tuple(way for way in ways if needs <= way.deployment.can_for(way.model))
    if not capable:
        raise Incapable(_incapable(model, needs, ways))
    least = min(way.deployment.window_for(way.model) for way in capable)
    return _Found(capable, _once_each(capable), notes, least)


def _chain(table: Table, name: str, decide: Callable[[], Decision]) -> tuple[Task, str, tuple[str, ...], str | None]:
    """Task, reason, logical models in order, and the one deployment the client insists on."""
    if name == AUTO:
        decision = decide()
        models = (*table.tasks[decision.task], *table.tasks["general"])
        return decision.task, decision.reason, _unique(models), None
    return _asked(table, name)


@lru_cache(maxsize=1024)
def _asked(table: Table, name: str) -> tuple[Task, str, tuple[str, ...], str | None]:
    """What `_chain` gives for a name that says what is wanted."""
    general = table.tasks["general"]
    for task in TASKS:
        if name == task:
            return task, "asked", _unique((*table.tasks[task], *general)), None
    if name in table.models:
        task = next((task for task in TASKS if table.tasks[task][0] == name), "general")
        return task, "asked", _unique((name, *table.tasks[task], *general)), None
    for row in table.deployments:
        if row.name == name:
            return "general", "asked", tuple(sorted(row.models)), name
    raise UnknownModel(f"no model or task {name[:100]!r}; known: {', '.join(table.names())}", param="model")


def _living(table: Table, chain: tuple[str, ...], today: date) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The chain with every retired model's successors before it, and a note for the first model if it retired."""
    living: list[str] = []
    notes: list[str] = []
    for position, name in enumerate(chain):
        line = [name]
        while (model := table.models[line[-1]]).retires and model.retires <= today and model.successor:
            if model.successor in line:
                break
            line.append(model.successor)
        if position == 0 and len(line) > 1:
            notes.append(f"{name} retired on {table.models[name].retires}; its successor is {line[-1]}")
        living.extend(reversed(line))
    return _unique(living), tuple(notes)


def _with_room(ways: Iterable[Way], tokens: int) -> list[Way]:
    return [way for way in ways if tokens <= way.deployment.window_for(way.model)]


def _once_each(ways: Iterable[Way]) -> tuple[Way, ...]:
    """Each deployment once, for the first model it came up with: a stand-in serves every model."""
    seen: dict[str, Way] = {}
    for way in ways:
        seen.setdefault(way.deployment.name, way)
    return tuple(seen.values())


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _confined(model: str, tags: frozenset[str], table: Table) -> str:
    place = " and ".join(map(repr, sorted(tags)))
    inside = sorted(row.name for row in table.deployments if tags == {row.residency})
    return (
        f"no upstream serves {model!r} within {place}, where what you send has to stay; connected there: "
        f"{', '.join(inside) or 'none'}. Operators tag deployments that stay there with that 'residency'"
    )


def _incapable(model: str, needs: frozenset[Need], ways: list[Way]) -> str:
    able = frozenset[Need]().union(*(way.deployment.can_for(way.model) for way in ways))
    missing = sorted(needs - able) or sorted(needs)
    words = " and ".join(_NEED_IN_WORDS[need] for need in missing)
    names = ", ".join(sorted({way.deployment.label or way.deployment.deployment for way in ways}))
    return f"{model!r} cannot do {words}: connected today: {names}; leave that out, or ask for another model"


def _too_long(prompt_tokens: int, ways: Sequence[Way]) -> str:
    largest = max(ways, key=lambda way: way.deployment.window_for(way.model))
    window = largest.deployment.window_for(largest.model)
    name = largest.deployment.label or largest.model.title
    return (
        f"the prompt is too long: about {prompt_tokens:,} tokens; the largest window connected is {window:,} tokens "
        f"({name}). Send less text"
    )
