"""A second deployment is asked when the first takes long, the faster answer counts, and nothing of the slower stays behind."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from neuralinverse_hub import wire
from neuralinverse_hub.gateway.hedge import race
from tests.neuralinverse_hub.gateway.azure import Azure, Fault
from tests.neuralinverse_hub.gateway.conftest import Hub, Running, azure_env, prompt, serving, until


class Racers:
    """Runners that end when told to, and who was dropped or stopped on the way."""

    def __init__(self) -> None:
        self.dropped: list[str] = []
        self.stopped: list[str] = []

    async def run(self, name: str, seconds: float, error: Exception | None = None) -> str:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.stopped.append(name)
            raise
        if error is not None:
            raise error
        return name

    async def race(self, first: tuple[float, Exception | None], second: tuple[float, Exception | None] | None) -> str:
        later = None if second is None else (lambda: self.run("second", *second))
        return await race(self.run("first", *first), later or (lambda: None), 0.05, self.dropped.append)


@pytest.mark.parametrize(
    ("first", "second", "winner", "stopped"),
    [
        ((0.0, None), (0.0, None), "first", []),
        ((5.0, None), (0.0, None), "second", ["first"]),
        ((0.1, None), (5.0, None), "first", ["second"]),
        ((0.1, None), None, "first", []),
        ((0.2, None), (0.0, OSError("no")), "first", []),
        ((0.1, OSError("no")), (0.2, None), "second", []),
    ],
)
async def test_whoever_is_first_wins_and_the_other_is_stopped(
    first: tuple[float, Exception | None],
    second: tuple[float, Exception | None] | None,
    winner: str,
    stopped: list[str],
) -> None:
    racers = Racers()
    assert await racers.race(first, second) == winner
    assert racers.stopped == stopped and racers.dropped == []


async def test_when_both_fail_the_error_is_the_firsts() -> None:
    with pytest.raises(OSError, match="one"):
        await Racers().race((0.1, OSError("one")), (0.0, OSError("two")))


async def test_a_result_that_came_too_late_is_dropped() -> None:
    racers = Racers()

    async def stubborn() -> str:
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            return "first"
        return "never"

    assert await race(stubborn(), lambda: racers.run("second", 0.0), 0.01, racers.dropped.append) == "second"
    assert racers.dropped == ["first"]


async def test_a_race_that_is_given_up_stops_both() -> None:
    racers = Racers()
    task = asyncio.ensure_future(racers.race((5.0, None), (5.0, None)))
    await asyncio.sleep(0.15)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(racers.stopped) == ["first", "second"]


def at_rest(gateway: Running) -> bool:
    return all(not gate.in_flight and not gate.queue for gate in gateway.gateway.parts.relay.gates.values())


@pytest.mark.parametrize("stream", [False, True])
async def test_a_slow_deployment_is_overtaken_and_both_are_paid(hub: Hub, azure: Azure, stream: bool) -> None:
    azure.faults = [Fault("hang", deployment="my-r1", times=9)]
    async with serving(hub, azure_env(azure), hedge_after_s=0.1) as gateway:
        async with gateway.post({**prompt(stream=stream), "model": "reasoning"}) as response:
            assert response.status == 200
            assert "Mistral-Large-3" in await response.text()
        await until(lambda: len(gateway.records) == 2)
        slower, answered = sorted(gateway.records, key=lambda record: record.status == "complete")
        assert (answered.model, answered.status) == ("mistral-large", "complete")
        assert (slower.model, slower.status, slower.output_tokens) == ("deepseek-r1", "partial", 0)
        assert slower.request_id == f"{answered.request_id}-slower" and slower.input_tokens > 0
        await until(lambda: at_rest(gateway))
        await until(lambda: azure.seen[0].aborted)
        assert [seen.deployment for seen in azure.seen] == ["my-r1", "Mistral-Large-3"]


async def test_a_fast_deployment_is_asked_alone(hub: Hub, azure: Azure) -> None:
    async with serving(hub, azure_env(azure), hedge_after_s=2.0) as gateway:
        async with gateway.post({**prompt(), "model": "reasoning"}) as response:
            assert response.headers[wire.HEADER_UPSTREAM] == "azure/my-r1"
    assert len(azure.seen) == 1 and len(gateway.records) == 1


async def test_a_second_that_fails_leaves_the_first_its_time(hub: Hub, azure: Azure) -> None:
    azure.pause_s = 0.3
    azure.faults = [Fault("500", deployment=name, times=9) for name in ("Mistral-Large-3", "my-llama")]
    async with serving(hub, azure_env(azure), hedge_after_s=0.05) as gateway:
        async with gateway.post({**prompt(), "model": "reasoning"}) as response:
            assert response.headers[wire.HEADER_UPSTREAM] == "azure/my-r1"
        assert [record.status for record in gateway.records] == ["complete"]
        await until(lambda: at_rest(gateway))


async def test_who_leaves_takes_both_along(hub: Hub, azure: Azure) -> None:
    azure.faults = [Fault("hang", times=9)]
    async with serving(hub, azure_env(azure), hedge_after_s=0.05) as gateway:
        asking = asyncio.ensure_future(gateway.post({**prompt(), "model": "reasoning"}).__aenter__())
        await until(lambda: len(azure.seen) == 2)
        asking.cancel()
        await until(lambda: all(seen.aborted for seen in azure.seen))
        await until(lambda: at_rest(gateway))
        await until(lambda: len(gateway.records) == 2)
        assert {record.status for record in gateway.records} == {"partial"}


async def test_nobody_is_asked_twice_while_the_only_free_one_is_busy(hub: Hub, azure: Azure) -> None:
    azure.capacity = 1
    azure.pause_s = 0.05
    async with serving(hub, azure_env(azure), hedge_after_s=0.05) as gateway:

        async def ask() -> int:
            async with gateway.post({**prompt(), "model": "azure/my-r1"}) as response:
                return response.status

        assert await asyncio.gather(*(ask() for _ in range(4))) == [200] * 4
    assert {seen.deployment for seen in azure.seen} == {"my-r1"}


async def test_openai_clients_do_not_see_it(hub: Hub, azure: Azure) -> None:
    azure.faults = [Fault("hang", deployment="my-r1", times=1)]
    async with serving(hub, azure_env(azure), hedge_after_s=0.05) as gateway, aiohttp.ClientSession() as session:
        headers = {"Authorization": "Bearer ada-token"}
        body = {**prompt(), "model": "reasoning"}
        async with session.post(f"{gateway.url}/chat/completions", json=body, headers=headers) as response:
            shown = await response.json()
    assert shown["choices"][0]["finish_reason"] == "stop"
