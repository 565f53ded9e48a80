"""Tells the command ``llm`` of the gateway's tasks, so that ``llm "a question"`` answers in every terminal.

``llm`` takes address and key from ``OPENAI_BASE_URL`` and ``OPENAI_API_KEY`` by itself, but refuses names that it does not know,
and asks for one of OpenAI's when none is given. Its format: https://llm.datasette.io/en/stable/other-models.html
"""

from __future__ import annotations

from pathlib import Path

from .kernel_startup import MARK, put

__all__ = ["install"]

FOLDER = Path(".config", "io.datasette.llm")
DEFAULT = "auto"
TASKS = (DEFAULT, "coding", "reasoning", "general")
"""Without an address: then ``llm`` sends the key of the environment to the address of the environment."""


def install(home: Path) -> None:
    """Write the list of tasks below ``home``, and make ``auto`` the default where the person has chosen none.

    A list without our mark is the person's own and is left alone, and so is their default. Raises ``OSError`` when ``home``
    cannot be written.
    """
    folder = home / FOLDER
    listed = "".join(f"- {{model_id: {name}, model_name: {name}, supports_tools: true}}\n" for name in TASKS)
    kept = "# It names the AI gateway's tasks for llm. To keep your own version, remove the first line.\n"
    if not put(folder / "extra-openai-models.yaml", f"{MARK}\n{kept}{listed}", MARK):
        return
    default = folder / "default_model.txt"
    if not default.exists():
        default.write_text(DEFAULT)
