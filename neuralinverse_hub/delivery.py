"""Records on their last way: from a spool to the economics service, over HTTP. Knows records only as lines.

The service may get a record twice and counts it once; what it cannot read it names in its answer, so that one wrong record
never holds up the others.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp

__all__ = ["LedgerClient", "NotTaken"]

ANSWER_S: Final = 30.0
"""Seconds the service may take for one batch."""

log = logging.getLogger(__name__)


class NotTaken(Exception):
    """The service did not take the records; they have to be handed over again."""


def _nothing(answer: Mapping[str, Any]) -> None:
    pass


@dataclass(frozen=True, slots=True)
class LedgerClient:
    """``deliver`` is a `neuralinverse_hub.spool.Ledger`. ``answered`` is given the service's answer to each batch."""

    url: str
    token: str = field(repr=False)
    answered: Callable[[Mapping[str, Any]], None] = _nothing

    async def deliver(self, lines: bytes) -> None:
        """Hand over some lines. Raises `NotTaken` when it is not certain that the service has them."""
        headers = {"Authorization": f"token {self.token}", "Content-Type": "application/x-ndjson"}
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(self.url, data=io.BytesIO(lines), headers=headers, allow_redirects=False) as response,
            ):
                if response.status != 200:
                    raise NotTaken(f"{self.url} answered {response.status}: {(await response.text())[:300]}")
                answer = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise NotTaken(f"{self.url} does not answer ({type(error).__name__})") from error
        if not isinstance(answer, dict):
            raise NotTaken(f"{self.url} answered something that is not its own; is that the economics service?")
        for refusal in answer.get("refused") or ():
            log.error("the ledger cannot read a record and leaves it out: %s", refusal)
        self.answered(answer)
