"""``%%ai`` and ``%ai``: ask a task or a model from a notebook cell, and see the answer grow.

A cell that could not be answered fails, with one sentence, so that nbconvert and papermill notice. What had come until then
stays in the output. Nothing is imported here that a kernel does not have loaded already.

Runs in kernels of other virtual environments: standard library and IPython only, Python >= 3.9.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from IPython.display import display

from neuralinverse_hub import wire

from .client import Answer, Client, Gateway, Question
from .context import shortened, window_characters
from .conversation import Conversation, Failure, failure_of, insert
from .errors import AiError, BadInput, Cut, Interrupted, Refused, TooLong
from .formats import without_fence
from .output import Output
from .reader import Beside, Direct
from .redaction import folders_up, secrets_near
from .request import COMMANDS, Request, parse, split, table, usage

__all__ = ["AiMagics", "load_ipython_extension", "unload_ipython_extension"]

SHORT_CHARACTERS = 6_000
"""Up to this length a prompt fits into any window, and nobody is asked how large it is."""

LEAST_CHARACTERS = 500
"""A question that is too long even when it was shortened to this is refused."""

CALL = re.compile(r"get_ipython\(\)\.run_(?:cell|line)_magic\('ai', (.*\))\s*\Z", re.DOTALL)
"""What IPython makes of ``%%ai`` and ``%ai`` at the beginning of a line."""


@magics_class
class AiMagics(Magics):
    """The magics of one kernel, with their history and their connection."""

    def __init__(self, shell: Any, environ: Mapping[str, str] | None = None) -> None:
        super().__init__(shell)
        self._shell = shell
        self._environ = os.environ if environ is None else environ
        self._client: Client | None = None
        self._conversation = Conversation()
        self._failure: Failure | None = None

    @no_var_expand
    @line_cell_magic
    def ai(self, line: str, cell: str | None = None) -> None:
        """Ask the AI. ``%ai help`` says how."""
        # What reads here never gives way, so the coroutine runs to its end in one go.
        with contextlib.suppress(StopIteration):
            self._do(line, cell, Direct).send(None)

    async def beside(self, line: str, cell: str | None = None) -> None:
        """The same, while the other tasks of the kernel's event loop go on: what ``awaited`` makes of a cell."""
        await self._do(line, cell, Beside)

    async def _do(self, line: str, cell: str | None, reading: type[Direct]) -> None:
        words = split(line)
        if cell is not None:
            await self._ask(parse(words), cell, reading)
            return
        command = words[0] if words else "help"
        if command == "fix":
            request = parse(words[1:])
            if self._failure is None:
                raise BadInput("There is nothing to fix: no cell of this notebook has failed yet.")
            await self._ask(request, self._failure.prompt(), reading)
            return
        if command not in COMMANDS:
            raise BadInput(
                f"There is no %ai {command!r}; known: {', '.join(COMMANDS)}. To ask, begin a cell with %%ai and write below it."
            )
        if len(words) > 1:
            raise BadInput(f"%ai {command} takes nothing after it, not {' '.join(words[1:])!r}.")
        if command == "list":
            display(table(await reading(self._gateway()).models()), raw=True)  # type: ignore[no-untyped-call]
        elif command == "history":
            print(self._conversation.summary())
        elif command == "reset":
            self._conversation.forget()
            print("The history is empty.")
        else:
            print(usage())

    def remember_failure(self, result: Any) -> None:
        """Called by IPython after each cell: keeps the last failure for ``%ai fix``."""
        error = result.error_before_exec or result.error_in_exec
        if isinstance(error, Exception) and not isinstance(error, AiError):
            self._failure = failure_of(error, getattr(result.info, "raw_cell", "") or "")

    def transform(self, lines: list[str]) -> list[str]:
        """Called by IPython with the lines of a cell before it decides whether the cell is asynchronous."""
        asyncio_runner = self._shell.loop_runner_map["asyncio"][0]
        return awaited(lines) if self._shell.autoawait and self._shell.loop_runner is asyncio_runner else lines

    def close(self) -> None:
        """Close the connection to the gateway."""
        if self._client is not None:
            self._client.close()

    def _gateway(self) -> Client:
        gateway = Gateway.from_environment(self._environ)
        if self._client is None or self._client.gateway != gateway:
            self.close()
            self._client = Client(gateway)
        return self._client

    async def _ask(self, request: Request, prompt: str, reading: type[Direct]) -> None:
        prompt = prompt.strip()
        if request.insert:
            prompt = insert(prompt, self._shell.user_ns)
        prompt, unsent = self._safe(prompt)
        window = await self._window(request.model, reading) if len(prompt) > SHORT_CHARACTERS else None
        room = window_characters(window)
        while True:
            sent = shortened(prompt, room)
            messages = self._conversation.with_prompt(
                sent.text, request.format.instruction, room=room + room // 2 - len(sent.text)
            )
            try:
                text, signature = await self._stream(
                    Question(messages, request.model), request, reading, " · ".join(filter(None, (unsent, sent.note)))
                )
                break
            except TooLong:
                room = min(room, sum(len(message["content"]) for message in messages)) // 2
                if room < LEAST_CHARACTERS:
                    raise
        self._conversation.remember(sent.text, text)
        if request.format.name == "code":
            self._shell.set_next_input(f"# {signature}\n{without_fence(text)}")

    def _safe(self, prompt: str) -> tuple[str, str]:
        """``prompt`` without the secrets of the project, and what the person is told of them."""
        here = os.environ.get("PWD", os.sep) if not os.path.exists(".") else os.getcwd()
        secrets = secrets_near(folders_up(Path(here), Path(self._environ.get(wire.ENV_FOLDER) or here)))
        found = secrets.found_in(prompt)
        return secrets.redact(prompt), f"not sent, because it is in .env: {', '.join(found)}" if found else ""

    async def _window(self, model: str, reading: type[Direct]) -> int | None:
        """What ``model`` reads at once, as far as the gateway says."""
        try:
            return next((known.window for known in await reading(self._gateway()).models() if known.id == model), None)
        except AiError:
            return None  # the question itself will say what is wrong

    async def _stream(self, question: Question, request: Request, reading: type[Direct], note: str) -> tuple[str, str]:
        """The whole answer, shown while it came, and who gave it. ``note`` is shown with it."""
        output = Output(hasattr(self._shell, "kernel"), request.format)
        answer: Answer | None = None
        broken: AiError | None = None
        thought = 0
        steps = reading(self._gateway()).ask(question)
        try:
            async for step in steps:
                if isinstance(step, Answer):
                    answer = step
                elif answer is not None and step.text:
                    output.grow(answer.text)
                else:
                    thought += len(step.reasoning)
                    output.wait(step.waiting or f"thinking, {thought:,} characters so far")
        except (KeyboardInterrupt, asyncio.CancelledError):
            if answer is None:
                raise Interrupted("Interrupted before the answer began.") from None
            broken = Interrupted("Interrupted. What came is kept.", text=answer.text)
        except Cut as cut:
            broken = cut
        except Refused as refused:
            raise await self._named(refused, request.model, reading) from None
        finally:
            await steps.aclose()
        assert answer is not None
        signature = " · ".join(filter(None, (answer.model or request.model, answer.task)))
        if broken is None and not answer.text.strip():
            broken = AiError(
                f"{signature} returned an empty answer. Ask again, say it differently, or ask another model."
            )
        try:
            output.end(answer.text, whole=broken is None)
        except AiError as error:
            broken = error
        ends = {
            "length": "stopped at the model's length limit",
            "content_filter": "stopped by the provider's content filter",
        }
        ended = "not complete" if broken is not None else ends.get(answer.finish or "")
        output.sign(" · ".join(filter(None, (signature, ended, note))))
        if broken is not None:
            raise broken
        return answer.text, signature

    async def _named(self, refused: Refused, model: str, reading: type[Direct]) -> AiError:
        """The same refusal, with the known names when it was the name that was wrong."""
        if refused.status != 404 and refused.code != "model_not_found":
            return refused
        try:
            known = ", ".join(listed.id for listed in await reading(self._gateway()).models())
        except AiError:
            return refused
        return BadInput(f"There is no task or model {model!r}; known: {known}.")


def awaited(lines: list[str]) -> list[str]:
    """A cell that is one ``%%ai`` or ``%ai`` and nothing else, made to await its answer; any other cell as it is.

    IPython asks after it has turned magics into calls: awaiting makes the cell one of its asynchronous cells.
    """
    code = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    call = CALL.match(code[0]) if len(code) == 1 else None
    return lines if call is None else [f"await get_ipython().find_cell_magic('ai').__self__.beside({call.group(1)}\n"]


def load_ipython_extension(shell: Any) -> None:
    """Give the kernel ``%ai`` and ``%%ai``; a second call changes nothing."""
    if AiMagics.__name__ in shell.magics_manager.registry:  # by its name: the workspace loads a copy of its own
        return
    magics = AiMagics(shell)
    shell.register_magics(magics)
    shell.events.register("post_run_cell", magics.remember_failure)
    if hasattr(shell, "kernel"):  # a terminal's loop runs only while a cell does
        shell.input_transformers_post.append(magics.transform)


def unload_ipython_extension(shell: Any) -> None:
    """Close what the magics opened. The names stay: IPython cannot take them back."""
    magics = shell.magics_manager.registry.pop(AiMagics.__name__, None)
    if magics is not None:
        shell.events.unregister("post_run_cell", magics.remember_failure)
        with contextlib.suppress(ValueError):
            shell.input_transformers_post.remove(magics.transform)
        magics.close()
