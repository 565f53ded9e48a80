"""Checks before the start: each failure says what to do."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from neuralinverse_hub.local import checks
from neuralinverse_hub.local.errors import NotReady
from neuralinverse_hub.local.ports import is_free


def test_a_missing_git_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checks.git()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotReady, match=r"git is missing.*install it"):
        checks.git()


@pytest.mark.parametrize("interface", ["127.0.0.1", "0.0.0.0"])
def test_a_taken_port_names_its_holder_and_a_port_that_works(interface: str) -> None:
    with socket.socket() as listener:
        listener.bind((interface, 0))
        listener.listen()
        taken = listener.getsockname()[1]
        with pytest.raises(NotReady, match=rf"Port {taken} is taken .*process {os.getpid()}.*--port \d+") as caught:
            checks.port(taken)
        offered = int(str(caught.value).rsplit("--port ", 1)[1].rstrip("."))
        assert offered != taken and is_free(offered)
    assert checks.port(taken) == taken


def test_port_0_is_any_free_port() -> None:
    assert is_free(checks.port(0))


def test_the_default_user_is_this_account_as_the_hub_writes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for account, name in (("ada", "ada"), ("Ada Lovelace", "ada-lovelace"), ("CORP\\ada", "corp-ada"), ("…", "user")):
        monkeypatch.setenv("LOGNAME", account)
        assert checks.user(None) == name


def test_a_name_is_taken_as_given_or_refused() -> None:
    assert checks.user("ada.l-1_x") == "ada.l-1_x"
    for wrong in ("", "Ada", "a b", "-a", "a/b", "../x", "a" * 65, "é"):
        with pytest.raises(NotReady, match="cannot be a user name"):
            checks.user(wrong)
