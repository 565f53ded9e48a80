"""The hub of compose.yaml: workspaces as containers, PostgreSQL; Gitea for work and for login, or the hub itself."""

import os

from neuralinverse_hub.hub_config import configure

c = get_config()  # noqa: F821  # JupyterHub brings it

c.JupyterHub.bind_url = "http://0.0.0.0:8000"
c.JupyterHub.hub_bind_url = "http://0.0.0.0:8081"
c.JupyterHub.hub_connect_url = "http://hub:8081"
c.JupyterHub.public_url = os.environ["NEURALINVERSE_URL"] + "/"
# Host, name and password are in the variables that PostgreSQL's own library reads.
c.JupyterHub.db_url = "postgresql+psycopg://"
c.JupyterHub.spawner_class = "neuralinverse-docker"
c.JupyterHub.services = [
    {
        "name": "ai-gateway",
        "url": "http://gateway:8080",
        "api_token": os.environ["NEURALINVERSE_GATEWAY_TOKEN"],
        "oauth_no_confirm": True,
    }
]
# Workspaces go on while the hub is made anew.
c.JupyterHub.cleanup_servers = False
c.ConfigurableHTTPProxy.command = ["configurable-http-proxy"]
c.Authenticator.admin_users = {name for name in os.environ.get("NEURALINVERSE_ADMINS", "").split(",") if name}
c.NeuralInverseDockerSpawner.image = os.environ["NEURALINVERSE_WORKSPACE_IMAGE"]
c.NeuralInverseDockerSpawner.network_name = "neuralinverse-workspaces"
c.NeuralInverseHub.hub_url = "http://hub:8000"
c.NeuralInverseHub.git_host = os.environ["NEURALINVERSE_GIT_HOST"]
if c.NeuralInverseHub.git_host == "gitea":
    c.NeuralInverseHub.git_url = "http://git:3000"
    c.NeuralInverseHub.git_public_url = os.environ["NEURALINVERSE_GIT_PUBLIC_URL"]
    c.NeuralInverseHub.login = "gitea"
else:
    c.JupyterHub.authenticator_class = "shared-password"
    c.SharedPasswordAuthenticator.user_password = os.environ["NEURALINVERSE_PASSWORD"]
    c.SharedPasswordAuthenticator.admin_password = os.environ["NEURALINVERSE_GIT_ADMIN_PASSWORD"]
    c.Authenticator.allow_all = True
configure(c)
