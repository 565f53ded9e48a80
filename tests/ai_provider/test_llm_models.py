from __future__ import annotations

from pathlib import Path

from ai_provider import llm_models
from ai_provider.kernel_startup import MARK


def test_what_the_person_wrote_or_chose_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / ".config" / "io.datasette.llm"
    listed, default = folder / "extra-openai-models.yaml", folder / "default_model.txt"
    llm_models.install(tmp_path)
    assert listed.read_text().startswith(MARK)
    assert default.read_text() == "auto"

    default.write_text("coding")
    listed.write_text(f"{MARK}\n- of an older version\n")
    llm_models.install(tmp_path)
    assert "model_id: reasoning" in listed.read_text()
    assert default.read_text() == "coding"

    listed.write_text("- {model_id: mine, model_name: mine}\n")
    default.unlink()
    llm_models.install(tmp_path)
    assert listed.read_text() == "- {model_id: mine, model_name: mine}\n"
    assert not default.exists()
