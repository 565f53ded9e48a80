"""The official openai SDK, unmodified, as the contract: responses, completions, embeddings, tools, JSON, images."""

from __future__ import annotations

from typing import Any

import openai
import pydantic
import pytest

from tests.neuralinverse_hub.gateway.azure import Azure, Fault
from tests.neuralinverse_hub.gateway.conftest import Hub, Running, azure_env, serving

TOOL: Any = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
FLAT_TOOL: Any = {"type": "function", "strict": False, **TOOL["function"]}


async def test_responses_answer(gateway: Running, azure: Azure) -> None:
    azure.reasoning = ["thinking"]
    async with gateway.sdk() as sdk:
        response = await sdk.responses.create(model="coding", input="Hi", instructions="Be brief", max_output_tokens=50)
    assert response.output_text == "Hello from the model."
    assert [item.type for item in response.output] == ["reasoning", "message"]
    assert response.status == "completed" and response.model.startswith("Llama-4")
    assert response.usage is not None and response.usage.output_tokens == 6
    sent = azure.seen[0].body
    assert sent["messages"] == [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Hi"}]
    assert sent["max_completion_tokens"] == 50 and "input" not in sent
    assert gateway.records[0].output_tokens == 6


async def test_responses_stream(gateway: Running, azure: Azure) -> None:
    azure.reasoning = ["thin", "king"]
    async with gateway.sdk() as sdk, sdk.responses.stream(model="general", input="Hi") as stream:
        events = [event async for event in stream]
        final = await stream.get_final_response()
    assert final.output_text == "Hello from the model." and final.status == "completed"
    assert final.usage is not None and final.usage.output_tokens == 7
    words = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert words == azure.pieces
    kinds = [event.type for event in events]
    assert kinds[:3] == ["response.created", "response.in_progress", "response.output_item.added"]
    assert kinds[-1] == "response.completed"
    assert [event.sequence_number for event in events] == list(range(len(events)))


async def test_responses_call_tools_and_take_their_results(gateway: Running, azure: Azure) -> None:
    async with gateway.sdk() as sdk:
        async with sdk.responses.stream(model="general", input="Weather?", tools=[FLAT_TOOL]) as stream:
            call = (await stream.get_final_response()).output[0]
        assert call.type == "function_call"
        assert (call.name, call.arguments, call.call_id) == ("weather", '{"city":"Paris"}', "call_1")
        azure.seen.clear()
        await sdk.responses.create(
            model="general",
            input=[
                {"role": "user", "content": "Weather?"},
                {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "call_1", "output": "sunny"},
            ],
        )
    roles = [message["role"] for message in azure.seen[0].body["messages"]]
    assert roles == ["user", "assistant", "tool"]


async def test_responses_report_an_answer_that_broke_off(gateway: Running, azure: Azure) -> None:
    azure.faults = [Fault("half-event")]
    async with gateway.sdk() as sdk:
        stream = await sdk.responses.create(model="general", input="Hi", stream=True)
        events = [event async for event in stream]
    assert events[-1].type == "response.failed"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"input": "Hi", "previous_response_id": "resp_1"}, "nothing is stored"),
        ({"input": []}, "'input'"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "item_reference"),
        ({"input": "Hi", "tools": [{"type": "web_search"}]}, "web_search"),
        ({"input": "Hi", "tools": [FLAT_TOOL], "tool_choice": {"type": "mcp", "server_label": "x"}}, "'mcp'"),
        ({"input": ""}, "prompt is empty"),
        ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "input_file"),
    ],
)
async def test_responses_refuse_in_words_what_is_not_possible(
    gateway: Running, body: dict[str, Any], says: str
) -> None:
    async with gateway.post({"model": "general", **body}, path="/responses") as response:
        assert response.status == 400
        assert says in (await response.json())["error"]["message"]


async def test_completions_continue_text(hub: Hub, azure: Azure) -> None:
    env = {"OPENAI_UPSTREAM_URL": azure.url + "/openai/v1", "OPENAI_UPSTREAM_MODEL": "my-llama"}
    async with serving(hub, env) as gateway, gateway.sdk() as sdk:
        whole = await sdk.completions.create(model="coding", prompt="def add(a, b):", max_tokens=20)
        stream = await sdk.completions.create(model="coding", prompt="def add(a, b):", stream=True)
        words = [chunk.choices[0].text async for chunk in stream]
        assert whole.choices[0].text == "Hello from the model."
        assert "".join(words) == "Hello from the model." and len(words) == 6
        assert [record.output_tokens for record in gateway.records] == [5, 5]


async def test_completions_on_azure_are_refused_in_words(gateway: Running) -> None:
    async with gateway.sdk() as sdk:
        with pytest.raises(openai.BadRequestError, match="cannot do plain completions"):
            await sdk.completions.create(model="coding", prompt="def add(a, b):")


async def test_embeddings_go_to_what_can_embed(hub: Hub, azure: Azure) -> None:
    async with serving(hub, azure_env(azure)) as gateway, gateway.sdk() as sdk:
        with pytest.raises(openai.BadRequestError, match="embeddings"):
            await sdk.embeddings.create(model="general", input=["a"], encoding_format="float")
    env = {"OPENAI_UPSTREAM_URL": azure.url + "/openai/v1", "OPENAI_UPSTREAM_MODEL": "nomic"}
    async with serving(hub, env) as gateway, gateway.sdk() as sdk:
        answer = await sdk.embeddings.create(model="general", input=["a", "b"], encoding_format="float")
        assert [row.embedding for row in answer.data] == [[0.5, -0.25]] * 2
        assert gateway.records[0].input_tokens == 4 and gateway.records[0].output_tokens == 0


async def test_tools_go_to_a_model_that_has_them(gateway: Running, azure: Azure) -> None:
    async with gateway.sdk() as sdk:
        answer = await sdk.chat.completions.create(
            model="deepseek-r1", messages=[{"role": "user", "content": "Weather?"}], tools=[TOOL]
        )
    assert answer.choices[0].message.tool_calls is not None
    assert azure.seen[0].deployment == "Mistral-Large-3", "deepseek-r1 has no tools"


async def test_structured_output_is_asked_for_and_parsed(gateway: Running, azure: Azure) -> None:
    class City(pydantic.BaseModel):
        name: str

    azure.pieces = ['{"na', 'me": "Paris"}']
    async with gateway.sdk() as sdk:
        answer = await sdk.chat.completions.parse(
            model="general", messages=[{"role": "user", "content": "A city"}], response_format=City
        )
        response = await sdk.responses.parse(model="general", input="A city", text_format=City)
    assert answer.choices[0].message.parsed == City(name="Paris")
    assert response.output_parsed == City(name="Paris")
    formats = [seen.body["response_format"] for seen in azure.seen]
    assert formats[0]["type"] == formats[1]["type"] == "json_schema"
    assert formats[0]["json_schema"]["schema"] == formats[1]["json_schema"]["schema"]


async def test_images_go_to_a_model_that_sees(gateway: Running, azure: Azure) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    message: Any = {"role": "user", "content": [{"type": "text", "text": "Prove what this is"}, picture]}
    async with gateway.sdk() as sdk:
        await sdk.chat.completions.create(model="reasoning", messages=[message])
    assert azure.seen[0].deployment == "Mistral-Large-3"
    assert azure.seen[0].body["messages"] == [message]


async def test_reasoning_streams_as_reasoning_content(gateway: Running, azure: Azure) -> None:
    azure.reasoning = ["let", " me", " see"]
    async with gateway.sdk() as sdk:
        stream = await sdk.chat.completions.create(
            model="reasoning",
            messages=[{"role": "user", "content": "2+2?"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
    thought = [getattr(chunk.choices[0].delta, "reasoning_content", None) for chunk in chunks if chunk.choices]
    assert [piece for piece in thought if piece] == azure.reasoning
    assert chunks[-1].usage is not None
    assert gateway.records[0].reasoning_tokens == 3
