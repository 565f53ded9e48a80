"""Where a person's workspaces are and where their home is, as every region sees it; who may start one here.

Facts, all on the shared git host (`refs`): the person's home region; per workspace the region it is in; the newest
generation that was ever claimed. Guarantees, each with a test:

- a fact changes only from what the writer saw: of two writers one fails, and nothing is written twice;
- a start gets a generation above every one that is on the git host, whatever any clock says;
- while the git host cannot be asked, a start gets one above what this hub gave last, so that a workspace that was
  taken over elsewhere meanwhile is refused by the git host, not the other way round.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any, Final, Literal

from neuralinverse_hub import wire

from .catalogue import Catalogue, Region
from .errors import Elsewhere, GitHostAway, RefMoved
from .refs import NOTHING, Change, GitRefs, words

__all__ = ["Residence", "Whereabouts", "arrival"]

_log = logging.getLogger(__name__)
_AT: Final = wire.at_ref("")
_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """What the git host says about one person, at the time it was read."""

    refs: Mapping[str, str]
    regions: tuple[str, ...]
    """Names of the regions there are."""

    @property
    def home(self) -> str | None:
        """The home region; None when none was chosen, or one that does not exist any more."""
        return words(self.refs, self.regions).get(wire.HOME_REF)

    @property
    def at(self) -> dict[str, str]:
        """Workspaces and the regions they are in; those of regions that do not exist any more are left out."""
        found = words(self.refs, self.regions)
        return {ref.removeprefix(_AT): name for ref, name in found.items() if ref.startswith(_AT)}

    def newest(self, workspace: str) -> int:
        """The newest generation that the workspace has on the host; 0 for none."""
        start = f"{wire.REF_ROOT}/{workspace}/"
        numbers = (ref.removeprefix(start).partition("/")[0] for ref in self.refs if ref.startswith(start))
        return max((int(number) for number in numbers if number.isascii() and number.isdigit()), default=0)

    def workspaces(self) -> list[str]:
        """Every workspace that has something on the host or a place, in alphabetical order, the default one first."""
        names = {*self.at, *(ref.split("/")[2] for ref in self.refs if ref.startswith(f"{wire.REF_ROOT}/"))}
        found = sorted(name for name in names if not name.startswith("_"))
        return sorted(found, key=lambda name: name != wire.DEFAULT_WORKSPACE)


def arrival(where: Whereabouts, here: str, workspace: str = wire.DEFAULT_WORKSPACE) -> Literal["choose", "ask", "go"]:
    """What to do with a person who logged in ``here``: let them choose a home, ask where they want to be, or go on."""
    at = where.at.get(workspace)
    if at is not None:
        return "go" if at == here else "ask"
    if where.home is None:
        return "choose"
    return "go" if where.home == here else "ask"


class Residence:
    """The facts of all people, read and written for one region."""

    def __init__(
        self,
        catalogue: Catalogue,
        here: str,
        refs: GitRefs,
        *,
        look_every_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.catalogue = catalogue
        self.here: Region = catalogue[here]
        self.look_every_s = look_every_s
        self._refs = refs
        self._clock = clock
        self._looked: dict[tuple[str, str, int], float] = {}

    def __deepcopy__(self, memo: Any) -> Residence:
        # traitlets copies what stands in a configuration; this is one thing, with connections of its own.
        return self

    async def look(self, person: str) -> Whereabouts:
        """What the git host says now. Raises `GitHostAway`."""
        refs = await self._refs.read(person)
        return Whereabouts(refs, tuple(region.name for region in self.catalogue.regions))

    async def choose_home(self, person: str, region: str, *, instead_of: str | None) -> Whereabouts:
        """Make ``region`` the person's home if it is ``instead_of`` now; how things stand afterwards.

        When somebody else was faster, their choice stands: look at the answer's ``home``.

        Raises:
            BadCatalogue: there is no such region.
            GitHostAway: nothing was changed.
        """
        chosen = self.catalogue[region].name
        where = await self.look(person)
        if where.home == instead_of and where.home != chosen:
            try:
                await self._say(person, where, wire.HOME_REF, chosen)
            except RefMoved as error:
                _log.info("%s chose a home elsewhere at the same time: %s", person, error)
        return await self.look(person)

    async def settle(self, person: str, workspace: str, region: str, *, instead_of: str | None = None) -> None:
        """Say that the workspace is in ``region`` from now on, if it is in ``instead_of`` (None: wherever it is).

        Raises:
            BadCatalogue: there is no such region.
            RefMoved: it is somewhere else by now.
            GitHostAway: nothing was changed.
        """
        chosen = self.catalogue[region].name
        for attempt in range(_TRIES):
            where = await self.look(person)
            at = where.at.get(workspace)
            if at == chosen:
                return
            if instead_of is not None and at is not None and at != instead_of:
                raise RefMoved(f"The workspace {workspace!r} is in {at} by now, not in {instead_of}.")
            try:
                await self._say(person, where, wire.at_ref(workspace), chosen)
                return
            except RefMoved:
                if attempt == _TRIES - 1:
                    raise

    async def generation(self, person: str, workspace: str, previous: int, now_ms: int) -> int:
        """The generation of a start here, and from then on the workspace is here.

        Raises:
            Elsewhere: it is in another region, and nobody has asked for it to come here.
        """
        try:
            where = await self.look(person)
            at = where.at.get(workspace)
            if at is None:
                await self.settle(person, workspace, self.here.name, instead_of=self.here.name)
        except RefMoved as error:
            # Somebody started it elsewhere in the same moment.
            raise Elsewhere(f"{error} Open {self.here.hub}/hub/region to go there or to bring it here.") from error
        except GitHostAway as error:
            _log.warning("the start of %s's %s goes by what this hub knows: %s", person, workspace, error)
            return previous + 1
        if at is not None and at != self.here.name:
            raise Elsewhere(self._elsewhere(self.catalogue[at]))
        return max(previous, where.newest(workspace), now_ms - 1) + 1

    async def superseded(self, person: str, workspace: str, generation: int) -> bool:
        """Whether a newer generation of the workspace exists. Asked at most every ``look_every_s``; else False."""
        key, now = (person, workspace, generation), self._clock()
        if self._looked.get(key, now) > now:
            return False
        if len(self._looked) > 100_000:
            self._looked.clear()
        self._looked[key] = now + self.look_every_s
        try:
            newest = (await self.look(person)).newest(workspace)
        except GitHostAway as error:
            _log.info("whether %s's %s is the newest cannot be asked: %s", person, workspace, error)
            return False
        if newest > generation:
            _log.warning("%s's %s runs elsewhere as %d; ending %d here", person, workspace, newest, generation)
        return newest > generation

    async def _say(self, person: str, where: Whereabouts, ref: str, word: str) -> None:
        await self._refs.change(person, [Change(ref, where.refs.get(ref, NOTHING), word)])

    def _elsewhere(self, region: Region) -> str:
        return (
            f"This workspace is in {escape(region.place)}, and starting it in {escape(self.here.place)} would end it "
            f"there. Open {self.here.hub}/hub/region to go there or to bring it here."
        )
