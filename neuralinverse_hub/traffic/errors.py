"""What keeps the meter from looking; the text says what to do next.

TrafficError
└── ClusterAway     the cluster does not answer, or refuses; the next look may work
"""

from __future__ import annotations

__all__ = ["ClusterAway", "TrafficError"]


class TrafficError(Exception):
    """Nothing can be measured."""


class ClusterAway(TrafficError):
    """The cluster does not answer, or refuses to."""
