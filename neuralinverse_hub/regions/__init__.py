"""Regions: where a person's workspace is, how it moves, and what is left when a region is lost.

One hub per region; between them nothing is shared but identity, the git host and the catalogue, which is a file.
"""
