"""The part of ``configure(c)`` for a hub whose Git host is Gitea or Forgejo.

``hub_config`` calls it and nobody else does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from traitlets.config import Config

from neuralinverse_hub import wire
from neuralinverse_hub.settings import NeuralInverseHub, SettingError

if TYPE_CHECKING:
    from neuralinverse_hub.githost.gitea import Admin
    from neuralinverse_hub.githost.volumes import Volumes

__all__ = ["join"]

log = logging.getLogger(__name__)

_measuring: set[Volumes] = set()
"""Whatever runs beside the hub has to be held by somebody."""


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def join(c: Config, settings: NeuralInverseHub, environ: Mapping[str, str], records: str, folder: str) -> None:
    """Accounts, repositories and credentials on Gitea; and people's login, where that is asked for.

    ``records`` is the URL that takes what repositories hold, ``folder`` the hub's, where records wait for it.
    """
    if settings.git_host != "gitea":
        if settings.login == "gitea":
            raise SettingError('c.NeuralInverseHub.login = "gitea" needs c.NeuralInverseHub.git_host = "gitea".')
        return
    # The hub's libraries are not there where only the names of settings are looked at.
    from neuralinverse_hub.githost import provisioning, renewal

    if not settings.git_url:
        raise SettingError(
            'c.NeuralInverseHub.git_host = "gitea" needs c.NeuralInverseHub.git_url, the address of Gitea.'
        )
    admin = provisioning.admin_from(environ)
    same_names = settings.git_same_names or settings.login == "gitea"
    accounts = provisioning.GitAccounts(settings.git_url, admin, same_names)
    for spawner in (c.LocalWorkspaceSpawner, c.NeuralInverseDockerSpawner, c.NeuralInverseSpawner):
        spawner.git_accounts = accounts
    c.JupyterHub.extra_handlers = [*c.JupyterHub.get("extra_handlers", []), *renewal.handlers]
    _measure_soon(c, settings, admin, environ.get(wire.ENV_REGION, ""), records, Path(folder) / "volume-records")
    if settings.login == "gitea":
        _log_in(c, settings, environ, admin)


def _measure_soon(
    c: Config, settings: NeuralInverseHub, admin: Callable[[], Admin], region: str, records: str, folder: Path
) -> None:
    """Measure what repositories hold for as long as the hub runs; it reads its configuration in the loop that it runs in."""
    from neuralinverse_hub.delivery import LedgerClient
    from neuralinverse_hub.githost.holdings import Holdings
    from neuralinverse_hub.githost.volumes import Volumes

    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        # Somebody looks at the configuration only.
        return
    (token,) = (each["api_token"] for each in c.JupyterHub.services if each["name"] == wire.COMPUTE_SERVICE)
    holdings = Holdings(settings.git_url, admin, settings.git_same_names or settings.login == "gitea")
    volumes = Volumes(folder, holdings.measure, LedgerClient(records, token).deliver, "gitea", region)

    def begin() -> None:
        try:
            volumes.open()
            _measuring.add(volumes)
        except OSError as error:
            log.error("what repositories hold cannot be recorded: %s", error)

    loop.call_soon(begin)


def _log_in(c: Config, settings: NeuralInverseHub, environ: Mapping[str, str], admin: Callable[[], Admin]) -> None:
    """People log in with their account on Gitea; the hub is registered there by now."""
    from neuralinverse_hub.githost import registration

    public_url = str(c.JupyterHub.get("public_url", ""))
    callback = f"{_origin(public_url)}{c.JupyterHub.get('base_url', '/')}hub/oauth_callback"
    login = c.GenericOAuthenticator
    if not (environ.get("OAUTH_CLIENT_ID") and environ.get("OAUTH_CLIENT_SECRET")):
        if not public_url:
            raise SettingError('c.NeuralInverseHub.login = "gitea" needs c.JupyterHub.public_url, to come back to.')
        kept = Path(settings.oauth_client_file).absolute()
        client = registration.ensure(settings.git_url, admin(), callback, kept)
        login.client_id, login.client_secret = client.id, client.secret
    if public_url:
        login.oauth_callback_url = callback
    c.JupyterHub.authenticator_class = "generic-oauth"
    own, browsers = settings.git_url.rstrip("/"), (settings.git_public_url or settings.git_url).rstrip("/")
    login.authorize_url = f"{browsers}/login/oauth/authorize"
    login.token_url = f"{own}/login/oauth/access_token"
    login.userdata_url = f"{own}/login/oauth/userinfo"
    login.username_claim = "preferred_username"
    login.scope = ["openid", "profile", "email", "groups"]
    login.login_service = login.get("login_service", "Gitea")
    if not any(name.startswith("allow") for name in [*login, *c.OAuthenticator, *c.Authenticator]):
        login.allow_all = True
