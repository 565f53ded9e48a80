from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from nbclient import NotebookClient
from nbformat.notebooknode import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

import ai_provider
from ai_provider import kernel_startup
from tests.ai_provider.standin import WHO, StandIn

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


def test_our_file_is_put_there_once_and_kept_up_to_date(tmp_path: Path) -> None:
    path = kernel_startup.install(tmp_path)
    assert path == tmp_path / ".ipython/profile_default/startup/00-neuralinverse.py"
    before = path.stat().st_mtime_ns
    kernel_startup.install(tmp_path)
    assert path.stat().st_mtime_ns == before
    path.write_text(f"{kernel_startup.MARK}\nraise RuntimeError('an older copy')\n")
    kernel_startup.install(tmp_path)
    assert path.read_text() == kernel_startup.text()
    assert os.listdir(path.parent) == [path.name]


def test_a_file_of_the_person_is_left_alone(tmp_path: Path) -> None:
    path = kernel_startup.install(tmp_path)
    path.write_text("print('mine')\n")
    assert kernel_startup.install(tmp_path) == path
    assert path.read_text() == "print('mine')\n"


def foreign_environment(folder: Path) -> Path:
    """The Python of a virtual environment that has what our tests have, except our own packages."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    theirs = next(folder.glob("lib/python*/site-packages"))
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith(
            ("neuralinverse", "ai_provider", "spawner", "__editable__", "_virtualenv", "__pycache__")
        ):
            (theirs / entry.name).symlink_to(entry)
    return python


def run(home: Path, environment: dict[str, str], *sources: str, kernel: str = "python3") -> NotebookNode:
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("NEURALINVERSE_", "JUPYTERHUB", "IPYTHON", "PYTHONPATH"))
    }
    client = NotebookClient(notebook, kernel_name=kernel, timeout=60)
    client.execute(cwd=str(home), env={**kept, "HOME": str(home), **environment})
    return notebook


def test_a_kernel_of_another_environment_answers_and_sees_nothing_else_of_ours(
    tmp_path: Path, gateway: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = foreign_environment(tmp_path / "venv")
    spec = tmp_path / "data" / "kernels" / "foreign" / "kernel.json"
    spec.parent.mkdir(parents=True)
    command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec.write_text(json.dumps({"argv": command, "display_name": "Foreign", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "data"))
    kernel_startup.install(tmp_path)
    here = str(Path(str(ai_provider.__file__)).parent.parent)
    done = run(
        tmp_path,
        gateway.environment(),
        "%%ai\nHi",
        "import sys, importlib.util as u\n"
        "print(sys.executable, [n for n in dir() if 'neuralinverse' in n], u.find_spec('spawner'))\n"
        f"print({here!r} in sys.path, [m for m in ('aiohttp', 'jupyter_ai_persona_manager') if m in sys.modules])",
        kernel="foreign",
    )
    assert done.cells[0].outputs[0].data["text/plain"].startswith("Hello from")
    assert done.cells[1].outputs[0].text == f"{python} [] None\nFalse []\n"


def test_a_project_with_a_package_of_the_same_name_keeps_it(tmp_path: Path, gateway: StandIn) -> None:
    (tmp_path / "ai_provider").mkdir()
    (tmp_path / "ai_provider" / "__init__.py").write_text("mine = 1\n")
    kernel_startup.install(tmp_path)
    done = run(tmp_path, gateway.environment(), "from ai_provider import mine\nprint(mine)", "%%ai\nHi")
    assert done.cells[0].outputs[0].text == "1\n"
    assert done.cells[1].outputs[0].data["text/plain"].startswith("Hello from")


def test_loading_it_once_more_changes_nothing(tmp_path: Path, gateway: StandIn) -> None:
    kernel_startup.install(tmp_path)
    done = run(tmp_path, gateway.environment(), "%load_ext ai_provider", "1 / 1", "%%ai\nHi")
    assert len(gateway.asked) == 1
    assert len(done.cells[2].outputs) == 2


def test_a_terminal_gets_plain_text_as_it_comes(tmp_path: Path, gateway: StandIn) -> None:
    kernel_startup.install(tmp_path)
    command = "get_ipython().run_cell_magic('ai', 'coding', 'Hi')"
    environment = {**os.environ, **gateway.environment(), "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "IPython", "--simple-prompt", "--no-banner", "-c", command],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == f"Hello from **the** gateway. Grüße, 世界\n-- {WHO} · coding\n"


def test_a_kernel_into_which_it_cannot_be_loaded_starts_and_the_reason_is_kept(tmp_path: Path) -> None:
    path = kernel_startup.install(tmp_path)
    path.write_text(path.read_text().replace("from ai_provider import magics", "import no_such_module"))
    done = run(tmp_path, {}, "print(1 + 1)")
    assert done.cells[0].outputs[0].text == "2\n"
    assert (
        "No module named 'no_such_module'" in (tmp_path / ".ipython/profile_default/log/neuralinverse.log").read_text()
    )
