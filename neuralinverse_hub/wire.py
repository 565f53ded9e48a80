"""The names that rooms share: services, environment variables, refs, headers, status and usage records.

Standard library only, and nothing of ours: every room may import this module, so it must not know any of them. Kernels of
older environments import it too (Python >= 3.9): what is newer belongs under ``TYPE_CHECKING``.
A name belongs here when two rooms must agree on it; a name that one room uses alone stays in that room.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Literal, TypedDict

if TYPE_CHECKING:
    from typing import NotRequired

# -- services of the hub ----------------------------------------------------------------------------------------------

GATEWAY_SERVICE: Final = "ai-gateway"
"""Name of the gateway's JupyterHub service; its API is at ``/services/ai-gateway/v1``."""

ECONOMICS_SERVICE: Final = "economics"
"""Name of the JupyterHub service that keeps the ledger: ``/services/economics/``, for services and administrators only."""

COMPUTE_SERVICE: Final = "workspace-hours"
"""Name under which the hub itself hands compute records to the ledger; a service without a process of its own."""

USAGE_RECORDS: Final = "records/usage"
"""Path below the economics service that takes usage records, one JSON object a line."""

COMPUTE_RECORDS: Final = "records/compute"
"""Path below the economics service that takes compute records, one JSON object a line."""

VOLUME_RECORDS: Final = "records/volume"
"""Path below the economics service that takes records of storage and network, one JSON object a line."""

TRAFFIC_SERVICE: Final = "traffic"
"""Name under which the meter of what workspaces send hands its records to the ledger; it is called by nobody."""

GIT_SERVICE: Final = "git"
"""Name of the embedded git host's JupyterHub service: ``/services/git/<user>/<repository>.git``."""

REGIONS_SERVICE: Final = "regions"
"""Name of the account by which a hub itself reads and writes on the shared git host where people's workspaces are."""

WORKSPACE_REPOSITORY: Final = "workspaces"
"""The one repository that holds the snapshots of all workspaces of a person."""


def service_scope(service: str) -> str:
    """The scope a token needs to call ``service``; the hub puts it into each workspace's own token."""
    return f"access:services!service={service}"


# -- environment of the hub: what it hands on to the gateway and to nothing else ---------------------------------------

UPSTREAM_ENVIRONMENT: Final = ("AZURE_", "OPENAI_UPSTREAM_", "OLLAMA_HOST", "NEURALINVERSE_DEMO_MODEL_")
"""Beginnings of the variables that hold upstream addresses and keys."""

ENV_REGIONS: Final = "NEURALINVERSE_REGIONS"
"""Path of the catalogue of regions, for the hub, the gateway and the git host. Unset: there is one region."""

ENV_REGION: Final = "NEURALINVERSE_REGION"
"""Name of the region a hub, and the gateway beside it, is in. Unset: there is only one."""

ENV_REGION_ORDER: Final = "NEURALINVERSE_REGION_ORDER"
"""Regions whose models may answer when the own region's cannot, nearest first, with commas between."""

ENV_RESIDENCY: Final = "NEURALINVERSE_RESIDENCY"
"""Tag of where people's requests to models have to stay, e.g. ``eu``. Unset: anywhere."""

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

# -- environment of the gateway: hub_config writes it ------------------------------------------------------------------

ENV_LEDGER_URL: Final = "NEURALINVERSE_LEDGER_URL"
"""URL of the economics service's ``USAGE_RECORDS``. The bearer is the gateway's own ``JUPYTERHUB_API_TOKEN``."""

ENV_VOLUMES_URL: Final = "NEURALINVERSE_VOLUMES_URL"
"""URL of the economics service's ``VOLUME_RECORDS``, for the embedded Git host and the meter of what workspaces send; the
bearer is its own ``JUPYTERHUB_API_TOKEN``. Unset: the Git host measures nothing."""

# -- environment of the economics service: hub_config writes it --------------------------------------------------------

ENV_LEDGER: Final = "NEURALINVERSE_LEDGER"
"""The ledger's database, as SQLAlchemy writes it: ``sqlite:////srv/economics.sqlite``, ``postgresql+psycopg://…``. May hold
a password."""

ENV_LEDGER_SECRET: Final = "NEURALINVERSE_LEDGER_SECRET"
"""What pseudonyms in the ledger are made with; always the same for one database. Unset: names stay names."""

ENV_KEEP_NAMES: Final = "NEURALINVERSE_KEEP_NAMES_DAYS"
"""Days after which pseudonyms take the place of names in the ledger; 0: never."""

ENV_KEEP_REQUESTS: Final = "NEURALINVERSE_KEEP_REQUESTS_DAYS"
"""Days after which single requests are removed from the ledger, and their sums stay; 0: never."""

ENV_PRICES: Final = "NEURALINVERSE_PRICES"
"""Path of the operator's price list. Unset: the shipped one."""

# -- environment of a workspace: the spawner writes it; agent, sync and ai_provider read it ---------------------------

ENV_GATEWAY_URL: Final = "NEURALINVERSE_GATEWAY_URL"
"""Base URL of the OpenAI-compatible API, ending in ``/v1``. The bearer is ``JUPYTERHUB_API_TOKEN``."""

ENV_GIT_REMOTE: Final = "NEURALINVERSE_GIT_REMOTE"
"""HTTP(S) URL of the person's snapshot repository, without credentials. Unset: nothing is synced."""

ENV_GIT_TOKEN: Final = "NEURALINVERSE_GIT_TOKEN"
"""Password for the git host, where it has accounts of its own, as Gitea does. Unset: the workspace's hub token."""

ENV_GIT_USER: Final = "NEURALINVERSE_GIT_USER"
"""User name that belongs to ``NEURALINVERSE_GIT_TOKEN``; hosts that look at the token alone do not need it."""

ENV_GIT_MIRROR: Final = "NEURALINVERSE_GIT_MIRROR"
"""HTTP(S) URL of a mirror of ``NEURALINVERSE_GIT_REMOTE``, with the same credentials: restores fetch there what it has, and
use it alone when the git host does not answer. Optional."""

ENV_GIT_CACHE: Final = "NEURALINVERSE_GIT_CACHE"
"""Absolute path of a folder on the node, for this person alone, where restores keep what they fetched. Optional."""

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

ENV_CLAIM: Final = "NEURALINVERSE_CLAIM_SHA256"
"""SHA-256, in hexadecimal, of the nonce by which a warm workspace is claimed; the workspace then waits for its person."""

ENV_STANDBY_PORT: Final = "NEURALINVERSE_STANDBY_PORT"
"""Port on which a warm workspace waits, the one that its server will have; 8888 when unset."""

STANDBY_PATH: Final = "/standby"
"""On the port of a warm workspace: 200 when it can be claimed."""

CLAIM_PATH: Final = "/claim"
"""On the port of a warm workspace: ``POST`` with its nonce as the bearer gives it its person's environment."""

DEFAULT_WORKSPACE: Final = "default"
"""What the hub's unnamed server is called outside the hub."""

GIT_ACCESS: Final = "git-access"
"""Below the hub's API: ``POST git-access/<person>/<server>`` with the start's ``generation`` gives a workspace, which signs
in with its own hub token, another ``user`` and ``token`` for the git host. See `GitAccess`."""

# -- who a workspace is to the git host: the hub asks for it at each start ---------------------------------------------


@dataclass(frozen=True)
class GitAccess:
    """A credential of one start of one workspace, on a git host that has accounts of its own."""

    remote: str
    """URL of the person's snapshot repository, without credentials."""
    user: str
    token: str = field(repr=False)


# -- refs on the git host ---------------------------------------------------------------------------------------------

REF_ROOT: Final = "refs/ni"
"""All refs of ours live below this, so that no branch list and no default refspec shows them."""


def ref_prefix(workspace: str, generation: int) -> str:
    """``refs/ni/<workspace>/<generation>``: below it a generation of a workspace keeps everything it pushes."""
    return f"{REF_ROOT}/{workspace}/{generation}"


HOME_REF: Final = f"{REF_ROOT}/_home"
"""Says the person's home region. No workspace's name begins with an underscore."""


def at_ref(workspace: str) -> str:
    """The ref that says in which region the workspace is; whoever starts it there has written it before."""
    return f"{REF_ROOT}/_at/{workspace}"


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


# -- the restore of a start, as the workspace's server tells the hub ---------------------------------------------------

RESTORE_PATH: Final = "neuralinverse/restore"
"""Path below a workspace's server: ``GET`` with a token of the server answers with a `Restore`."""


class Restore(TypedDict):
    """How the restore of a start goes."""

    state: Literal["none", "fetching", "writing", "done"]
    """``none``: there is no git host to bring anything back from."""
    files: int
    """While ``writing`` those that come back; when ``done`` those that came back; else 0."""
    seconds: float
    """How long it took, once ``done``."""


# -- sync status: sync writes it, the IDE and the Lab show it ---------------------------------------------------------

SYNC_STATUS_FILE: Final = "sync.json"
"""File below ``NEURALINVERSE_STATE``; replaced atomically, so a reader never sees half of it."""

ACTIVE_FILE: Final = "active"
"""File below ``NEURALINVERSE_STATE``; the IDE touches it while somebody works, and its time is what counts."""

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
    """For the person, with what happens next; None when all is well. May be there in any state: files from a mirror say how
    old they were for as long as the workspace lives."""
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
    client: str = ""
    """The program that asked, as it names itself, e.g. ``OpenAI/Python 2.14.0``; empty: it did not, or nobody noted it."""


# -- compute, storage and network: the hub's side writes them, the ledger keeps them ----------------------------------


@dataclass(frozen=True)
class ComputeRecord:
    """One stretch of a workspace's running. ``person``, ``workspace`` and ``started_at`` identify it; times are aware UTC.

    Written at the start without an end and at the end again, so that the later one alone says everything.
    """

    person: str
    workspace: str
    started_at: datetime
    """As the hub knows it: the ``started`` of its API."""
    size: str
    region: str
    ended_at: datetime | None
    """None: it runs."""
    exact: bool = True
    """False: nobody saw it end; ``ended_at`` is when it was last seen running."""
    generation: int = 0
    """Of the start, as in ``ENV_GENERATION``; 0: unknown."""


@dataclass(frozen=True)
class VolumeRecord:
    """Storage held or bytes sent by one workspace. ``record_id`` makes it idempotent; times are aware UTC."""

    record_id: str
    at: datetime
    kind: Literal["storage", "network"]
    person: str
    workspace: str
    region: str
    amount: int
    """Byte-hours of storage, or bytes of network."""
