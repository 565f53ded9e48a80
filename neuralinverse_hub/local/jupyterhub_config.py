"""What one-machine mode starts the hub with; all that it says comes from ``hub_config.configure``."""

import os

from neuralinverse_hub import wire
from neuralinverse_hub.hub_config import configure

c = get_config()  # type: ignore[name-defined]  # noqa: F821  # the hub's loader provides it

configure(c)

# The gateway's environment has the upstream keys now; the proxy, which inherits the hub's, has no use for them.
for name in [name for name in os.environ if name.startswith(wire.UPSTREAM_ENVIRONMENT)]:
    del os.environ[name]
