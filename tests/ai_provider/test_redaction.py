from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_provider.redaction import (
    Secrets,
    folder_of,
    folders_up,
    is_dotenv,
    is_secret_file,
    is_secret_value,
    parse_dotenv,
    secrets_in,
    secrets_near,
)

CASES: dict[str, Any] = json.loads((Path(__file__).parent / "secrets.json").read_bytes())
"""What holds for TypeScript, too."""

VALUES = st.text(st.characters(categories=["L", "N"]), min_size=12, max_size=30)


@given(
    values=st.dictionaries(VALUES, st.from_regex(r"[A-Z]{1,8}", fullmatch=True), max_size=5),
    around=st.text(max_size=20),
)
def test_no_secret_is_left_in_redacted_text(values: dict[str, str], around: str) -> None:
    secrets = Secrets(values)
    text = around.join(["", *values, ""])
    redacted = secrets.redact(text)
    for value, name in values.items():
        assert value not in redacted or value in f"<{name} from .env>" + around
    assert secrets.redact("nothing of the kind") == "nothing of the kind" or not values


def test_the_rules_are_those_of_the_editor() -> None:
    for name in CASES["kept_back_whole"]:
        assert is_secret_file(Path(name)), name
    for name in CASES["may_be_sent"]:
        assert not is_secret_file(Path(name)), name
    for name in CASES["read_for_values"]:
        assert is_dotenv(Path(name)), name
    for name in CASES["not_read_for_values"]:
        assert not is_dotenv(Path(name)), name
    for case in CASES["assignments"]:
        assert parse_dotenv(case["text"]) == case["values"], case["text"]
    for name, value in CASES["secret"]:
        assert is_secret_value(name, value), (name, value)
    for name, value in CASES["no_secret"]:
        assert not is_secret_value(name, value), (name, value)


@pytest.mark.parametrize("case", CASES["texts"], ids=lambda case: case["sent"])
def test_what_is_sent_is_what_the_editor_sends(case: dict[str, str]) -> None:
    assert Secrets(secrets_in(case["dotenv"])).redact(case["text"]) == case["sent"]


def test_the_files_of_a_folder_and_those_above_are_read_and_examples_are_not(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / ".env").write_text("TOP_SECRET=from-the-top\n")
    (inner / ".env.local").write_text("LOCAL_KEY=from-local\n")
    (inner / ".env.example").write_text("EXAMPLE_KEY=an-example\n")
    (inner / ".env.d").mkdir()
    secrets = secrets_near(folders_up(inner, tmp_path))
    assert secrets.found_in("from-the-top, from-local, an-example") == ["LOCAL_KEY", "TOP_SECRET"]
    assert secrets.redact("use from-local") == "use <LOCAL_KEY from .env>"
    assert "from-local" not in repr(secrets)


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("a/b/n.ipynb", "a/b"),
        ("RTC:a/n.ipynb", "a"),
        ("n.ipynb", "."),
        ("", "."),
        ("../../etc/passwd", "."),
        ("/etc/x", "."),
    ],
)
def test_a_file_named_by_a_page_is_in_a_folder_of_the_workspace(tmp_path: Path, path: str, folder: str) -> None:
    assert folder_of(path, tmp_path) == (tmp_path / folder).resolve()
