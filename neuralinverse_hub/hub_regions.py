"""The part of ``configure(c)`` for a hub that is one of several: which one it is, and what it needs to know the others.

``hub_config`` calls it and nobody else does.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from traitlets.config import Config

from neuralinverse_hub import wire
from neuralinverse_hub.regions import catalogue
from neuralinverse_hub.regions.catalogue import Catalogue, Region
from neuralinverse_hub.regions.errors import BadCatalogue
from neuralinverse_hub.settings import NeuralInverseHub

__all__ = ["Regions", "join", "of"]


@dataclass(frozen=True, slots=True)
class Regions:
    """All regions, and this hub's."""

    catalogue: Catalogue
    here: Region
    path: str
    """Absolute path of the catalogue's file."""

    @property
    def environment(self) -> dict[str, str]:
        """How the gateway and the git host learn where they are."""
        return {wire.ENV_REGIONS: self.path, wire.ENV_REGION: self.here.name}

    @property
    def runs_git(self) -> bool:
        """Whether this hub runs the embedded git host: the one that all regions share, or a mirror of it.

        Which one, its process finds out from the same catalogue; a mirror takes no pushes, so there is one truth.
        """
        return self.catalogue.serves_git(self.here) or self.catalogue.mirrors_git(self.here)

    def mirror(self, own_git: str) -> str:
        """Address of the mirror that this region's workspaces restore from; empty when there is none.

        ``own_git`` is where they reach the git host that this hub runs.
        """
        if self.catalogue.mirrors_git(self.here):
            return own_git
        mirror = self.here.git_mirror or ""
        return "" if mirror == self.catalogue.git else mirror


def of(settings: NeuralInverseHub, environ: Mapping[str, str]) -> Regions | None:
    """The regions that the settings or else ``environ`` name; None when there is only one. Raises `BadCatalogue`."""
    path = settings.regions_file or environ.get(wire.ENV_REGIONS, "")
    if not path:
        return None
    known = catalogue.read(Path(path))
    name = settings.region or environ.get(wire.ENV_REGION, "")
    if not name:
        raise BadCatalogue(
            f"{path} has several regions; say which this hub is: c.NeuralInverseHub.region or {wire.ENV_REGION}, "
            f"one of {', '.join(region.name for region in known.regions)}"
        )
    try:
        here = known[name]
    except BadCatalogue as error:
        raise BadCatalogue(
            f"{path}: {error}. This hub's region is what c.NeuralInverseHub.region says, or else {wire.ENV_REGION}"
        ) from error
    if settings.git_host == "gitea" and known.mirrors_git(here):
        raise BadCatalogue(
            f"{path}: region {name!r} has its own hub's Git host as 'git_mirror', and that copies from another embedded one "
            "only, not from Gitea; name another mirror, or none"
        )
    return Regions(known, here, str(Path(path).absolute()))


def join(c: Config, settings: NeuralInverseHub, regions: Regions, hub_url: str, addresses: Mapping[str, str]) -> None:
    """Let the hub know where people and their workspaces are, and show them the way.

    ``addresses`` are those of the services, by their names.
    """
    # The hub's libraries are not there where only the names of settings are looked at.
    from neuralinverse_hub.regions.handlers import Desk, enter_url, handlers
    from neuralinverse_hub.regions.health import Health, answers
    from neuralinverse_hub.regions.refs import GitRefs
    from neuralinverse_hub.regions.residence import Residence
    from spawner.names import workspace_name

    here, git = regions.here, regions.catalogue.git
    hub = c.JupyterHub
    secret = secrets.token_hex(32)
    hub.services = [*hub.services, {"name": wire.REGIONS_SERVICE, "api_token": secret, "display": False}]
    role: dict[str, Any] = {"name": wire.REGIONS_SERVICE, "services": [wire.REGIONS_SERVICE]}
    if regions.catalogue.mirrors_git(here):
        # The mirror reads from the primary with its own token.
        role["services"].append(wire.GIT_SERVICE)
    hub.load_roles = [*hub.load_roles, {**role, "scopes": [wire.service_scope(wire.GIT_SERVICE)]}]
    residence = Residence(regions.catalogue, here.name, GitRefs(git, here.name, secret))
    health = Health(
        {
            "proxy": answers(f"{hub_url}{hub.get('base_url', '/')}hub/health"),
            "git": answers(f"{git}/health"),
            "gateway": answers(f"{addresses[wire.GATEWAY_SERVICE]}/readyz"),
        }
    )
    hub.extra_handlers = [*hub.get("extra_handlers", []), *handlers(Desk(residence, health, workspace_name))]
    hub.template_paths = [*hub.get("template_paths", []), str(files("neuralinverse_hub.regions") / "templates")]
    hub.default_url = hub.get("default_url", enter_url)
    hub.public_url = f"{here.hub}/"
    for spawner in (c.LocalWorkspaceSpawner, c.NeuralInverseDockerSpawner, c.NeuralInverseSpawner):
        spawner.generation_source = residence.generation
        spawner.is_superseded = residence.superseded
        if settings.git_host == "embedded":
            # The git host asks the hub of the region that is the user name.
            sign_in = {wire.ENV_GIT_USER: here.name, wire.ENV_GIT_TOKEN: _own_token}
            spawner.environment = {**spawner.get("environment", {}), **sign_in}


def _own_token(spawner: Any) -> str:
    """The workspace's own hub token, as a value of its environment."""
    return str(spawner.api_token)
