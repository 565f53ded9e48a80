from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jupyterlab_chat.models import FileAttachment, NotebookAttachment, NotebookAttachmentCell

from ai_provider.attached import Attached
from ai_provider.context import (
    Cell,
    Notebook,
    chosen,
    notebook_of,
    source_of_notebook,
    source_of_text,
    window_characters,
)


@given(text=st.text(), budget=st.integers(min_value=0, max_value=500))
def test_the_parts_never_take_more_than_the_budget(text: str, budget: int) -> None:
    source = source_of_text("a.txt", text)
    kept = chosen([source], "anything at all", budget).text
    parts = [part.text for part in source.parts if part.text and part.text in kept]
    assert (
        sum(map(len, parts)) <= budget
        or len(set(parts)) < len(parts)
        or any(a in b for a in parts for b in parts if a is not b)
    )


def test_a_file_that_fits_is_whole_and_named() -> None:
    kept = chosen([source_of_text("a.py", "x = 1\ny = 2", "py")], "Why?", 100)
    assert kept.text == "`a.py`:\n````py\nx = 1\ny = 2\n````"
    assert kept.note == "a.py"


def test_of_a_long_file_the_parts_that_share_rare_words_are_kept_in_their_order_and_the_person_is_told() -> None:
    blocks = ["\n".join([f"def number_{n}():", *["    common()"] * 30]) + "\n" for n in range(20)]
    blocks[13] = blocks[13].replace("common", "quaternion", 3)
    source = source_of_text("long.py", "\n".join(blocks))
    kept = chosen([source], "What does quaternion do in common?", 1_500)
    assert "quaternion" in kept.text
    assert kept.text.index("number_0") < kept.text.index("quaternion")
    assert "[…]" in kept.text
    assert "of 20 blocks of long.py" in kept.note


def test_of_a_long_notebook_the_cells_near_the_person_are_kept() -> None:
    cells = tuple(Cell("code", f"step_{n} = {'x' * 200}", f"output {n}") for n in range(50))
    kept = chosen([source_of_notebook(Notebook("n.ipynb", cells, active=30))], "Why?", 1_000)
    assert "# cell 31, code (the person is here)\nstep_30" in kept.text
    assert "step_29" in kept.text and "step_31" in kept.text and "output 30" in kept.text
    assert "step_10" not in kept.text
    assert "of 50 cells of n.ipynb" in kept.note


def test_a_notebook_file_becomes_cells_with_the_text_of_their_outputs() -> None:
    outputs = [
        {"output_type": "stream", "text": ["a\n", "b\n"]},
        {"output_type": "execute_result", "data": {"text/plain": "3", "image/png": "AAAA"}},
        {"output_type": "error", "ename": "ValueError", "evalue": "no"},
    ]
    cell = {"cell_type": "code", "id": "one", "source": ["1", "+2"], "outputs": outputs}
    assert notebook_of("n.ipynb", json.dumps({"cells": [cell]})).cells == (
        Cell("code", "1+2", "a\nb\n\n3\nValueError: no", "one"),
    )
    with pytest.raises(ValueError, match=r"n\.ipynb is not a notebook"):
        notebook_of("n.ipynb", "[]")


def test_a_larger_window_takes_more() -> None:
    assert window_characters(None) == 12_288 < window_characters(128_000)


def test_what_was_attached_is_read_and_what_must_stay_here_is_refused_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1")
    (tmp_path / ".env").write_text("KEY=secret-value")
    (tmp_path / "b.png").write_bytes(b"\x89PNG\0\0")
    (tmp_path / "big.txt").write_text("x" * 2_000_001)
    notebook = {"cells": [{"cell_type": "code", "id": str(n), "source": f"c{n}"} for n in range(3)]}
    (tmp_path / "n.ipynb").write_text(json.dumps(notebook))
    attached = Attached(tmp_path)
    for name in ("a.py", ".env", "b.png", "big.txt", "gone.py", "../outside"):
        attached.add(FileAttachment(value=name))
    attached.add(NotebookAttachment(value="n.ipynb", cells=[NotebookAttachmentCell(id="1", input_type="code")]))
    attached.add(None)
    assert [source.name for source in attached.sources] == ["a.py", "n.ipynb"]
    assert [part.text for part in attached.sources[1].parts] == ["# cell 1, code\nc1"]
    assert attached.refused == [
        ".env (holds secrets)",
        "b.png (not text)",
        "big.txt (more than 2,000,000 bytes)",
        "gone.py (No such file or directory)",
        "../outside (outside the workspace)",
        "an attachment that is gone",
    ]
