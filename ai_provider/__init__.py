"""What turns the gateway into features people touch. Importing this package does nothing."""

from __future__ import annotations

from typing import Any


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext ai_provider``, for kernels outside a workspace; inside one it is loaded already."""
    from .magics import load_ipython_extension

    load_ipython_extension(shell)


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    """Jupyter Server asks every extension for the module that holds its hooks."""
    return [{"module": "ai_provider.server"}]
