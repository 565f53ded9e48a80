from __future__ import annotations

import ast
import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import ai_provider
from ai_provider.client import Client, Gateway, Patience, Question
from ai_provider.client_async import AsyncClient
from ai_provider.errors import AiError, BadInput, Cut, GatewayAway, Refused, TooLong, Unauthorised
from neuralinverse_hub import wire
from tests.ai_provider.standin import TOKEN, WHO, StandIn

HELLO = "Hello from **the** gateway. Grüße, 世界"
QUICK = Patience(connect_s=2, first_byte_s=0.4, gap_s=0.4)


def ask(model: str = "auto") -> Question:
    return Question([{"role": "user", "content": "Hi"}], model)


def eventually(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.01)
    return False


@pytest.fixture
def client(gateway: StandIn) -> Iterator[Client]:
    with contextlib.closing(Client(here(gateway), QUICK)) as blocking:
        yield blocking


def here(gateway: StandIn, token: str = TOKEN) -> Gateway:
    return Gateway(gateway.url, token)


def test_an_answer_comes_in_pieces_and_names_who_gave_it(gateway: StandIn, client: Client) -> None:
    with client.ask(ask()) as answer:
        pieces = [new.text for new in answer]
    assert len(pieces) > 3
    assert "".join(pieces) == answer.text == HELLO
    assert (answer.model, answer.task, answer.finish) == (WHO, "coding", "stop")


def test_a_connection_is_used_again_also_after_the_other_side_closed_it(gateway: StandIn, client: Client) -> None:
    gateway.pause_s = 0
    for _ in range(3):
        with client.ask(ask()) as answer:
            list(answer)
    client.models()
    assert gateway.connections == 1
    client._idle[0][1].sock.shutdown(socket.SHUT_RDWR)
    with client.ask(ask()) as answer:
        list(answer)
    assert answer.text == HELLO
    assert gateway.connections == 2


def test_leaving_an_answer_closes_its_connection_so_that_the_gateway_stops(gateway: StandIn, client: Client) -> None:
    with client.ask(ask("stall")) as answer:
        assert next(iter(answer)).text == "The first half"
    assert eventually(lambda: gateway.left == ["stall"])


@pytest.mark.parametrize(
    ("model", "error", "sentence"),
    [
        ("refusing", Refused, "This model takes no questions today"),
        ("narrow", TooLong, "more text than the model can read"),
        ("broken", Refused, "HTTP 500"),
        ("away", GatewayAway, "HTTP 502"),
        ("no-such", Refused, "unknown model"),
        ("silent", GatewayAway, "silent for too long"),
    ],
)
async def test_an_error_before_the_answer_is_one_sentence(
    gateway: StandIn, model: str, error: type[AiError], sentence: str
) -> None:
    gateway.narrow_bytes = 0
    with pytest.raises(error, match=sentence):
        Client(here(gateway), QUICK).ask(ask(model))
    client = AsyncClient(here(gateway), QUICK)
    with pytest.raises(error, match=sentence):
        async with client.ask(ask(model)):
            pass
    await client.aclose()


async def test_a_wrong_token_says_how_to_get_a_new_one_and_is_not_shown(gateway: StandIn) -> None:
    wrong = here(gateway, "wrong-secret")
    with pytest.raises(Unauthorised, match="Stop and start the workspace") as caught:
        Client(wrong).models()
    assert "wrong-secret" not in str(caught.value) + repr(wrong)


@pytest.mark.parametrize(
    ("model", "why"), [("cut", "connection"), ("failing", "the upstream fell over"), ("stall", "0.4 seconds")]
)
async def test_a_broken_answer_keeps_what_came(gateway: StandIn, client: Client, model: str, why: str) -> None:
    with pytest.raises(Cut, match=why) as caught, client.ask(ask(model)) as answer:
        list(answer)
    assert caught.value.text == "The first half"
    other = AsyncClient(here(gateway), QUICK)
    with pytest.raises(Cut, match=why) as caught:
        async with other.ask(ask(model)) as later:
            async for _ in later:
                pass
    assert caught.value.text == "The first half"
    await other.aclose()


def test_no_gateway_listening_is_said_with_its_address() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        with pytest.raises(GatewayAway, match=url):
            Client(Gateway(url, TOKEN)).ask(ask())


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({}, wire.ENV_GATEWAY_URL),
        ({wire.ENV_GATEWAY_URL: "http://x/v1"}, wire.ENV_TOKEN),
        ({wire.ENV_GATEWAY_URL: "x/v1", wire.ENV_TOKEN: "t"}, "not an http"),
    ],
)
def test_an_environment_without_a_gateway_says_what_is_missing(environment: dict[str, str], sentence: str) -> None:
    with pytest.raises(GatewayAway, match=sentence):
        Gateway.from_environment(environment)


@pytest.mark.parametrize("prompt", ["", " \n"])
def test_an_empty_question_is_not_sent(gateway: StandIn, client: Client, prompt: str) -> None:
    with pytest.raises(BadInput, match="empty"):
        client.ask(Question([{"role": "user", "content": prompt}]))
    assert gateway.connections == 0


async def test_a_gateway_that_does_not_stream_is_understood(gateway: StandIn, client: Client) -> None:
    with client.ask(ask("whole")) as answer:
        assert [new.text for new in answer] == ["All at once."]
    assert answer.model == WHO


async def test_the_asyncio_client_streams_the_same_and_stops_when_cancelled(gateway: StandIn) -> None:
    client = AsyncClient(here(gateway))
    async with client.ask(ask()) as answer:
        pieces = [new.text async for new in answer]
    assert "".join(pieces) == HELLO
    assert len(pieces) > 3
    assert [model.id for model in await client.models()][:2] == ["auto", "reasoning"]
    assert gateway.connections == 1

    began = asyncio.Event()

    async def read() -> None:
        async with client.ask(ask("stall")) as answer:
            async for _ in answer:
                began.set()

    reading = asyncio.create_task(read())
    await began.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await asyncio.to_thread(eventually, lambda: gateway.left == ["stall"])
    await client.aclose()


@pytest.mark.parametrize(
    "name",
    "errors sse client context formats conversation output reader redaction request magics __init__ wire".split(),
)
def test_what_kernels_import_is_python_3_9(name: str) -> None:
    package = Path(str(ai_provider.__file__)).parent
    path = Path(str(wire.__file__)) if name == "wire" else package / f"{name}.py"
    ast.parse(path.read_text(), feature_version=(3, 9))
