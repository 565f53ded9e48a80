"""``neuralinverse-hub doctor``: looks for what silently breaks an installation, and says how to mend it."""
