"""What a workspace says of its restore reaches the person, and nothing else that it may say does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from neuralinverse_hub import wire
from spawner import restores
from spawner.restores import Restore, follow, parse, words


def body(state: object, files: object = 0, seconds: object = 0.0) -> bytes:
    return json.dumps({"state": state, "files": files, "seconds": seconds}).encode()


@pytest.mark.parametrize(
    ("said", "understood"),
    [
        (body("writing", 1204), Restore("writing", 1204)),
        (body("done", 3, 1), Restore("done", 3, 1.0)),
        (body("done", -1), None),
        (body("done", True), None),
        (body("done", 10**9), None),
        (body("done", "3"), None),
        (body("done", 3, "NaN"), None),
        (b'{"state": "done", "files": 3, "seconds": NaN}', None),
        (b'{"state": "done", "files": 3, "seconds": 1e999}', None),
        (body("<b>"), None),
        (body(["done"]), None),
        (b"[]", None),
        (b"\xff", None),
        (b"", None),
    ],
)
def test_an_answer_is_a_few_numbers_or_nothing(said: bytes, understood: Restore | None) -> None:
    assert parse(said) == understood


@pytest.mark.parametrize(
    ("restore", "sentence"),
    [
        (Restore("none"), ""),
        (Restore("fetching"), "Bringing your work back from Git"),
        (Restore("writing", 1204), "Restoring 1,204 files"),
        (Restore("done", 1204, 2.0), "Restored 1,204 files"),
        (Restore("done", 1, 2.0), "Restored 1 file"),
        (Restore("done"), ""),
    ],
)
def test_a_person_reads_a_sentence(restore: Restore, sentence: str) -> None:
    assert words(restore) == sentence


class Workspace:
    """A server that says one thing after the other; the last one for ever."""

    def __init__(self) -> None:
        self.says: list[tuple[int, bytes]] = []
        self.asked: list[str | None] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        assert request.path == f"/user/ada/{wire.RESTORE_PATH}"
        self.asked.append(request.headers.get("Authorization"))
        status, said = self.says.pop(0) if len(self.says) > 1 else self.says[0]
        return web.Response(status=status, body=said)


@pytest.fixture
async def workspace() -> AsyncIterator[Workspace]:
    made = Workspace()
    app = web.Application()
    app.router.add_get("/{path:.*}", made.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/user/ada/"
    yield made
    await runner.cleanup()


async def followed(workspace: Workspace, patience_s: float = 10.0) -> tuple[Restore | None, list[Restore]]:
    told: list[Restore] = []
    async with aiohttp.ClientSession() as session:
        last = await follow(session, workspace.url, "t0ken", told.append, patience_s)
    return last, told


async def test_each_step_is_told_once_until_it_is_over(workspace: Workspace, monkeypatch: Any) -> None:
    monkeypatch.setattr(restores, "_STEP_S", 0.01)
    steps = [body("fetching"), body("fetching"), body("writing", 7), body("writing", 7), body("done", 7, 1.5)]
    workspace.says = [(200, each) for each in steps]
    last, told = await followed(workspace)
    assert last == Restore("done", 7, 1.5)
    assert told == [Restore("fetching"), Restore("writing", 7), Restore("done", 7, 1.5)]
    assert set(workspace.asked) == {"token t0ken"}


async def test_nobody_waits_for_ever(workspace: Workspace) -> None:
    workspace.says = [(200, body("writing", 7))]
    last, told = await followed(workspace, patience_s=0.0)
    assert (last, told) == (Restore("writing", 7), [Restore("writing", 7)])


@pytest.mark.parametrize("said", [(403, b""), (404, b"{}"), (302, b""), (200, b"x" * 100_000), (200, b"[]")])
async def test_a_workspace_that_says_something_else_is_not_waited_for(
    workspace: Workspace, said: tuple[int, bytes]
) -> None:
    workspace.says = [said]
    assert await followed(workspace) == (None, [])
