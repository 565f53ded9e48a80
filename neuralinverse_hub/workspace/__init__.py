"""Inside a workspace: the agent that starts everything there, and the IDE behind jupyter-server-proxy."""
