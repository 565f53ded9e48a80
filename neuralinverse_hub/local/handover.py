"""What ``up`` tells the hub's configuration: ports, folders and programs of this machine. Never a secret."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["ENV_HANDOVER", "Handover"]

ENV_HANDOVER = "NEURALINVERSE_LOCAL"
"""Environment variable with the path of the handover file; that it is set is what makes it one-machine mode."""


@dataclass(frozen=True, slots=True)
class Handover:
    """One file in the data folder, written by ``up`` before it starts the hub. All paths are absolute."""

    data_dir: str
    port: int
    """Where browsers come in, on 127.0.0.1."""
    hub_port: int
    proxy_api_port: int
    user: str
    password_file: str
    """Its content is the team's password; the file is 0600 and the password is nowhere else."""
    node: str
    code_server_entry: str
    proxy_command: list[str]
    workspaces_dir: str
    git_root: str

    @classmethod
    def read(cls, path: Path) -> Handover:
        return cls(**json.loads(path.read_bytes()))

    def write(self, path: Path) -> None:
        """Replace ``path`` in one step, so that a reader never sees half of it."""
        part = path.with_name(path.name + ".part")
        part.write_text(json.dumps(asdict(self), indent=2) + "\n")
        part.replace(path)
