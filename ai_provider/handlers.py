"""What the page asks of the Jupyter server: ghost text, and to remember the notebook the person looks at.

Both need the server's own login, as everything behind it. The gateway and its token stay on this side: no answer names them.
"""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado import web

from neuralinverse_hub import wire

from . import completion
from .client import Gateway, Patience
from .client_async import AsyncClient
from .context import Cell, Notebook
from .errors import AiError
from .redaction import folder_of, folders_up, secrets_near

__all__ = ["SETTING", "Desk", "routes"]

SETTING = "neuralinverse_desk"
"""Key of the ``Desk`` in the server's settings."""

PATIENCE = Patience(first_byte_s=20, gap_s=10)
"""Ghost text that comes later than this is of no use to anybody."""

LARGEST_NOTEBOOK = 2_000_000


@dataclass
class Desk:
    """What one Jupyter server keeps for its person. ``notebook`` is what they looked at when they turned to the chat."""

    root: Path
    notebook: Notebook | None = None
    cache: completion.Cache = field(default_factory=completion.Cache)
    client: AsyncClient | None = None

    def gateway(self) -> AsyncClient:
        """The client for ghost text. Raises ``GatewayAway`` outside a workspace."""
        if self.client is None:
            self.client = AsyncClient(Gateway.from_environment(os.environ), PATIENCE)
        return self.client


class OurHandler(APIHandler):
    """What both handlers share."""

    @property
    def desk(self) -> Desk:
        desk: Desk = self.settings[SETTING]
        return desk

    def asked(self) -> dict[str, Any]:
        """The request's JSON object, or a 400 that says what was wrong."""
        body = self.get_json_body()
        if not isinstance(body, dict):
            raise web.HTTPError(400, "The body must be a JSON object.")
        return body


class CompletionHandler(OurHandler):
    """POST {before, after, language, above, path} → {text, model, cached} or {error}. Leaving cancels the model."""

    _asking: asyncio.Task[dict[str, Any]] | None = None

    @web.authenticated
    async def post(self) -> None:
        body = self.asked()
        around = completion.Around(
            before=text_of(body, "before"),
            after=text_of(body, "after"),
            language=text_of(body, "language") or "python",
            above=text_of(body, "above"),
        )
        beside = folder_of(text_of(body, "path"), self.desk.root)
        self._asking = asyncio.ensure_future(self._complete(around, beside))
        try:
            answer = await self._asking
        except asyncio.CancelledError:
            if self._asking.cancelled():
                return  # the person typed on: nobody reads an answer any more
            raise
        self.finish(json.dumps(answer))

    def on_connection_close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
        super().on_connection_close()

    async def _complete(self, around: completion.Around, beside: Path) -> dict[str, Any]:
        if not around.worth_asking():
            return {"text": "", "model": None, "cached": False}
        known = self.desk.cache.get(around)
        if known is not None:
            return {"text": known, "model": None, "cached": True}
        folder = Path(os.environ.get(wire.ENV_FOLDER) or self.desk.root)
        secrets = secrets_near([*folders_up(beside, self.desk.root.resolve()), *folders_up(self.desk.root, folder)])
        safe = completion.Around(*map(secrets.redact, (around.before, around.after, around.language, around.above)))
        try:
            async with self.desk.gateway().ask(completion.question(safe)) as answer:
                async for _ in answer:
                    pass
        except AiError as error:
            return {"error": str(error)}
        written = "\n".join((around.above, around.before, around.after))
        text = secrets.restore(completion.insertion(answer.text, safe), written)
        self.desk.cache.put(around, text)
        return {"text": text, "model": answer.model, "cached": False}


class NotebookHandler(OurHandler):
    """PUT {path, active, cells: [{kind, source, output}]} or {} → 204: what the chat may use as context."""

    @web.authenticated
    async def put(self) -> None:
        if len(self.request.body) > LARGEST_NOTEBOOK:
            raise web.HTTPError(413, f"A notebook of more than {LARGEST_NOTEBOOK:,} bytes is too long to be context.")
        body = self.asked()
        if not body:
            self.desk.notebook = None
        else:
            cells = body.get("cells")
            if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
                raise web.HTTPError(400, "cells must be a list of objects with kind, source and output.")
            active = body.get("active")
            self.desk.notebook = Notebook(
                path=text_of(body, "path"),
                cells=tuple(
                    Cell(text_of(cell, "kind"), text_of(cell, "source"), text_of(cell, "output")) for cell in cells
                ),
                active=active if isinstance(active, int) else 0,
            )
        self.set_status(204)
        self.finish()


def text_of(body: dict[str, Any], name: str) -> str:
    """The string of that name, empty when absent. Raises a 400 when it is something else."""
    value = body.get(name, "")
    if not isinstance(value, str):
        raise web.HTTPError(400, f"{name} must be a string, not {type(value).__name__}.")
    return value


def routes(base_url: str) -> list[tuple[str, type[OurHandler]]]:
    """Where the handlers are, below the server's base URL."""
    return [
        (url_path_join(base_url, "neuralinverse", "complete"), CompletionHandler),
        (url_path_join(base_url, "neuralinverse", "notebook"), NotebookHandler),
    ]
