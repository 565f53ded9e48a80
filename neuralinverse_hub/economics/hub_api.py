"""What the hub says is running now; asked every minute, so that what nobody recorded is known all the same.

The service's token may list people and read their servers, and nothing more.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

from tornado.httpclient import AsyncHTTPClient

from neuralinverse_hub import wire
from neuralinverse_hub.economics.ledger import micros
from neuralinverse_hub.economics.stints import Stint

__all__ = ["SCOPES", "running", "stints_of"]

SCOPES: Final = ("list:users", "read:servers")
"""What the service's own token has to hold at the hub."""

_PAGE: Final = 200


def stints_of(people: Iterable[Mapping[str, Any]], region: str, now: int) -> list[Stint]:
    """The running stints in the hub's answer to ``GET /users``; ``now`` is when it was asked, in microseconds."""
    found = []
    for person in people:
        for name, server in (person.get("servers") or {}).items():
            if not server.get("started"):
                continue
            started = micros(datetime.fromisoformat(str(server["started"])))
            # Of a start that nobody recorded, this is all that is known; the record's size beats it.
            size = (server.get("user_options") or {}).get("size")
            found.append(
                Stint(
                    str(person["name"]),
                    name or wire.DEFAULT_WORKSPACE,
                    started,
                    size if isinstance(size, str) else "",
                    region,
                    None,
                    True,
                    max(now, started),
                )
            )
    return found


async def running(api: str, token: str, region: str, now: int) -> list[Stint]:
    """All that runs. Raises what `AsyncHTTPClient.fetch` does, and ValueError, KeyError or TypeError for a strange answer."""
    headers = {"Authorization": f"token {token}", "Accept": "application/jupyterhub-pagination+json"}
    people: list[Mapping[str, Any]] = []
    offset: int | None = 0
    while offset is not None:
        query = urlencode({"state": "active", "offset": offset, "limit": _PAGE})
        answer = await AsyncHTTPClient().fetch(f"{api.rstrip('/')}/users?{query}", headers=headers, request_timeout=30)
        page = json.loads(answer.body)
        people += page["items"]
        following = page["_pagination"]["next"]
        offset = int(following["offset"]) if following else None
    return stints_of(people, region, now)
