"""The git hosts: ``git http-backend`` behind the hub's tokens for one machine, and accounts on Gitea or Forgejo."""
