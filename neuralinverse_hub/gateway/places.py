"""Where this gateway stands, which regions come next, and what must not leave where. Pure; knows no models.

Guarantees, each with a test:
- with a residency, a request never goes to a deployment that does not carry that very tag;
- the own region's deployments come first, then those of the regions in order, then all others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from neuralinverse_hub.gateway.errors import ConfigurationError
from neuralinverse_hub.regions.catalogue import Catalogue
from neuralinverse_hub.regions.errors import BadCatalogue

__all__ = ["Place"]


@dataclass(frozen=True, slots=True)
class Place:
    """A gateway's place among regions; without a region all deployments are equally near."""

    region: str = ""
    order: tuple[str, ...] = ()
    """Regions to go to when the own one cannot answer, nearest first."""
    residency: str = ""
    """Tag of where everybody's requests have to stay; empty: anywhere."""
    people: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Tags of where single people's requests have to stay, beside ``residency``."""
    deployments: tuple[tuple[str, str, str], ...] = ()
    """(pattern of a deployment's name, its region, its residency), for rows that do not say where they are."""

    def among(self, catalogue: Catalogue) -> Place:
        """This place with what the catalogue of regions says, where nothing else was set.

        Raises `ConfigurationError` when it does not know this place's region.
        """
        rows = tuple((name, each.name, each.residency) for each in catalogue.regions for name in each.gateway)
        if not self.region:
            return replace(self, deployments=rows)
        try:
            here = catalogue[self.region]
        except BadCatalogue as error:
            raise ConfigurationError(str(error)) from error
        order = self.order or tuple(region.name for region in catalogue.others(here.name))
        residency = self.residency or (here.residency if here.keep_inside else "")
        return replace(self, order=order, residency=residency, deployments=rows)

    def where(self, deployment: str) -> tuple[str, str]:
        """Region and residency of the deployment of that name; empty when nobody says so."""
        found = (row[1:] for row in self.deployments if fnmatchcase(deployment, row[0]))
        return next(found, ("", ""))

    def distance(self, region: str) -> int:
        """How far away a deployment's region is: 0 is here. One that names no region counts as here."""
        if not self.region or region in ("", self.region):
            return 0
        return self.order.index(region) + 1 if region in self.order else len(self.order) + 1

    def tags(self, person: str) -> frozenset[str]:
        """The tags that a deployment has to carry, all of them, to get this person's requests."""
        return frozenset({self.residency, self.people.get(person, "")} - {""})

    def with_people(self, rows: Any) -> Place:
        """This place with more people's tags. Raises `ConfigurationError` when they are no object of strings."""
        if not isinstance(rows, Mapping) or not all(isinstance(tag, str) and tag for tag in rows.values()):
            raise ConfigurationError(
                f'\'residencies\' must be an object of person and tag, like {{"ada": "eu"}}, not {rows!r}'
            )
        return replace(self, people={**self.people, **rows})
