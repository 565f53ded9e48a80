"""What an operator can set, as traits, in one place, and the check that every name they wrote exists.

Set them in ``jupyterhub_config.py`` (``c.NeuralInverseHub.git_host = "none"``) or in the chart
(``hub.config.NeuralInverseHub``). This module knows names and defaults; what they cause is ``hub_config``'s business.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from traitlets import Bool, Enum, Integer, Unicode
from traitlets.config import Config, Configurable

__all__ = ["NeuralInverseHub", "SettingError", "UnknownSetting", "check_names"]


class SettingError(ValueError):
    """The hub cannot be set up like this; the text says which setting, and what it should be."""


class UnknownSetting(SettingError):
    """The configuration names a setting, or a section, that does not exist."""


class NeuralInverseHub(Configurable):
    """Settings of the whole product. Those of one spawner are traits of that spawner."""

    git_host = Enum(
        ["embedded", "gitea", "none"],
        default_value="embedded",
        help="""
        Where saved work goes. ``embedded``: a Git host that the hub runs itself, at ``/services/git``. ``gitea``: Gitea or
        Forgejo at ``git_url``, where the hub makes people's accounts and repositories; it signs in there as the
        administrator in ``NEURALINVERSE_GIT_ADMIN``, with the password in ``NEURALINVERSE_GIT_ADMIN_PASSWORD`` or in the
        file that ``NEURALINVERSE_GIT_ADMIN_PASSWORD_FILE`` names. ``none``: nowhere; a workspace then keeps its files only
        as long as its folder exists, and says so.
        """,
    ).tag(config=True)

    git_root = Unicode(
        "git",
        help="""
        Folder of the embedded Git host's repositories; a relative path starts at the hub's working folder. A mirror keeps
        its copies in ``.copies`` there.
        """,
    ).tag(config=True)

    git_url = Unicode(
        "",
        help="URL of Gitea or Forgejo as the hub and the workspaces reach it, e.g. ``http://gitea:3000``. It has no default.",
    ).tag(config=True)

    git_public_url = Unicode(
        "", help="The same as people's browsers reach it, e.g. ``https://git.example.org``. Empty: ``git_url``."
    ).tag(config=True)

    git_same_names = Bool(
        False,
        help="""
        Whether a person's name here and an account's name on the Git host mean the same person, e.g. because both ask the
        same directory. Then people's existing accounts are used. Otherwise an account that the hub did not make is taken
        for somebody else's, and left alone. Always so with ``login = "gitea"``.
        """,
    ).tag(config=True)

    login = Enum(
        ["own", "gitea"],
        default_value="own",
        help="""
        How people log in. ``own``: as this file configures JupyterHub. ``gitea``: with their account on the Git host, by
        OpenID Connect. The hub registers itself there at its first start, under ``public_url``; with ``OAUTH_CLIENT_ID`` and
        ``OAUTH_CLIENT_SECRET`` in its environment it uses those. Everybody with an account there may log in, unless
        ``GenericOAuthenticator`` says who may.
        """,
    ).tag(config=True)

    oauth_client_file = Unicode(
        "oauth_client.json",
        help="File that keeps what the Git host gave the hub when it registered there; readable by the hub only.",
    ).tag(config=True)

    sync_secret_file = Unicode(
        "sync_secret",
        help="""
        File with the secret that people's own keys are derived from; private files such as ``.env`` are encrypted with
        those before they are kept. Made at the first start, readable by the hub only. Back it up: without it what was
        encrypted stays so.
        """,
    ).tag(config=True)

    regions_file = Unicode(
        "",
        help="""
        Path of the catalogue of regions (docs/regions.md); the same file for all of them. Empty: the value of the
        variable ``NEURALINVERSE_REGIONS``; when that is not set either, there is one region, and nothing to move.
        """,
    ).tag(config=True)

    region = Unicode(
        "",
        help="Name of this hub's region in the catalogue. Empty: the value of the variable ``NEURALINVERSE_REGION``.",
    ).tag(config=True)

    ledger_url = Unicode(
        "",
        help="""
        Database of the economics, as SQLAlchemy writes it, e.g. ``postgresql+psycopg://…``. Empty: the value of the variable
        ``NEURALINVERSE_LEDGER``, where one with a password belongs; when that is not set either, ``economics.sqlite`` in the
        hub's working folder.
        """,
    ).tag(config=True)

    prices_file = Unicode(
        "",
        help="""
        Path of the operator's price list (docs/economics.md); it is read again when it changes. Empty: the value of the
        variable ``NEURALINVERSE_PRICES``; when that is not set either, the shipped list.
        """,
    ).tag(config=True)

    keep_names_days = Integer(
        90,
        min=0,
        help="Days after which pseudonyms take the place of names in the ledger of the economics. 0: never.",
    ).tag(config=True)

    keep_requests_days = Integer(
        400,
        min=0,
        help="Days after which single AI requests are removed from the ledger; their sums by the hour stay. 0: never.",
    ).tag(config=True)

    hub_url = Unicode(
        "",
        help="""
        URL under which workspaces reach this hub's proxy, for the gateway and the Git host, e.g. ``http://proxy-public``.
        Empty: the hub's own ``bind_url``, which is right when hub and workspaces share a machine.
        """,
    ).tag(config=True)


def check_names(c: Config, sections: Iterable[type[Configurable]]) -> None:
    """Refuse a setting that none of ``sections`` has, and a section whose name is nearly that of one.

    traitlets itself ignores unknown names, and the chart does not look into ``hub.config``, so a typo would leave a
    default in force without a word. A section is also checked against its subclasses, which it configures as well. What
    belongs to classes that nobody named here is left alone.

    Raises `UnknownSetting`, with the nearest right name.
    """
    classes = {each.__name__: each for each in sections}
    for section, settings in c.items():
        if section not in classes:
            if near := difflib.get_close_matches(section, classes, n=1, cutoff=0.85):
                raise UnknownSetting(
                    f"{_place(section)} is no section; did you mean {near[0]!r}? {_in_values(section)}"
                )
            continue
        heirs = [each for each in classes.values() if issubclass(each, classes[section])]
        known = set().union(*(each.class_traits(config=True) for each in heirs))
        for name in settings:
            # What begins with a capital is a section within this one.
            if name in known or name[:1].isupper():
                continue
            near = difflib.get_close_matches(name, known, n=1)
            # A list of all helps where it is short; JupyterHub's own classes have hundreds.
            own = sorted(classes[section].class_own_traits(config=True))
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(own)}."
            setting = f"{section}.{name}"
            raise UnknownSetting(f"{_place(setting)} does not exist; {hint} {_in_values(setting)}")


def _place(setting: str) -> str:
    return f"c.{setting}"


def _in_values(setting: str) -> str:
    return f"In the chart's values it is hub.config.{setting}."
