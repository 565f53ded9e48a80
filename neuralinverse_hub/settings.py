"""What an operator can set, as traits, in one place, and the check that a name they wrote exists.

Set them in ``jupyterhub_config.py`` (``c.NeuralInverseHub.git_host = "none"``) or in the chart
(``hub.config.NeuralInverseHub``). This module knows names and defaults; what they cause is ``hub_config``'s business.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from traitlets import Enum, Unicode
from traitlets.config import Config, Configurable

__all__ = ["NeuralInverseHub", "UnknownSetting", "check_names"]


class UnknownSetting(ValueError):
    """A section of ours has a setting that does not exist."""


class NeuralInverseHub(Configurable):
    """Settings of the whole product. Those of one spawner are traits of that spawner."""

    git_host = Enum(
        ["embedded", "none"],
        default_value="embedded",
        help="""
        Where saved work goes. ``embedded``: a Git host that the hub runs itself, at ``/services/git``.
        ``none``: nowhere; a workspace then keeps its files only as long as its folder exists, and says so.
        """,
    ).tag(config=True)

    git_root = Unicode(
        "git",
        help="Folder of the embedded Git host's repositories; a relative path starts at the hub's working folder.",
    ).tag(config=True)

    sync_secret_file = Unicode(
        "sync_secret",
        help="""
        File with the secret that people's own keys are derived from; private files such as ``.env`` are encrypted with
        those before they are kept. Made at the first start, readable by the hub only. Back it up: without it what was
        encrypted stays so.
        """,
    ).tag(config=True)

    hub_url = Unicode(
        "",
        help="""
        URL under which workspaces reach this hub's proxy, for the gateway and the Git host, e.g. ``http://proxy-public``.
        Empty: the hub's own ``bind_url``, which is right when hub and workspaces share a machine.
        """,
    ).tag(config=True)


def check_names(c: Config, sections: Iterable[type[Configurable]]) -> None:
    """Refuse a setting that none of ``sections`` has.

    traitlets itself ignores unknown names, so a typo would leave a default in force without a word.

    Raises `UnknownSetting`, with the nearest right name.
    """
    for section in sections:
        known = section.class_traits(config=True)
        for name in c.get(section.__name__, {}):
            if name in known:
                continue
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"
            raise UnknownSetting(f"c.{section.__name__}.{name} does not exist; {hint}")
