"""What the repositories that keep people's work take on Gitea or Forgejo: the host's own figures, by person.

Only repositories that hold workspaces are asked for: a host may serve others too, which are not this hub's to count.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from .gitea import Account, Admin, Gitea, Repository
from .provisioning import DESCRIPTION, MARK, REPOSITORY_NAMES
from .volumes import Held

__all__ = ["Holdings", "of_people"]

_log = logging.getLogger(__name__)


@dataclass
class Holdings:
    """Asks one host, as its administrator, at each `measure`; see `GitAccounts` for the members."""

    url: str
    admin: Callable[[], Admin] = field(repr=False)
    same_names: bool = False
    _warned: bool = field(default=False, init=False)

    async def measure(self) -> list[Held]:
        """What each person's repository holds now. Raises as `GitAccounts.grant` does."""
        async with Gitea(self.url, self.admin()) as gitea:
            if not self._warned and not await gitea.tidies_up():
                # Snapshots are no branches, and only those make the host look at a repository's size again.
                _log.warning(
                    "The Git host at %s reckons sizes anew when it tidies up, which is not switched on there, so the ledger "
                    "gets the sizes of long ago: set ENABLED = true in its [cron.git_gc_repos].",
                    self.url,
                )
                self._warned = True
            accounts = await gitea.accounts()
            # Its name is there, and our description has it too, for those that were renamed.
            found = await gitea.search(REPOSITORY_NAMES[0])
        return of_people(accounts, found, self.same_names)


def of_people(accounts: Iterable[Account], repositories: Iterable[Repository], same_names: bool) -> list[Held]:
    """What of ``repositories`` is kept for people. Pure.

    One for each person at most, as provisioning chooses it: the one with our description, else one of our names. An account
    is a person's when it carries the mark of one, or, with ``same_names``, when it has their name.
    """
    people = {}
    for account in accounts:
        if account.mark.startswith(MARK):
            people[account.login.lower()] = account.mark.removeprefix(MARK)
        elif same_names and not account.is_admin:
            # The hub writes names in small letters.
            people[account.login.lower()] = account.login.lower()
    chosen: dict[str, tuple[tuple[bool, int], Repository]] = {}
    for repository in repositories:
        owner, _, name = repository.path.partition("/")
        person = people.get(owner.lower())
        ours = repository.description == DESCRIPTION
        if person is None or not (ours or name in REPOSITORY_NAMES):
            continue
        rank = (not ours, REPOSITORY_NAMES.index(name) if name in REPOSITORY_NAMES else len(REPOSITORY_NAMES))
        if person not in chosen or rank < chosen[person][0]:
            chosen[person] = (rank, repository)
    return [Held(person, each.path, each.size) for person, (_, each) in sorted(chosen.items())]
