"""The names that rooms share: services, environment variables, refs, headers, status and usage records.

Standard library only, and nothing of ours: every room may import this module, so it must not know any of them. Kernels of
older environments import it too (Python >= 3.9): what is newer belongs under ``TYPE_CHECKING``.
A name belongs here when two rooms must agree on it; a name that one room uses alone stays in that room.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Literal, TypedDict

if TYPE_CHECKING:
    from typing import NotRequired

# -- services of the hub ----------------------------------------------------------------------------------------------

GATEWAY_SERVICE: Final = "ai-gateway"
"""Name of the gateway's JupyterHub service; its API is at ``/services/ai-gateway/v1``."""

GIT_SERVICE: Final = "git"
"""Name of the embedded git host's JupyterHub service: ``/services/git/<user>/<repository>.git``."""

WORKSPACE_REPOSITORY: Final = "workspaces"
"""The one repository that holds the snapshots of all workspaces of a person."""


def service_scope(service: str) -> str:
    """The scope a token needs to call ``service``; the hub puts it into each workspace's own token."""
    return f"access:services!service={service}"


# -- environment of the hub: what it hands on to the gateway and to nothing else ---------------------------------------

UPSTREAM_ENVIRONMENT: Final = ("AZURE_", "OPENAI_UPSTREAM_", "OLLAMA_HOST", "NEURALINVERSE_DEMO_MODEL_")
"""Beginnings of the variables that hold upstream addresses and keys."""

NETWORK_ENVIRONMENT: Final = (
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "https_proxy",
    "no_proxy",
)
"""Variables that say how this machine reaches the internet."""

# -- environment of a workspace: the spawner writes it; agent, sync and ai_provider read it ---------------------------

ENV_GATEWAY_URL: Final = "NEURALINVERSE_GATEWAY_URL"
"""Base URL of the OpenAI-compatible API, ending in ``/v1``. The bearer is ``JUPYTERHUB_API_TOKEN``."""

ENV_GIT_REMOTE: Final = "NEURALINVERSE_GIT_REMOTE"
"""HTTP(S) URL of the person's snapshot repository, without credentials. Unset: nothing is synced."""

ENV_WORKSPACE: Final = "NEURALINVERSE_WORKSPACE"
"""Name of the workspace, unique per person: ``default`` or the named server's name."""

ENV_GENERATION: Final = "NEURALINVERSE_GENERATION"
"""Integer that grows with every start of the workspace; the git host refuses pushes of an older one."""

ENV_FOLDER: Final = "NEURALINVERSE_FOLDER"
"""Absolute path of the folder the person works in: what VS Code opens and what sync protects."""

ENV_STATE: Final = "NEURALINVERSE_STATE"
"""Absolute path of our own private folder in the workspace (0700), outside ``NEURALINVERSE_FOLDER``."""

ENV_TOKEN: Final = "JUPYTERHUB_API_TOKEN"
"""The workspace's own hub token; bearer for the gateway, password for the git host."""

ENV_SYNC_KEY: Final = "NEURALINVERSE_SYNC_KEY"
"""The person's own key for files that must not lie on the git host in clear: 32 bytes, base64. The same at every start of
every workspace of the person, and known to the hub only. Unset: such files are not kept."""

ENV_IDE_NODE: Final = "NEURALINVERSE_NODE"
"""Absolute path of the Node binary that runs code-server."""

ENV_IDE_ENTRY: Final = "NEURALINVERSE_CODE_SERVER"
"""Absolute path of code-server's entry script."""

ENV_LAB_URL: Final = "NEURALINVERSE_LAB_URL"
"""URL of this workspace's JupyterLab as the person's browser reaches it; set where the hub knows its public URL."""

ENV_DATA_DIR: Final = "NEURALINVERSE_DATA_DIR"
"""Marks every process of one one-machine installation, so that the next ``up`` can end what a killed one left."""

DEFAULT_WORKSPACE: Final = "default"
"""What the hub's unnamed server is called outside the hub."""

# -- refs on the git host ---------------------------------------------------------------------------------------------

REF_ROOT: Final = "refs/ni"
"""All refs of ours live below this, so that no branch list and no default refspec shows them."""


def ref_prefix(workspace: str, generation: int) -> str:
    """``refs/ni/<workspace>/<generation>``: below it a generation of a workspace keeps everything it pushes."""
    return f"{REF_ROOT}/{workspace}/{generation}"


# -- the gateway's answers --------------------------------------------------------------------------------------------

HEADER_TASK: Final = "X-NeuralInverse-Task"
"""The task the request was served as: ``reasoning``, ``coding`` or ``general``."""

HEADER_REASON: Final = "X-NeuralInverse-Reason"
"""Why: ``asked`` when the client named it, else a few words of the classifier."""

HEADER_MODEL: Final = "X-NeuralInverse-Model"
"""Logical model (``deepseek-r1``, …) the request was routed to. The body's ``model`` is who really answered."""

HEADER_UPSTREAM: Final = "X-NeuralInverse-Upstream"
"""Name of the upstream row that answered."""


class ModelCard(TypedDict):
    """The ``neuralinverse`` member of an entry of ``GET /v1/models``."""

    kind: Literal["task", "model", "deployment"]
    served_by: str | None
    """Real name of the model that answers today, e.g. ``SmolLM2-135M-Instruct (demo model)``; None: nobody does."""
    upstream: str | None
    description: NotRequired[str]
    window: NotRequired[int]
    """Tokens that who answers today reads at once, question and answer together."""


# -- sync status: sync writes it, the IDE and the Lab show it ---------------------------------------------------------

SYNC_STATUS_FILE: Final = "sync.json"
"""File below ``NEURALINVERSE_STATE``; replaced atomically, so a reader never sees half of it."""

SYNC_SOCKET: Final = "sync.sock"
"""UNIX socket below ``NEURALINVERSE_STATE``; ``GET /`` on it answers with the content of ``SYNC_STATUS_FILE``."""

SyncState = Literal["restoring", "protected", "saving", "behind", "stopped"]


class NotProtected(TypedDict):
    """One path below the workspace folder that no snapshot holds, and why, in the person's words."""

    path: str
    reason: str


class SyncStatus(TypedDict):
    """What ``sync.json`` holds. ``protected`` means: all that was saved up to ``protected_at`` is on the git host."""

    version: Literal[1]
    state: SyncState
    generation: int
    protected_at: str | None
    """RFC 3339, UTC; None before the first push."""
    pending: int
    """Changes saved here that the git host does not have yet; -1 while not counted."""
    not_protected: list[NotProtected]
    error: str | None
    """One sentence for the person, with what happens next; None when all is well."""
    updated_at: str


# -- usage: the gateway writes it, the ledger keeps it ----------------------------------------------------------------


@dataclass(frozen=True)
class UsageRecord:
    """What one answered request used. ``request_id`` makes it idempotent; times are aware UTC."""

    request_id: str
    at: datetime
    person: str
    workspace: str
    task: str
    model: str
    upstream: str
    deployment: str
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    usd: Decimal | None
    """None when the deployment has no price: unpriced is never zero."""
    first_token_s: float | None
    duration_s: float
    status: Literal["complete", "partial", "failed"]
    retries: int = 0
