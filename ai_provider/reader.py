"""Two ways to ask the gateway which look the same to whoever asks: ``Direct`` blocks, ``Beside`` lets other tasks run.

Runs in kernels of other virtual environments: standard library only, Python >= 3.9.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any, Union

from .client import Answer, Client, Model, Question
from .sse import Piece

__all__ = ["Beside", "Direct", "Step"]

WAKE_S = 0.1
"""How often a loop that waits is woken. ipykernel's interrupt is noticed only by a loop that is awake."""

Step = Union[Answer, Piece]  # noqa: UP007 - Python 3.9
"""First the answer itself, as soon as its first bytes have come; then each piece of it."""


class Direct:
    """Never gives way to another task, so that whoever has no event loop can drive it."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def models(self) -> list[Model]:
        """As ``Client.models``."""
        return self.client.models()

    async def ask(self, question: Question) -> AsyncGenerator[Step, None]:
        """The steps of the answer. Leaving it before the end stops the model."""
        for step in steps(self.client, question):
            yield step


class Beside(Direct):
    """Waits in a thread of its own, so that the event loop of the kernel goes on meanwhile. Cancelling stops the model."""

    async def models(self) -> list[Model]:
        return [model async for model in self._results(lambda: iter(self.client.models()))]

    async def ask(self, question: Question) -> AsyncGenerator[Step, None]:
        results = self._results(lambda: steps(self.client, question))
        try:
            async for step in results:
                yield step
        finally:
            await results.aclose()

    async def _results(self, work: Callable[[], Iterator[Any]]) -> AsyncGenerator[Any, None]:
        """What ``work`` gives in another thread, one after the other."""
        loop = asyncio.get_running_loop()
        results: asyncio.Queue[tuple[bool, Any]] = asyncio.Queue()

        def put(more: bool, result: Any) -> None:
            # A loop that was closed meanwhile has nobody who waits for the rest.
            if not loop.is_closed():
                loop.call_soon_threadsafe(results.put_nowait, (more, result))

        def run() -> None:
            try:
                for result in work():
                    put(True, result)
                put(False, None)
            except BaseException as error:  # told to the one who waits, whatever it is
                put(False, error)

        async def wake() -> None:
            while True:  # noqa: ASYNC110 - to be awake is all it is for
                await asyncio.sleep(WAKE_S)

        waking = asyncio.create_task(wake())
        thread = threading.Thread(target=run, name="neuralinverse-answer", daemon=True)
        thread.start()
        try:
            while True:
                more, result = await results.get()
                if not more:
                    break
                yield result
            if result is not None:
                raise result
        finally:
            waking.cancel()
            if thread.is_alive():
                self.client.abort()


def steps(client: Client, question: Question) -> Iterator[Step]:
    """The steps of the answer, blocking. Leaving it before the end stops the model."""
    with client.ask(question) as answer:
        yield answer
        yield from answer
