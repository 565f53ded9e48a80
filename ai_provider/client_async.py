"""The gateway's client over asyncio: what the servers of a workspace use. The same answers and errors as ``client``."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from .client import READ_BYTES, Gateway, Gathering, Model, Patience, Question, away, models_of, refusal
from .errors import Refused
from .sse import Piece

if TYPE_CHECKING:
    import aiohttp

__all__ = ["AsyncAnswer", "AsyncClient"]


class AsyncClient:
    """Asks the gateway and reads answers as they come. Use it inside one event loop; ``aclose`` ends it.

    Leaving ``ask`` before the end of the answer, also by cancellation, closes its connection: the gateway stops the model.
    """

    def __init__(self, gateway: Gateway, patience: Patience = Patience()) -> None:  # noqa: B008 - frozen
        self.gateway = gateway
        self.patience = patience
        self._session: aiohttp.ClientSession | None = None

    @contextlib.asynccontextmanager
    async def ask(self, question: Question) -> AsyncIterator[AsyncAnswer]:
        """The answer, whose first bytes have come. Raises the errors of ``errors`` before anything was answered."""
        response = await self._request("POST", "/chat/completions", question.body())
        answer = AsyncAnswer(response, self.patience)
        try:
            yield answer
        finally:
            await answer.leave()

    async def models(self) -> list[Model]:
        """The tasks and models that can be asked for, in the gateway's order."""
        response = await self._request("GET", "/models", None)
        try:
            async with response:
                return models_of(json.loads(await response.read()))
        except (ValueError, KeyError, AttributeError):
            raise Refused(
                f"The AI gateway at {self.gateway.url} lists its models in a form unknown here.", status=200
            ) from None

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _request(self, method: str, path: str, body: bytes | None) -> aiohttp.ClientResponse:
        import aiohttp  # a third of a second: the server that loads us must not wait for it

        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self.patience.connect_s), auto_decompress=True
            )
        try:
            async with asyncio.timeout(self.patience.first_byte_s):
                response = await self._session.request(
                    method, self.gateway.url + path, data=body, headers=self.gateway.headers(), allow_redirects=False
                )
        except (aiohttp.ClientError, OSError) as error:
            raise away(self.gateway.url, error) from None
        if response.status != 200:
            try:
                async with asyncio.timeout(self.patience.connect_s):
                    refused = await response.content.read(READ_BYTES)
            except (aiohttp.ClientError, OSError):
                refused = b""
            finally:
                response.close()
            raise refusal(response.status, refused)
        return response


class AsyncAnswer(Gathering):
    """Pieces of an answer as they come; afterwards ``text``, ``model`` (who really answered) and ``finish``."""

    def __init__(self, response: aiohttp.ClientResponse, patience: Patience) -> None:
        super().__init__(response.headers.get)
        self._response = response
        self._patience = patience

    async def __aiter__(self) -> AsyncIterator[Piece]:
        import aiohttp

        while not self.done:
            try:
                async with asyncio.timeout(self._patience.gap_s):
                    chunk = await self._response.content.readany()
            except TimeoutError:
                raise self.cut(f"nothing came for {self._patience.gap_s:g} seconds") from None
            except (aiohttp.ClientError, OSError) as error:
                raise self.cut(f"the connection was lost ({type(error).__name__})") from None
            if not chunk:
                for new in self.end():
                    yield new
                return
            for new in self.feed(chunk):
                yield new

    async def leave(self) -> None:
        """Give the connection back when the answer was read to its end, else close it: the gateway then stops."""
        import aiohttp

        if self.done:
            # The end-of-body mark follows the last event at once, or the connection is not worth keeping.
            with contextlib.suppress(TimeoutError, aiohttp.ClientError, OSError):
                async with asyncio.timeout(0.05):
                    while await self._response.content.readany():
                        pass
        self._response.close()
