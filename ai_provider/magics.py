"""``%%ai`` and ``%ai``: ask a task or a model from a notebook cell, and see the answer grow.

A cell that could not be answered fails, with one sentence, so that nbconvert and papermill notice. What had come until then
stays in the output. Nothing is imported here that a kernel does not have loaded already.

Runs in kernels of other virtual environments: standard library and IPython only, Python >= 3.9.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from IPython.display import display

from neuralinverse_hub import wire

from .client import Client, Gateway, Model, Question
from .conversation import Conversation, Failure, failure_of, insert
from .errors import AiError, BadInput, Cut, Interrupted, Refused
from .formats import FORMATS, Bundle, Format, format_named, without_fence
from .redaction import folders_up, secrets_near

__all__ = ["AiMagics", "Request", "load_ipython_extension", "parse", "unload_ipython_extension"]

COMMANDS = {
    "list": "tasks and models, and who answers for them today",
    "fix": "explain the last exception of this notebook and repair it",
    "history": "what will be sent along with the next question",
    "reset": "forget the history",
    "help": "this text",
}


@dataclass(frozen=True)
class Request:
    """The first line of a cell, understood."""

    model: str
    format: Format
    insert: bool = False
    """Whether ``{name}`` in the prompt stands for a variable of the notebook."""


def parse(words: Sequence[str]) -> Request:
    """What the words after ``%%ai`` ask for. Raises ``BadInput`` for everything it does not know."""
    names: list[str] = []
    chosen = FORMATS[0]
    variables = False
    rest = list(words)
    while rest:
        word = rest.pop(0)
        option, equals, value = word.partition("=")
        if option in ("-f", "--format"):
            if not equals:
                if not rest:
                    raise BadInput(f"{option} needs a format: {', '.join(known.name for known in FORMATS)}.")
                value = rest.pop(0)
            chosen = format_named(value)
        elif word == "--vars":
            variables = True
        elif word.startswith("-"):
            raise BadInput(f"There is no option {word!r}; known: -f FORMAT, --vars.")
        else:
            names.append(word)
    if len(names) > 1:
        raise BadInput(
            f"After %%ai comes one task or model, not {' '.join(names)!r}. The prompt begins on the next line; %ai list shows the names."
        )
    return Request(model=names[0] if names else "auto", format=chosen, insert=variables)


def split(line: str) -> list[str]:
    """The words of a magic's line; quotes keep words together. Raises ``BadInput`` for an open quote."""
    try:
        return shlex.split(line)
    except ValueError as error:
        raise BadInput(f"The line {line!r} cannot be read: {error}.") from None


def usage() -> str:
    """What ``%ai help`` says."""
    commands = [f"  %ai {name:<9}{what}" for name, what in COMMANDS.items()]
    formats = [f"  -f {known.name:<10}{known.description}" for known in FORMATS]
    return "\n".join(
        [
            "%%ai [task or model] [-f format] [--vars]   asks; the prompt is the rest of the cell",
            *formats,
            "  --vars        {name} in the prompt stands for that variable; {{ and }} are braces",
            *commands,
        ]
    )


def table(models: Iterable[Model]) -> Bundle:
    """What ``%ai list`` shows."""
    rows = [(model.id, model.kind, model.served_by or "nobody at the moment", model.description) for model in models]
    wide = max((len(row[0]) for row in rows), default=0)
    plain = [f"{name:<{wide}}  {kind:<11}{who}" for name, kind, who, _ in rows]
    marked = [
        "| Name | Kind | Answered by | |",
        "|:--|:--|:--|:--|",
        *(f"| `{a}` | {b} | {c} | {d} |" for a, b, c, d in rows),
    ]
    return {"text/plain": "\n".join(plain), "text/markdown": "\n".join(marked)}


class Output:
    """Where an answer grows: one display that is replaced in a notebook, written-on text in a terminal."""

    def __init__(self, in_notebook: bool, shape: Format) -> None:
        self._in_notebook = in_notebook
        self._shape = shape
        self._handle: Any = None
        self._shown_at = 0.0
        self._printed = 0

    def grow(self, text: str) -> None:
        """Show the text so far: the first at once, then at a pace a browser can follow."""
        if not self._in_notebook:
            sys.stdout.write(text[self._printed :])
            sys.stdout.flush()
            self._printed = len(text)
            return
        now = time.monotonic()
        # Each update carries the whole text: the longer it is, the fewer of them.
        if self._handle is None or now - self._shown_at >= 0.05 + len(text) / 400_000:
            self._shown_at = now
            self._show(self._shape.meanwhile(text))

    def wait(self, words: str) -> None:
        """Say why there is no answer yet."""
        if self._in_notebook and (self._handle is None or time.monotonic() - self._shown_at >= 0.5):
            self._shown_at = time.monotonic()
            self._show({"text/markdown": f"*{words}*", "text/plain": words})

    def end(self, text: str, whole: bool) -> None:
        """Show the text as it stays. Raises ``AiError`` when a whole text is not what its format promises."""
        if not self._in_notebook:
            sys.stdout.write(text[self._printed :] + "\n")
            sys.stdout.flush()
        elif text or self._handle is not None:
            self._show(self._shape.meanwhile(text))
        if whole:
            final = self._shape.finally_(text)
            if self._in_notebook and final != self._shape.meanwhile(text):
                self._show(final)

    def sign(self, words: str) -> None:
        """Say below the answer whose it is."""
        if self._in_notebook:
            display({"text/markdown": f"*{words}*", "text/plain": words}, raw=True)  # type: ignore[no-untyped-call]
        else:
            sys.stdout.write(f"-- {words}\n")

    def _show(self, bundle: Bundle) -> None:
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(bundle, raw=True)


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
        words = split(line)
        if cell is not None:
            self._ask(parse(words), cell)
            return
        command = words[0] if words else "help"
        if command == "fix":
            request = parse(words[1:])
            if self._failure is None:
                raise BadInput("There is nothing to fix: no cell of this notebook has failed yet.")
            self._ask(request, self._failure.prompt())
            return
        if command not in COMMANDS:
            raise BadInput(
                f"There is no %ai {command!r}; known: {', '.join(COMMANDS)}. To ask, begin a cell with %%ai and write below it."
            )
        if len(words) > 1:
            raise BadInput(f"%ai {command} takes nothing after it, not {' '.join(words[1:])!r}.")
        if command == "list":
            display(table(self._gateway().models()), raw=True)  # type: ignore[no-untyped-call]
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

    def _ask(self, request: Request, prompt: str) -> None:
        prompt = prompt.strip()
        if request.insert:
            prompt = insert(prompt, self._shell.user_ns)
        here = os.environ.get("PWD", os.sep) if not os.path.exists(".") else os.getcwd()
        secrets = secrets_near(folders_up(Path(here), Path(self._environ.get(wire.ENV_FOLDER) or here)))
        kept = secrets.found_in(prompt)
        prompt = secrets.redact(prompt)
        question = Question(self._conversation.with_prompt(prompt, request.format.instruction), request.model)
        text, signature = self._stream(question, request, kept)
        self._conversation.remember(prompt, text)
        if request.format.name == "code":
            self._shell.set_next_input(f"# {signature}\n{without_fence(text)}")

    def _stream(self, question: Question, request: Request, kept: Sequence[str]) -> tuple[str, str]:
        """The whole answer, shown while it came, and who gave it. ``kept`` are the secrets that were not sent."""
        client = self._gateway()
        output = Output(hasattr(self._shell, "kernel"), request.format)
        try:
            answer = client.ask(question)
        except KeyboardInterrupt:
            raise Interrupted("Interrupted before the answer began.") from None
        except Refused as refused:
            raise self._named(refused, request.model) from None
        thought = 0
        with answer:
            try:
                for new in answer:
                    thought += len(new.reasoning)
                    if new.text:
                        output.grow(answer.text)
                    else:
                        output.wait(new.waiting or f"thinking, {thought:,} characters so far")
                broken: AiError | None = None
            except KeyboardInterrupt:
                broken = Interrupted("Interrupted. What came is kept.", text=answer.text)
            except Cut as cut:
                broken = cut
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
        note = "not complete" if broken is not None else ends.get(answer.finish or "")
        unsent = f"not sent, because it is in .env: {', '.join(kept)}" if kept else ""
        output.sign(" · ".join(filter(None, (signature, note, unsent))))
        if broken is not None:
            raise broken
        return answer.text, signature

    def _named(self, refused: Refused, model: str) -> AiError:
        """The same refusal, with the known names when it was the name that was wrong."""
        if refused.status != 404 and refused.code != "model_not_found":
            return refused
        try:
            known = ", ".join(listed.id for listed in self._gateway().models())
        except AiError:
            return refused
        return BadInput(f"There is no task or model {model!r}; known: {known}.")


def load_ipython_extension(shell: Any) -> None:
    """Give the kernel ``%ai`` and ``%%ai``; a second call changes nothing."""
    if AiMagics.__name__ in shell.magics_manager.registry:  # by its name: the workspace loads a copy of its own
        return
    magics = AiMagics(shell)
    shell.register_magics(magics)
    shell.events.register("post_run_cell", magics.remember_failure)


def unload_ipython_extension(shell: Any) -> None:
    """Close what the magics opened. The names stay: IPython cannot take them back."""
    magics = shell.magics_manager.registry.pop(AiMagics.__name__, None)
    if magics is not None:
        shell.events.unregister("post_run_cell", magics.remember_failure)
        magics.close()
