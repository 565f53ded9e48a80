"""Asking a second one when the first takes long: whoever answers first wins. Knows tasks and nothing of models."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["race"]

Result = TypeVar("Result")


async def race(
    first: Coroutine[Any, Any, Result],
    second: Callable[[], Coroutine[Any, Any, Result] | None],
    after_s: float,
    drop: Callable[[Result], None],
) -> Result:
    """The result of ``first``, or after ``after_s`` seconds that of whoever is first of it and of what ``second`` gives.

    ``second`` may give None: then there is only the first. An error counts only when the other has failed too, and then it
    is the first's. Whoever lost is cancelled and has ended when this returns, also when it is cancelled itself; a result that
    came too late is given to ``drop``.
    """
    won: asyncio.Future[Result] | None = None
    tasks = [asyncio.ensure_future(first)]
    try:
        done, _ = await asyncio.wait(tasks, timeout=after_s)
        if not done and (other := second()) is not None:
            tasks.append(asyncio.ensure_future(other))
        running = set(tasks)
        while running:
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task in done and not task.cancelled() and task.exception() is None:
                    won = task
                    return task.result()
        return tasks[0].result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in tasks:
            if task is not won and not task.cancelled() and task.exception() is None:
                drop(task.result())
