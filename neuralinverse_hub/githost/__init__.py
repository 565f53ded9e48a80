"""The embedded git host of one machine: ``git http-backend`` behind the hub's tokens."""
