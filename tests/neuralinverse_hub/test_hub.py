"""A real hub that `up` started: who gets in, what a workspace's token may do, what a restart brings back."""

from __future__ import annotations

import shutil

import pytest
import requests

from neuralinverse_hub import wire
from tests.one_machine import OneMachine, eventually
from tests.person import Person

pytestmark = pytest.mark.hub


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_a_wrong_password_is_refused_and_says_so(one_machine: OneMachine) -> None:
    answer = Person(one_machine, "mallory").log_in("not the password")
    assert answer.status_code == 403
    assert "Invalid username or password" in answer.text


def test_the_password_file_is_private(one_machine: OneMachine) -> None:
    assert (one_machine.data_dir / "password").stat().st_mode & 0o777 == 0o600


def test_a_workspaces_token_opens_the_services_and_nothing_else(one_machine: OneMachine) -> None:
    ada = Person(one_machine, "token-test")
    assert ada.log_in().ok
    ada.start()
    environment = one_machine.environment("token-test")
    token = environment[wire.ENV_TOKEN]
    assert (
        requests.get(f"{environment[wire.ENV_GATEWAY_URL]}/models", headers=bearer(token), timeout=30).status_code
        == 200
    )
    advertised = f"{environment[wire.ENV_GIT_REMOTE]}/info/refs?service=git-upload-pack"
    assert requests.get(advertised, auth=("token-test", token), timeout=30).status_code == 200
    api = f"{one_machine.url}/hub/api"
    assert requests.get(f"{api}/users", headers=bearer(token), timeout=30).status_code == 403
    assert requests.delete(f"{api}/users/token-test/server", headers=bearer(token), timeout=30).status_code in (
        403,
        404,
    )
    someone_elses = advertised.replace("token-test", "somebody")
    assert requests.get(someone_elses, auth=("somebody", token), timeout=30).status_code in (403, 404)
    ada.stop()


def test_without_a_token_no_service_answers(one_machine: OneMachine) -> None:
    assert requests.get(f"{one_machine.url}/services/ai-gateway/v1/models", timeout=30).status_code == 401
    refs = f"{one_machine.url}/services/git/ada/workspaces.git/info/refs?service=git-upload-pack"
    assert requests.get(refs, timeout=30).status_code == 401


def test_work_survives_a_stop_and_the_loss_of_its_folder(one_machine: OneMachine) -> None:
    grace = Person(one_machine, "grace")
    assert grace.log_in().ok
    grace.start()
    folder = one_machine.folder("grace")
    eventually("the welcome file", (folder / "WELCOME.md").exists)
    first = int(one_machine.environment("grace")[wire.ENV_GENERATION])
    (folder / "thesis.txt").write_bytes(b"saved just before the end\r\n")
    grace.stop()
    shutil.rmtree(one_machine.home("grace"))
    grace.start()
    eventually("the file restored", (folder / "thesis.txt").exists)
    assert (folder / "thesis.txt").read_bytes() == b"saved just before the end\r\n"
    assert int(one_machine.environment("grace")[wire.ENV_GENERATION]) > first
    grace.stop()


def test_an_odd_name_gets_a_workspace_of_its_own_that_comes_back(one_machine: OneMachine) -> None:
    person = Person(one_machine, "zoë lovelace+1@example.org")
    assert person.log_in().ok
    person.start()
    folder = one_machine.folder(person.name)
    (folder / "mine.txt").write_text("hers alone")
    person.stop()
    shutil.rmtree(one_machine.home(person.name))
    person.start()
    eventually("the file restored", (folder / "mine.txt").exists)
    person.stop()


def test_the_operator_sees_the_hours_and_nobody_else_does(one_machine: OneMachine) -> None:
    worker = Person(one_machine, "worker")
    assert worker.log_in().ok
    worker.start()
    page = f"{one_machine.url}/services/economics/"
    assert worker.session.get(page, timeout=30).status_code == 403
    # The team's password does not make anybody the operator.
    assert Person(one_machine, "admin").log_in().status_code == 403
    operator = Person(one_machine, "admin")
    file = one_machine.data_dir / "admin_password"
    assert file.stat().st_mode & 0o777 == 0o600
    assert operator.log_in(file.read_text()).ok
    eventually("the hours on the page", lambda: '"name": "worker"' in operator.session.get(page, timeout=30).text)
    worker.stop()
