"""``python -m neuralinverse_hub.gateway``: how the hub starts the gateway as its service."""

from neuralinverse_hub.gateway.app import main

main()
