"""Which snapshots of a workspace there are, told from the refs on the host. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from neuralinverse_hub import wire

from .config import Config
from .errors import Superseded
from .history import time_of

__all__ = ["Snapshot", "generations", "newest_first", "refuse_if_superseded"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot on the host."""

    generation: int
    ref: str
    commit: bytes


def generations(config: Config, refs: dict[str, bytes]) -> dict[int, dict[str, bytes]]:
    """The workspace's generations on the host, each with its refs by their name below the generation."""
    start = f"{wire.REF_ROOT}/{config.workspace}/"
    found: dict[int, dict[str, bytes]] = {}
    for ref, oid in refs.items():
        if ref.startswith(start):
            number, _, name = ref[len(start) :].partition("/")
            if number.isascii() and number.isdigit():
                found.setdefault(int(number), {})[name] = oid
    return found


def newest_first(config: Config, refs: dict[str, bytes]) -> list[Snapshot]:
    """Snapshots to restore from, best first: none of a generation newer than ours.

    A generation's history follows its newest snapshot, for the case that one cannot be read.
    """
    found = []
    for generation, names in sorted(generations(config, refs).items(), reverse=True):
        if generation > config.generation:
            continue
        order = sorted((name for name in names if time_of(name)), key=lambda n: n.partition("/")[2], reverse=True)
        for name in ["snap", *order] if "snap" in names else order:
            ref = f"{wire.ref_prefix(config.workspace, generation)}/{name}"
            found.append(Snapshot(generation, ref, names[name]))
    return found


def refuse_if_superseded(config: Config, found: Iterable[int]) -> None:
    """Do nothing unless one of the generations ``found`` on the host is newer than ours.

    Raises:
        Superseded: one is.
    """
    newest = max(found, default=config.generation)
    if newest > config.generation:
        raise Superseded(
            f"This workspace has been started again elsewhere (as number {newest}); what is saved here is not kept "
            "any more."
        )
