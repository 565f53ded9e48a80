"""One-machine mode: installs what is missing, runs the embedded model and the hub, and stops all of it again."""
