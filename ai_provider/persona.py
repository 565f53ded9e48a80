"""The chat's persona in JupyterLab: answers through the gateway, in the open, and says which model answered."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from jupyter_ai_persona_manager import BasePersona, PersonaDefaults
from jupyter_ai_persona_manager.awareness_models import ModelConfiguration, ModelOption
from jupyterlab_chat.models import Message

from neuralinverse_hub import wire

from .attached import Attached
from .client import Gateway, Model, Question
from .client_async import AsyncClient
from .context import Notebook, chosen, window_characters
from .conversation import Conversation
from .errors import AiError, BadInput, Refused
from .handlers import SETTING
from .redaction import folders_up, secrets_near

__all__ = ["NeuralInversePersona"]

AUTO = "auto"

SYSTEM_PROMPT = "You are the assistant of a person who works in JupyterLab. Answer in Markdown, briefly and exactly."

SIGNATURE = re.compile(r"\n\n— \*[^\n]*\*\s*\Z")
"""How our answers end; models must not see it in the history, or they imitate it."""

MENTION = re.compile(r"\A\s*@Neural-Inverse\b[:,]?\s*", re.IGNORECASE)


class NeuralInversePersona(BasePersona):  # type: ignore[misc]  # jupyter-ai is not typed
    """One persona in one chat. The gateway and its token come from the server's environment, never from the page."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._client: AsyncClient | None = None
        self._model = AUTO
        self._windows: dict[str, int | None] = {}
        self._reply: asyncio.Task[None] | None = None

    @property
    def defaults(self) -> PersonaDefaults:
        """What the chat shows of us."""
        return PersonaDefaults(
            name="Neural Inverse",
            description="Answers through your hub's AI gateway. No key, no counter.",
            avatar_path=str(Path(__file__).resolve().parent / "neuralinverse.svg"),
            system_prompt=SYSTEM_PROMPT,
            slash_commands=set(),
        )

    async def prepare(self) -> None:
        """Tell the chat's picker which tasks and models there are."""
        try:
            models = await self._gateway().models()
        except AiError as error:
            self.log.warning("the AI gateway's models are not known yet: %s", error)
            models = [Model(id=AUTO, kind="task", served_by=None)]
        self._windows = {model.id: model.window for model in models}
        self.report_model_configuration(
            ModelConfiguration(current=self._model, options=[option(model) for model in models])
        )

    async def update_model(self, model_id: str) -> None:
        """Ask this task or model from now on."""
        self._model = model_id

    async def process_message(self, message: Message) -> None:
        """Answer into the chat; an error becomes a short message there."""
        self._reply = asyncio.ensure_future(self.stream_message(self._answer(message)))
        try:
            await self._reply
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise  # the server is stopping, not the person
            self.send_message("*Stopped. What came is kept.*")
        finally:
            self._reply = None

    async def cancel_response(self) -> None:
        """Stop the answer that is coming; its connection closes, so the model stops too."""
        if self._reply is not None:
            self._reply.cancel()

    async def shutdown(self) -> None:
        """Leave the chat and close the connections."""
        await super().shutdown()
        if self._client is not None:
            await self._client.aclose()

    def _gateway(self) -> AsyncClient:
        if self._client is None:
            self._client = AsyncClient(Gateway.from_environment(os.environ))
        return self._client

    async def _answer(self, message: Message) -> AsyncIterator[str]:
        """The answer's text as it comes, then the signature, or what went wrong in one sentence."""
        try:
            messages, note = self._messages(message)
            question = Question(messages, self._model)
            async with self._gateway().ask(question) as answer:
                async for new in answer:
                    if not new.text:
                        self.set_status(f"is waiting: {new.waiting}" if new.waiting else "is thinking...")
                    yield new.text
                who = " · ".join(filter(None, (answer.model or self._model, answer.task, note)))
                if not answer.text.strip():
                    raise AiError(
                        f"{who} returned an empty answer. Ask again, say it differently, or ask another model."
                    )
                yield f"\n\n— *{who}*"
        except AiError as error:
            yield f"\n\n> {await self._named(error)}"

    async def _named(self, error: AiError) -> AiError:
        """The same error, with the known names when it was the name that was wrong."""
        if isinstance(error, Refused) and (error.status == 404 or error.code == "model_not_found"):
            with contextlib.suppress(AiError):
                known = ", ".join(model.id for model in await self._gateway().models())
                return BadInput(f"There is no task or model {self._model!r}; known: {known}.")
        return error

    def _messages(self, message: Message) -> tuple[list[dict[str, str]], str]:
        """The conversation of this chat up to ``message`` with its context, as much as fits, and what that was."""
        conversation = Conversation()
        asked = ""
        for earlier in self.chat.get_messages():
            if earlier.id == message.id:
                break
            if earlier.deleted:
                continue
            if earlier.sender == self.id:
                if asked:
                    conversation.remember(asked, SIGNATURE.sub("", earlier.body))
                asked = ""
            else:
                asked = MENTION.sub("", earlier.body)
        prompt = MENTION.sub("", message.body)
        attached = Attached(Path(self.parent.root_dir))
        for number in message.attachments or []:
            attached.add(self.chat.get_attachments().get(number))
        attached.add_open(self._desk_notebook())
        context = chosen(attached.sources, prompt, window_characters(self._windows.get(self._model)))
        system = (
            f"{self.system_prompt}\n\nWhat the person works on:\n{context.text}" if context.text else self.system_prompt
        )
        folder = Path(os.environ.get(wire.ENV_FOLDER) or attached.root)
        beside = [above for own in attached.folders for above in folders_up(own, attached.root)]
        secrets = secrets_near([*folders_up(attached.root, folder), *beside])
        messages = conversation.with_prompt(prompt, system)
        unsent = secrets.found_in("\n".join(sent["content"] for sent in messages)) + attached.refused
        safe = [{**sent, "content": secrets.redact(sent["content"])} for sent in messages]
        note = [f"with {context.note}" if context.note else "", f"not sent: {', '.join(unsent)}" if unsent else ""]
        return safe, " · ".join(filter(None, note))

    def _desk_notebook(self) -> Notebook | None:
        """The notebook the person looked at when they turned to the chat."""
        serverapp = getattr(self.parent.parent, "serverapp", None)
        desk = serverapp.web_app.settings.get(SETTING) if serverapp is not None else None
        return desk.notebook if desk is not None else None


def option(model: Model) -> ModelOption:
    """How the chat's picker shows a task or model."""
    served = f"answered by {model.served_by}" if model.served_by else "nobody answers for it at the moment"
    return ModelOption(id=model.id, name=model.id, description="; ".join(filter(None, (model.description, served))))
