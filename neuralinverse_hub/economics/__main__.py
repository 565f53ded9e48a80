"""``python -m neuralinverse_hub.economics``: how the hub starts the economics service."""

from neuralinverse_hub.economics.service import main

main()
