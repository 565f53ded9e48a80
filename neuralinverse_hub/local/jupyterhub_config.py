"""What one-machine mode starts the hub with; all that it says comes from ``hub_config.configure``."""

from neuralinverse_hub.hub_config import configure

c = get_config()  # type: ignore[name-defined]  # noqa: F821  # the hub's loader provides it

configure(c)
