"""Spawners that start NeuralInverse workspaces. People configure them by entry-point name: ``neuralinverse-local``."""
