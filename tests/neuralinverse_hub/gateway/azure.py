"""A stand-in for Azure AI Foundry's v1 API, with faults on command. A real server on a real socket.

What Azure's own OpenAPI document says stands in ``azure_v1.json``. What is answered here is checked against it in
``test_azure_contract.py``; what is sent here is checked as it arrives, so that every test with a stand-in also finds
out whether Azure would have taken its requests.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
from aiohttp import web

KEY = "stand-in-azure-key"
FILTER_RESULT = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")}


DETECTIONS = {name: {"filtered": False, "detected": False} for name in ("jailbreak", "indirect_attack")}


@cache
def contract(name: str) -> jsonschema.Draft202012Validator:
    """What Azure's document says of one thing that is sent or answered: a definition of ``azure_v1.json``."""
    document = json.loads(Path(__file__).with_name("azure_v1.json").read_text("utf-8"))
    return jsonschema.Draft202012Validator({**document, "$ref": f"#/$defs/{name}"})


@dataclass
class Fault:
    """What the next ``times`` requests to ``deployment`` (None: any) meet instead of an answer."""

    kind: str
    times: int = 1
    deployment: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Seen:
    """One request that arrived."""

    deployment: str
    body: dict[str, Any]
    headers: dict[str, str]
    aborted: bool = False
    finished: bool = False


class Azure:
    """Deployments that answer with their own name, word by word."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.seen: list[Seen] = []
        self.violations: list[str] = []
        """What arrived and is not allowed by Azure's document. Who sends such a thing on purpose takes it out."""
        self.pieces: list[str] = ["Hello", " from", " the", " model", "."]
        self.reasoning: list[str] = []
        self.raw: Callable[[str], list[bytes]] | None = None
        """Bytes of a whole stream, instead of the pieces."""
        self.pause_s = 0.0
        self.chaos: Callable[[], str | None] | None = None
        """Asked for a fault for every request, in place of `faults`."""
        self.deployments = {
            "my-r1": "DeepSeek-R1",
            "my-llama": "Llama-4-Maverick-17B-128E-Instruct-FP8",
            "Mistral-Large-3": "Mistral-Large-3",
            "DeepSeek-V4-Pro": "DeepSeek-V4-Pro",
        }
        self.gate = asyncio.Event()
        """Hanging requests wait for this."""
        self.active = 0
        self.capacity = 10**9
        """More requests at once than this are refused with 429."""
        self.refused = 0
        self.bearer = ""
        """The Entra ID token that is asked for; empty: the key is."""
        self.url = ""

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_post("/openai/v1/chat/completions", self.chat)
        # Not Azure's: for tests with another OpenAI-compatible upstream.
        app.router.add_post("/openai/v1/completions", self.chat)
        app.router.add_post("/openai/v1/embeddings", self.embeddings)
        app.router.add_get("/openai/v1/models", self.models)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"

    async def stop(self) -> None:
        self.gate.set()
        await self._runner.cleanup()

    async def models(self, request: web.Request) -> web.Response:
        rows = [{"id": name, "object": "model", "created": 1, "owned_by": "azure"} for name in self.deployments]
        return web.json_response({"object": "list", "data": rows})

    async def embeddings(self, request: web.Request) -> web.Response:
        body = await request.json()
        self._check("embedding_request", body)
        self.seen.append(Seen(body["model"], body, dict(request.headers)))
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        vector: list[float] | str = [0.5, -0.25]
        if body.get("encoding_format") == "base64":
            vector = base64.b64encode(struct.pack("<2f", *vector)).decode()
        rows = [{"object": "embedding", "index": index, "embedding": vector} for index in range(len(texts))]
        usage = {"prompt_tokens": 2 * len(texts), "total_tokens": 2 * len(texts)}
        return web.json_response({"object": "list", "data": rows, "model": body["model"], "usage": usage})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if request.path.endswith("/chat/completions"):
            self._check("chat_request", body)
        name = body.get("model", "")
        seen = Seen(name, body, dict(request.headers))
        self.seen.append(seen)
        allowed = (
            request.headers.get("Authorization") == f"Bearer {self.bearer}"
            if self.bearer
            else request.headers.get("api-key") == KEY or "api-key" not in request.headers
        )
        if not allowed:
            return self._error(401, "401", "Access denied due to invalid subscription key or wrong API endpoint.")
        fault = self._fault(name)
        if fault and (answer := await self._faulty(request, fault)):
            return answer
        if name not in self.deployments:
            return self._error(404, "DeploymentNotFound", "The API deployment for this resource does not exist.")
        if self.active >= self.capacity:
            self.refused += 1
            return self._error(429, "429", "Requests have exceeded the rate limit.", {"retry-after-ms": "20"})
        self.active += 1
        try:
            if fault and fault.kind == "hang":
                await self.gate.wait()
            if body.get("stream"):
                return await self._stream(request, seen, fault)
            await asyncio.sleep(self.pause_s)
            return web.json_response(self._whole(body, fault))
        except (asyncio.CancelledError, ConnectionError):
            seen.aborted = True
            raise
        finally:
            self.active -= 1

    def _check(self, name: str, body: Any) -> None:
        error = jsonschema.exceptions.best_match(contract(name).iter_errors(body))
        if error is not None:
            self.violations.append(f"{name} {error.json_path}: {error.message[:500]}")

    def _fault(self, name: str) -> Fault | None:
        if self.chaos is not None:
            kind = self.chaos()
            return Fault(kind, headers={"retry-after-ms": "100"}) if kind else None
        for fault in self.faults:
            if fault.times and fault.deployment in (None, name):
                fault.times -= 1
                return fault
        return None

    async def _faulty(self, request: web.Request, fault: Fault) -> web.StreamResponse | None:
        match fault.kind:
            case "429":
                return self._error(429, "429", "Requests have exceeded the rate limit.", fault.headers)
            case "500":
                return self._error(500, "InternalServerError", "The server had an error.")
            case "content_filter":
                return self._error(
                    400, "content_filter", "The response was filtered due to the prompt.", param="prompt"
                )
            case "drop":
                assert request.transport is not None
                request.transport.abort()
        return None

    def _error(
        self, status: int, code: str, message: str, headers: dict[str, str] | None = None, param: str | None = None
    ) -> web.Response:
        error = {"code": code, "message": message, "type": "error"} | ({"param": param} if param else {})
        return web.json_response({"error": error}, status=status, headers=headers)

    def usage(self, body: dict[str, Any]) -> dict[str, Any]:
        said = [str(message.get("content")) for message in body.get("messages") or [{"content": body.get("prompt")}]]
        words = sum(len(text.split()) for text in said)
        output = len(self.pieces) + len(self.reasoning)
        return {
            "prompt_tokens": words,
            "completion_tokens": output,
            "total_tokens": words + output,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": len(self.reasoning),
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }

    def _whole(self, body: dict[str, Any], fault: Fault | None) -> dict[str, Any]:
        if "prompt" in body:
            choice = {"index": 0, "text": "".join(self.pieces), "finish_reason": "stop", "logprobs": None}
            return {
                "id": "cmpl-standin",
                "object": "text_completion",
                "created": 1_790_000_000,
                "model": self.deployments[body["model"]],
                "choices": [choice],
                "usage": self.usage(body),
            }
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self.pieces), "refusal": None}
        if body.get("tools"):
            message |= {"content": None, "tool_calls": [self.tool_call(body)]}
        if self.reasoning:
            message["reasoning_content"] = "".join(self.reasoning)
        reason = "content_filter" if fault and fault.kind == "filtered" else "stop"
        reason = "tool_calls" if body.get("tools") else reason
        return {
            "id": "chatcmpl-standin",
            "object": "chat.completion",
            "created": 1_790_000_000,
            "model": self.deployments[body["model"]],
            "system_fingerprint": "fp_standin",
            "choices": [
                {
                    "index": 0,
                    "message": message,
                    "finish_reason": reason,
                    "logprobs": None,
                    "content_filter_results": FILTER_RESULT,
                }
            ],
            "usage": self.usage(body),
            "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {**FILTER_RESULT, **DETECTIONS}}],
        }

    def tool_call(self, body: dict[str, Any]) -> dict[str, Any]:
        """A call of the first tool that was offered."""
        name = body["tools"][0]["function"]["name"]
        return {"id": "call_1", "type": "function", "function": {"name": name, "arguments": '{"city":"Paris"}'}}

    def chunks(self, body: dict[str, Any], fault: Fault | None = None) -> list[dict[str, Any]]:
        """The events of a stream, as objects."""
        wants_usage = (body.get("stream_options") or {}).get("include_usage")
        head = {
            "id": "chatcmpl-standin",
            "object": "chat.completion.chunk",
            "created": 1_790_000_000,
            "model": self.deployments[body["model"]],
            "system_fingerprint": "fp_standin",
        }
        if wants_usage:
            head = {**head, "usage": None}

        def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
            return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}]}

        reason = "content_filter" if fault and fault.kind == "filtered" else "stop"
        if "prompt" in body:
            head = {**head, "object": "text_completion"}
            texts = [*self.pieces, ""]
            last = len(texts) - 1
            return [
                {
                    **head,
                    "choices": [
                        {"index": 0, "text": text, "finish_reason": "stop" if index == last else None, "logprobs": None}
                    ],
                }
                for index, text in enumerate(texts)
            ] + ([{**head, "choices": [], "usage": self.usage(body)}] if wants_usage else [])
        if body.get("tools"):
            call = self.tool_call(body)
            opening = {**call, "index": 0, "function": {**call["function"], "arguments": ""}}
            closing = {"index": 0, "function": {"arguments": call["function"]["arguments"]}}
            chunks = [
                chunk({"role": "assistant", "content": None, "tool_calls": [opening]}),
                chunk({"tool_calls": [closing]}),
                chunk({}, "tool_calls"),
            ]
            return chunks + ([{**head, "choices": [], "usage": self.usage(body)}] if wants_usage else [])
        chunks = [
            chunk({"role": "assistant", "content": "", "refusal": None}),
            *(chunk({"reasoning_content": piece}) for piece in self.reasoning),
            *(chunk({"content": piece}) for piece in self.pieces),
            chunk({}, reason),
        ]
        if wants_usage:
            chunks.append({**head, "choices": [], "usage": self.usage(body)})
        return chunks

    async def _stream(self, request: web.Request, seen: Seen, fault: Fault | None) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        pieces = [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in self.chunks(seen.body, fault)]
        pieces = self.raw(seen.body["model"]) if self.raw else [*pieces, b"data: [DONE]\n\n"]
        for index, piece in enumerate(pieces):
            if fault and fault.kind == "hang-within" and index == 3:
                await self.gate.wait()
            if fault and fault.kind == "half-event" and index == 3:
                await response.write(piece[: len(piece) // 2])
                assert request.transport is not None
                request.transport.close()
                return response
            await response.write(piece)
            await asyncio.sleep(self.pause_s)
        await response.write_eof()
        seen.finished = True
        return response


@contextlib.asynccontextmanager
async def standing_in(tls: ssl.SSLContext | None = None) -> AsyncIterator[Azure]:
    """A running stand-in. Fails at the end when it was sent something that Azure would not have taken."""
    azure = Azure()
    await azure.start(tls)
    try:
        yield azure
    finally:
        await azure.stop()
    assert not azure.violations, "not allowed by Azure's document:\n" + "\n".join(azure.violations)
