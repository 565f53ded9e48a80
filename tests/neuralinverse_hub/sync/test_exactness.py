"""Whatever a person and Git do to a folder, a kill at any point brings back a state that was really there.

Hypothesis draws sequences of file and Git operations, where the work is asked to be saved, and where everything is
killed; the folder is restored elsewhere and compared to the byte, repositories included.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from neuralinverse_hub import wire
from tests.neuralinverse_hub.sync.rig import Host, TokenServer, Workspace, git, picture

NAMES = ["a.txt", "b.txt", "dir/c.txt", "dir/deep/d.bin", "sp ace", "ünï.txt", "-dash", "tab\there", ":colon", "=ni=x"]
REPOSITORIES = ["one", "two"]

KEY = base64.b64encode(bytes(32)).decode()

Operation = Callable[[Path, int, int], Iterator[None] | None]


def _file(repository: Path, which: int) -> Path:
    path = repository / NAMES[which % len(NAMES)]
    for parent in reversed(path.relative_to(repository).parents):
        folder = repository / parent
        if folder.is_symlink() or folder.is_file():
            folder.unlink()
        folder.mkdir(exist_ok=True)
    return path


def _clear(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)


def add(repository: Path, which: int, what: int) -> None:
    path = _file(repository, which)
    _clear(path)
    path.write_bytes([b"text\n", b"crlf\r\n\r\n", b"", bytes(range(256)), os.urandom(40_000)][what % 5] * (what + 1))


def edit(repository: Path, which: int, what: int) -> None:
    path = _file(repository, which)
    if path.is_file() and not path.is_symlink():
        with path.open("ab") as file:
            file.write(b"more %d\n" % what)


def non_utf8(repository: Path, which: int, what: int) -> None:
    with open(os.fsencode(repository) + b"/\xff\xfe%d" % (which % 3), "wb") as file:
        file.write(b"%d" % what)


def chmod(repository: Path, which: int, what: int) -> None:
    path = _file(repository, which)
    if path.is_file() and not path.is_symlink():
        path.chmod(0o755 if what % 2 else 0o644)


def rename(repository: Path, which: int, what: int) -> None:
    path, target = _file(repository, which), _file(repository, what)
    if path.exists() and path != target and not target.exists():
        path.rename(target)


def rename_folder(repository: Path, which: int, what: int) -> None:
    source, target = ["dir", "moved"] if which % 2 else ["moved", "dir"]
    if (repository / source).is_dir() and not (repository / target).exists():
        (repository / source).rename(repository / target)


def symlink(repository: Path, which: int, what: int) -> None:
    path = _file(repository, which)
    _clear(path)
    os.symlink(["a.txt", "nowhere", "dir", "/etc/hostname", "../plain"][what % 5], path)


def delete(repository: Path, which: int, what: int) -> None:
    _clear(_file(repository, which))


def empty_folder(repository: Path, which: int, what: int) -> None:
    (repository / f"empty{which % 2}" / f"inner{what % 2}").mkdir(parents=True, exist_ok=True)


def git_operation(*commands: str) -> Operation:
    def operate(repository: Path, which: int, what: int) -> None:
        name = "./" + NAMES[which % len(NAMES)]
        for command in commands:
            parts = [part.format(name=name, n=what % 4, m=which % 4) for part in command.split("|")]
            git(repository, "-c", "protocol.file.allow=always", *parts, check=False)

    operate.__name__ = "git " + "; ".join(commands).replace("|", " ")
    return operate


def conflict(how: str) -> Operation:
    """Yields whenever a file has become what it is neither before nor after all of it: that may be what comes back."""

    def operate(repository: Path, which: int, what: int) -> Iterator[None]:
        git(repository, "add", "-A", check=False)
        git(repository, "commit", "-qm", "before", check=False)
        git(repository, "branch", "-f", "other", check=False)
        for branch in ("other", "ours"):
            git(repository, "checkout", "-q", *(["-B", "ours", "HEAD~"] if branch == "ours" else [branch]), check=False)
            yield
            path = _file(repository, 0)
            _clear(path)
            yield
            path.write_text(f"{branch} {what}\n")
            yield
            git(repository, "add", "-A", check=False)
            git(repository, "commit", "-qm", branch, check=False)
        git(repository, *how.split(), check=False)

    operate.__name__ = how
    return operate


def nested(repository: Path, which: int, what: int) -> None:
    inner = repository / "nested"
    inner.mkdir(exist_ok=True)
    git(inner, "init", "-q", check=False)
    (inner / "inside.txt").write_text(f"inside {what}\n")
    if which % 2:
        git(inner, "add", "-A", check=False)
        git(inner, "commit", "-qm", "inside", check=False)


def submodule(repository: Path, which: int, what: int) -> None:
    other = repository.parent / REPOSITORIES[repository.name == REPOSITORIES[0]]
    allow = ("-c", "protocol.file.allow=always")
    if not (repository / "sub").exists():
        git(repository, *allow, "submodule", "add", "-q", str(other), "sub", check=False)
    if (repository / "sub" / ".git").exists():
        (repository / "sub" / "dirty.txt").write_text(f"dirty {what}\n")
        if which % 2:
            git(repository / "sub", "add", "-A", check=False)
            git(repository / "sub", "commit", "-qm", "in sub", check=False)


def remove_repository(repository: Path, which: int, what: int) -> Iterator[None]:
    """Yields while there is an empty folder and no repository: that may be what comes back, though both sides have one."""
    shutil.rmtree(repository)
    repository.mkdir()
    yield
    if which % 2:
        git(repository, "init", "-q", "-b", "main")


def ignore(repository: Path, which: int, what: int) -> None:
    rules = [".env\n*.conf\nlocal/\n", "local/\n", "*.txt\n", "!a.txt\n"]
    (repository / ".gitignore").write_text(rules[which % 4])
    (repository / ".env").write_text(f"SECRET={what}\n")
    (repository / "x.conf").write_text(f"setting {what}\n")
    (repository / "local").mkdir(exist_ok=True)
    (repository / "local" / "own.txt").write_text(f"own {what}\n")


def plain(repository: Path, which: int, what: int) -> None:
    add(repository.parent, which, what)


OPERATIONS: list[Operation] = [
    add,
    edit,
    non_utf8,
    chmod,
    rename,
    rename_folder,
    symlink,
    delete,
    empty_folder,
    plain,
    ignore,
    nested,
    submodule,
    remove_repository,
    git_operation("add|--|{name}"),
    git_operation("add|-A"),
    git_operation("add|-N|--|{name}"),
    git_operation("rm|-q|--cached|--|{name}"),
    git_operation("reset|-q|--|{name}"),
    git_operation("reset|-q|--hard"),
    git_operation("commit|-qm|message {n}"),
    git_operation("add|-A", "commit|-qm|all {n}"),
    git_operation("commit|-q|--amend|--allow-empty|-m|amended"),
    git_operation("branch|-f|b{n}"),
    git_operation("branch|-D|b{n}"),
    git_operation("branch|-m|b{n}|folder/b{m}"),
    git_operation("checkout|-q|b{n}"),
    git_operation("checkout|-q|--detach"),
    git_operation("checkout|-q|--orphan|fresh{n}"),
    git_operation("stash|-q"),
    git_operation("stash|push|-q|-u"),
    git_operation("stash|pop|-q"),
    git_operation("tag|-f|-a|-m|note|t{n}"),
    git_operation("worktree|add|-q|--detach|tree{n}"),
    git_operation("bisect|start|HEAD|HEAD~1"),
    git_operation("merge|--abort"),
    git_operation("rebase|--abort"),
    git_operation("gc|-q"),
    git_operation("pack-refs|--all"),
    git_operation("update-index|--assume-unchanged|--|{name}"),
    git_operation("notes|add|-f|-m|note {n}"),
    git_operation("config|demo.key|{n}"),
    conflict("merge -q other"),
    conflict("rebase -q other"),
    conflict("cherry-pick other"),
    conflict("revert HEAD~"),
]

steps = st.lists(
    st.tuples(
        st.sampled_from(OPERATIONS),
        st.integers(0, 1),
        st.integers(0, 9),
        st.integers(0, 9),
        st.sampled_from([0, 0, 1, 2]),
    ),
    min_size=1,
    max_size=14,
)


@pytest.fixture(scope="module")
def shared_host(tmp_path_factory: pytest.TempPathFactory) -> Any:
    tokens = TokenServer()
    host = Host(tmp_path_factory.mktemp("host") / "repositories", tokens.url)
    yield host
    host.stop()
    tokens.close()


def git_folders(folder: Path) -> list[Path]:
    """Work trees of all repositories below a folder that git accepts."""
    found = [Path(at) for at, folders, files in os.walk(folder) if ".git" in folders or ".git" in files]
    return [at for at in found if git(at, "rev-parse", "--git-dir", check=False)]


def mechanics(path: bytes) -> bool:
    return b".git/" in path


def sequence(place: Path, host: Host, name: str, drawn: list[Any], kill_after_s: float | None) -> None:
    """``kill_after_s`` None: everything is saved before the kill, and has to come back to the byte."""
    workspace = Workspace(place, host, name=name)
    workspace.extra_env = {wire.ENV_SYNC_KEY: KEY}
    try:
        for repository in REPOSITORIES:
            (workspace.folder / repository).mkdir()
            git(workspace.folder / repository, "init", "-q", "-b", "main")
        workspace.start()
        since_saved = [picture(workspace.folder)]
        for operation, which_repository, which, what, save in drawn:
            repository = workspace.folder / REPOSITORIES[which_repository]
            for _ in operation(repository, which, what) or ():
                since_saved.append(picture(workspace.folder))
            now = picture(workspace.folder)
            if save == 2:
                workspace.flush()
                since_saved = []
            elif save == 1:
                time.sleep(0.15)  # the point is to vary where in its work the daemon is hit
            since_saved.append(now)
        if kill_after_s is None:
            workspace.flush()
            since_saved = [now]
        else:
            time.sleep(kill_after_s)
        workspace.kill()
        workspace.folder.rename(place / "lost")
        workspace.lose_state()
        workspace.restore()
        compare(place / "lost", workspace.folder, since_saved)
    finally:
        workspace.kill()


def compare(lost: Path, folder: Path, since_saved: list[dict[bytes, Any]]) -> None:
    """The restored folder is as it was at one moment since the last save, or, in the middle of an operation, each file is."""
    restored = picture(folder)
    if restored in since_saved:
        return
    assert len(since_saved) > 1, differences(since_saved[0], restored)
    for path in set(restored).union(*since_saved):
        # Git's own files pass through states between two pictures; what they amount to is checked below.
        if not mechanics(path):
            assert restored.get(path) in [seen.get(path) for seen in since_saved], path
    for repository in git_folders(folder):
        if (before := lost / repository.relative_to(folder)).exists() and git_sound(before):
            assert git_sound(repository), git(repository, "fsck", "--no-dangling", check=False)


def git_sound(repository: Path) -> bool:
    done = subprocess.run(["git", "fsck", "--no-dangling"], cwd=repository, capture_output=True)
    return done.returncode == 0


def differences(before: dict[bytes, Any], after: dict[bytes, Any]) -> str:
    lines = []
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) != after.get(path):
            lines.append(f"{path!r}: {str(before.get(path))[:200]} → {str(after.get(path))[:200]}")
    return "\n".join(lines)


SEQUENCES = int(os.environ.get("NEURALINVERSE_SEQUENCES", "50"))
"""How many sequences are drawn; the long run asks for 500."""

_numbers = iter(range(1_000_000))


@pytest.mark.timeout(120 + 20 * SEQUENCES)
@given(drawn=steps, kill_after_s=st.sampled_from([None, None, 0.0, 0.05, 0.25, 0.35]))
@settings(
    max_examples=SEQUENCES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    print_blob=True,
)
def test_a_kill_at_any_point_brings_back_a_state_that_was_there(shared_host, tmp_path_factory, drawn, kill_after_s):
    place = tmp_path_factory.mktemp("sequence")
    sequence(place, shared_host, f"s{next(_numbers)}", drawn, kill_after_s)
    shutil.rmtree(place)
