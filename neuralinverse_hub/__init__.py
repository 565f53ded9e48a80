"""A developer cloud on JupyterHub. Importing this package does nothing: import the room you need."""
