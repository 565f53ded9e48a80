"""What an operator asks of a running hub from a terminal: which workspaces there are, stop them, empty a node, the pool.

Everything goes over the hub's own API with a token, so it works from anywhere and may do what the token may.
"""
