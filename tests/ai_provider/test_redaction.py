from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ai_provider.redaction import Secrets, folders_up, is_secret_file, secrets_in, secrets_near

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


def test_a_value_counts_as_secret_by_its_name_or_its_length() -> None:
    content = """
    # a comment
    export API_KEY="sk-12345"  # with a comment behind
    PASSWORD='pass word'
    PORT=8000
    REGION=westeurope
    DATABASE_URL=postgres://me:secret@db/x # here
    SHORT_TOKEN=abc
    """
    assert secrets_in(content) == {
        "sk-12345": "API_KEY",
        "pass word": "PASSWORD",
        "postgres://me:secret@db/x": "DATABASE_URL",
    }


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


def test_which_files_stay_here_whole() -> None:
    assert [name for name in (".env", ".env.prod", ".env.example", "env", ".envrc") if is_secret_file(Path(name))] == [
        ".env",
        ".env.prod",
    ]
