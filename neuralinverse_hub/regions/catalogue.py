"""The regions as data: one JSON file that every hub, gateway and git host of an installation reads.

```json
{
  "domain": "hub.example.org",
  "git": "https://git.example.org",
  "regions": {
    "us": {},
    "europe": {"hub": "https://eu.example.org", "git_mirror": "https://eu.example.org/services/git",
               "gateway": ["sweden/*", "france/*"], "residency": "eu", "keep_inside": true}
  }
}
```

Rows named ``us``, ``europe``, ``singapore`` and ``japan`` begin with what we ship (place and residency); without
``regions`` all four exist. A row without ``hub`` is at ``https://<name>.<domain>``. Pure but for reading the file; every
room may read it, so it knows none of them.
"""

from __future__ import annotations

import difflib
import ipaddress
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from neuralinverse_hub import wire

from .errors import BadCatalogue

__all__ = ["Catalogue", "Region", "checked_url", "parse", "read"]

_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,30}")
_ROW: Final = frozenset({"place", "hub", "git_mirror", "gateway", "residency", "keep_inside"})
_TOP: Final = frozenset({"domain", "git", "regions"})


@dataclass(frozen=True, slots=True)
class Region:
    """One region. URLs have no slash at their end."""

    name: str
    place: str
    """What people read: ``Europe``."""
    hub: str
    """Public URL of its hub, with the base path if it has one."""
    git_mirror: str | None = None
    """Base URL of a copy of the git host nearby; None: the primary serves restores too."""
    gateway: tuple[str, ...] = ()
    """Deployments of the AI gateway in this region, best first: ``upstream/deployment`` or ``upstream/*``."""
    residency: str = ""
    """Tag of the legal area its data is in, as ``eu``; regions with the same tag count as one area."""
    keep_inside: bool = False
    """Whether what is asked here may only be answered by deployments of regions with the same tag."""

    @property
    def api(self) -> str:
        """URL of its hub's REST API."""
        return f"{self.hub}/hub/api"

    @property
    def git_host(self) -> str:
        """Base URL of the embedded git host that its hub would run."""
        return f"{self.hub}/services/{wire.GIT_SERVICE}"

    @property
    def origin(self) -> str:
        """What a browser sends as ``Origin`` from a page of its hub."""
        parts = urlsplit(self.hub)
        return f"{parts.scheme}://{parts.netloc}"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All regions in the order of the file, and the git host that they share."""

    regions: tuple[Region, ...]
    git: str
    """Base URL of the primary git host: a person's snapshots are at ``<git>/<person>/workspaces.git``."""

    def __getitem__(self, name: str) -> Region:
        """The region of that name. Raises `BadCatalogue` that names the nearest one."""
        for region in self.regions:
            if region.name == name:
                return region
        names = [region.name for region in self.regions]
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
        raise BadCatalogue(f"there is no region {name!r}; {hint}")

    def __contains__(self, name: object) -> bool:
        return any(region.name == name for region in self.regions)

    def serves_git(self, region: Region) -> bool:
        """Whether the region's hub runs the embedded git host that all share."""
        return region.git_host == self.git

    def mirrors_git(self, region: Region) -> bool:
        """Whether the region's hub runs a copy of the git host that all share, for reading only."""
        return region.git_mirror == region.git_host != self.git

    def others(self, name: str) -> tuple[Region, ...]:
        """Every region but that one."""
        return tuple(region for region in self.regions if region.name != name)


def read(path: Path) -> Catalogue:
    """The catalogue in the file. Raises `BadCatalogue` with the path and what in it is wrong."""
    try:
        data = json.loads(path.read_text("utf-8"), object_pairs_hook=_once)
    except OSError as error:
        raise BadCatalogue(f"the catalogue of regions {path} cannot be read: {error.strerror}") from error
    except BadCatalogue as error:
        raise BadCatalogue(f"{path}: {error}") from error
    except ValueError as error:
        raise BadCatalogue(f"the catalogue of regions {path} is not JSON: {error}") from error
    try:
        return parse(data)
    except BadCatalogue as error:
        raise BadCatalogue(f"{path}: {error}") from error


def parse(data: Any) -> Catalogue:
    """A catalogue from its JSON form. Raises `BadCatalogue` naming the region and the member."""
    top = _object(data, "the catalogue")
    _only(top, _TOP, "the catalogue")
    if not top.get("git"):
        raise BadCatalogue("'git' is missing: the URL of the git host that all regions share")
    shipped: Mapping[str, Mapping[str, Any]] = json.loads(
        resources.files("neuralinverse_hub.regions").joinpath("catalogue.json").read_text("utf-8")
    )
    rows = _object(top.get("regions", {name: {} for name in shipped}), "'regions'")
    if not rows:
        raise BadCatalogue("'regions' is empty; name at least one region, or leave it out to have all four")
    domain = _text(top, "domain", "the catalogue")
    regions = tuple(
        _region(name, {**shipped.get(name, {}), **_object(row, f"region {name!r}")}, domain)
        for name, row in rows.items()
    )
    _distinct((region.hub, region.name, "hub") for region in regions)
    _distinct((region.place.casefold(), region.name, "place") for region in regions)
    found = Catalogue(regions, checked_url(str(top["git"]), "'git'"))
    _check_mirrors(found)
    return found


def checked_url(url: str, where: str) -> str:
    """``url`` as it is compared with others: without its last slash and the usual port, its host in lower case.

    Raises `BadCatalogue` for one that is no HTTPS address; loopback may be HTTP.
    """
    port = None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = None
    if host is None or parts.scheme not in ("http", "https"):
        raise BadCatalogue(f"{where} is {url!r}; it should be an https:// address")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise BadCatalogue(f"{where} should be an address without user name, password, query and fragment")
    if parts.scheme == "http" and not _is_loopback(host):
        raise BadCatalogue(
            f"{where} is {url!r}: over plain HTTP everybody on the way could read logins and tokens; use https://"
        )
    name = f"[{host}]" if ":" in host else host
    usual = port is None or port == {"http": 80, "https": 443}[parts.scheme]
    return parts._replace(netloc=name if usual else f"{name}:{port}").geturl().rstrip("/")


def _region(name: str, row: Mapping[str, Any], domain: str) -> Region:
    where = f"region {name!r}"
    if not _NAME.fullmatch(name):
        raise BadCatalogue(f"{where}: a name is lower-case letters, digits and dashes, and begins with a letter")
    _only(row, _ROW, where)
    hub = _text(row, "hub", where) or (f"https://{name}.{domain}" if domain else "")
    if not hub:
        raise BadCatalogue(f"{where} has no 'hub', the URL of its hub; give it one, or the catalogue a 'domain'")
    mirror = _text(row, "git_mirror", where)
    gateway = row.get("gateway", [])
    if not isinstance(gateway, list) or not all(isinstance(each, str) and each.count("/") >= 1 for each in gateway):
        raise BadCatalogue(f"{where}: 'gateway' is {gateway!r}; it should be a list like [\"sweden/my-llama\"]")
    keep_inside = row.get("keep_inside", False)
    residency = _text(row, "residency", where)
    if not isinstance(keep_inside, bool):
        raise BadCatalogue(f"{where}: 'keep_inside' is {keep_inside!r}; it should be true or false")
    if keep_inside and not residency:
        raise BadCatalogue(f"{where}: 'keep_inside' needs a 'residency' to keep inside of, as \"eu\"")
    return Region(
        name=name,
        place=_text(row, "place", where) or name,
        hub=checked_url(hub, f"{where}: 'hub'"),
        git_mirror=checked_url(mirror, f"{where}: 'git_mirror'") if mirror else None,
        gateway=tuple(gateway),
        residency=residency,
        keep_inside=keep_inside,
    )


def _check_mirrors(found: Catalogue) -> None:
    hubs = {region.hub: region for region in found.regions}
    hosts = {region.git_host: region for region in found.regions}
    for where, address in [
        ("'git'", found.git),
        *((f"region {r.name!r}: 'git_mirror'", r.git_mirror) for r in found.regions),
    ]:
        if address in hubs:
            raise BadCatalogue(
                f"{where} is {address!r}, the address of a hub; its Git host is {hubs[address].git_host!r}"
            )
        owner = hosts.get(address or "")
        if owner is not None and not (found.serves_git(owner) or found.mirrors_git(owner)):
            raise BadCatalogue(
                f"{where} is {address!r}, but the hub of region {owner.name!r} runs no Git host; give that region the same "
                "'git_mirror', and it runs one"
            )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise BadCatalogue(f"{name!r} is there twice; two regions, or two members, cannot have one name")
        found[name] = value
    return found


def _distinct(facts: Iterable[tuple[str, str, str]]) -> None:
    seen: dict[str, str] = {}
    for value, name, what in facts:
        if value in seen:
            raise BadCatalogue(f"regions {seen[value]!r} and {name!r} have the same {what!r} ({value})")
        seen[value] = name


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BadCatalogue(f"{where} is {value!r}; it should be an object")
    return value


def _only(row: Mapping[str, Any], known: frozenset[str], where: str) -> None:
    for name in row:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"
            raise BadCatalogue(f"{where} has an unknown member {name!r}; {hint}")


def _text(row: Mapping[str, Any], member: str, where: str) -> str:
    value = row.get(member) or ""
    if not isinstance(value, str):
        raise BadCatalogue(f"{where}: {member!r} is {value!r}; it should be text")
    return value
