"""A person without a browser: logs in, starts and stops their workspace, over HTTP as the hub's pages do."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

import requests

from tests.one_machine import OneMachine, eventually

__all__ = ["Person"]


def _escaped(name: str) -> str:
    """As the hub writes a name into addresses."""
    return quote(name, safe="@")


@dataclass
class Person:
    """One browser profile's worth of cookies."""

    machine: OneMachine
    name: str
    session: requests.Session = field(default_factory=requests.Session)

    def log_in(self, password: str | None = None) -> requests.Response:
        """Send the login form; the answer has status 403 for a wrong password."""
        url = f"{self.machine.url}/hub/login?next=/hub/home"
        self.session.get(url, timeout=30).raise_for_status()
        form = {"username": self.name, "password": password or self.machine.password, "_xsrf": self._xsrf()}
        return self.session.post(url, data=form, timeout=30)

    def start(self, timeout_s: float = 90) -> None:
        """Start the workspace and return when it answers."""
        self.session.get(f"{self.machine.url}/hub/spawn/{_escaped(self.name)}", timeout=60)
        eventually(f"{self.name}'s workspace answering", self.answers, timeout_s)

    def stop(self) -> None:
        """Stop the workspace and return when the hub says so."""
        url = f"{self.machine.url}/hub/api/users/{_escaped(self.name)}/server"
        self.session.delete(url, headers={"X-XSRFToken": self._xsrf()}, timeout=60).raise_for_status()
        eventually("the workspace stopped", lambda: not self.answers() and not self.machine.processes(self.name), 60)

    def answers(self) -> bool:
        """Whether the workspace's server lets this person in; the visit logs them in there, as a browser would."""
        answer = self.session.get(f"{self.machine.url}/user/{_escaped(self.name)}/lab", timeout=30)
        return answer.ok and unquote(urlsplit(answer.url).path).startswith(f"/user/{self.name}/lab")

    def _xsrf(self) -> str:
        return next(
            cookie.value or "" for cookie in self.session.cookies if cookie.name == "_xsrf" and "/hub" in cookie.path
        )
