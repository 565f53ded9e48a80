"""What the cluster's events mean to a person, and what to do about them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

__all__ = ["OURS", "since", "words"]

OURS: Final = "NeuralInverse"
"""Reason of a step that is not the cluster's; its message is for the person as it is."""

_QUOTA = re.compile(r"exceeded quota", re.IGNORECASE)
_SHORT = re.compile(r"Insufficient ([\w./-]*\w)")
_OPERATOR = "Tell the operator of this hub."


def words(event: Mapping[str, Any]) -> str | None:
    """One sentence for ``event`` (a core/v1 Event as JSON); None for what nobody needs to know."""
    reason, message = str(event.get("reason") or ""), str(event.get("message") or "")
    match reason:
        case "Scheduled":
            return "Found a machine with room for the workspace"
        case "Pulling":
            return "Downloading the workspace's image; the first time on a machine this takes a minute or two"
        case "Pulled":
            return "The image is there"
        case "Created":
            return None
        case "Started":
            return "The workspace is loading"
        case "TriggeredScaleUp":
            return "No machine has room, so a new one is being started; this takes some minutes"
        case "FailedScheduling":
            return _no_room(message)
        case "NotTriggerScaleUp":
            return "No machine of this cluster is large enough for this size. Stop, and choose a smaller one."
        case "Failed" | "ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull" | "InspectFailed" | "BackOff":
            return _failed(reason, message)
        case "OOMKilling" | "OOMKilled":
            return "The workspace needed more memory than its size has. Choose a larger size."
        case "FailedCreate":
            if _QUOTA.search(message):
                return f"The quota of this cluster is used up. Stop a workspace that you do not need, or try later. {_OPERATOR}"
            return f"The cluster refused the workspace: {message}. {_OPERATOR}"
        case "Preempted" | "Evicted":
            return "The machine ran out of room and ended the workspace. Start it again; saved work is in Git."
        case "FailedMount" | "FailedAttachVolume":
            return f"The volume cannot be attached: {message}. {_OPERATOR}"
        case _ if reason == OURS:
            return message
        case "Unhealthy":
            return None
    return message if event.get("type") == "Warning" else None


def _no_room(message: str) -> str:
    short = sorted({_RESOURCES.get(each, each) for each in _SHORT.findall(message)})
    missing = f": there is too little {' and '.join(short)}" if short else ""
    return f"No machine has room for this size now{missing}. Waiting; or stop, and choose a smaller size."


def since(event: Mapping[str, Any], then: datetime | None) -> bool:
    """Whether ``event`` happened, or was last seen, at ``then`` or later; one without a time did."""
    at = event.get("lastTimestamp") or event.get("eventTime")
    # The cluster's times are whole seconds.
    return then is None or not at or datetime.fromisoformat(str(at)) >= then.replace(microsecond=0)


_RESOURCES = {"cpu": "CPU", "memory": "memory", "nvidia.com/gpu": "GPU", "pods": "room for more workspaces"}


def _failed(reason: str, message: str) -> str | None:
    if "image" in message.lower() or "Image" in reason:
        return f"The workspace's image cannot be fetched: {message.rstrip('.')}. {_OPERATOR}"
    if reason == "BackOff":
        return f"The workspace ended right after its start, and is being started again. {_OPERATOR}"
    return f"The workspace could not be started: {message.rstrip('.')}. {_OPERATOR}"
