"""The command's surface: help, unknown words, and failures as sentences."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from neuralinverse_hub import cli


def command(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "neuralinverse_hub.cli", *arguments], capture_output=True, text=True, cwd=cwd, timeout=60
    )


def test_help_names_every_command_and_imports_none_of_them() -> None:
    script = (
        "import sys; from neuralinverse_hub import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "print([name for name in sys.modules if name.startswith('neuralinverse_hub.') and name != 'neuralinverse_hub.cli'])"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert all(command.name in shown and command.help in shown for command in cli.COMMANDS)
    assert shown.endswith("[]\n")


def test_help_of_a_command_explains_its_options() -> None:
    shown = command("up", "--help")
    assert shown.returncode == 0
    for option in ("--port", "--data-dir", "--user", "--no-model", "--open", ".env", "Ctrl-C"):
        assert option in shown.stdout


def test_output_into_a_pipe_has_no_colours() -> None:
    assert "\x1b" not in command("--help").stdout + command("up", "--help").stdout


def test_an_unknown_command_is_told_what_there_is() -> None:
    answer = command("upp")
    assert answer.returncode == 2
    assert "upp" in answer.stderr and "install" in answer.stderr


def test_a_port_that_is_none_is_refused_in_a_sentence() -> None:
    for wrong in ("seventy", "70000", "-1", "8000.5", "٣"):
        answer = command("up", "--port", wrong)
        assert answer.returncode == 2
        assert f"{wrong!r} is not a port" in answer.stderr or "expected one argument" in answer.stderr
        assert "Traceback" not in answer.stderr


def test_what_a_person_can_mend_is_one_sentence_and_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    answer = command("up", "--data-dir", str(tmp_path / "file" / "below"))
    assert answer.returncode == 1
    assert answer.stderr.startswith("neuralinverse-hub: Cannot write to the data folder")
    assert len(answer.stderr.splitlines()) == 1
