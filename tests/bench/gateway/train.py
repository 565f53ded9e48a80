"""Trains the classifier behind ``auto``: multinomial logistic regression on words, pairs of words and a few signs.

Pure Python, seconds. The held-out prompts are written separately and never trained on.
"""

from __future__ import annotations

import json
import math
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

from neuralinverse_hub.gateway.tasks import TASKS, Task, features

__all__ = ["DATA", "examples", "held_out", "train"]

DATA = Path(__file__).with_name("prompts.json")
PER_PATTERN = 12
EPOCHS = 30
RATE = 0.25
DECAY = 1e-4


def examples(seed: int = 1) -> list[tuple[str, Task]]:
    """Training prompts: every pattern with several fillings of its slots."""
    data = json.loads(DATA.read_text("utf-8"))
    rng = random.Random(seed)
    rows: list[tuple[str, Task]] = []
    for task in TASKS:
        for pattern in data["train"][task]:
            count = PER_PATTERN if "{" in pattern else 2
            rows += [(_filled(pattern, data["slots"], rng), task) for _ in range(count)]
    return rows


def held_out() -> list[tuple[str, Task]]:
    """Prompts the training never sees."""
    data = json.loads(DATA.read_text("utf-8"))
    return [(prompt, task) for task in TASKS for prompt in data["held_out"][task]]


def train(rows: list[tuple[str, Task]], seed: int = 1) -> dict[str, Any]:
    """Weights per feature, in the order of `TASKS`; the same rows and seed give the same weights."""
    rng = random.Random(seed)
    counts = Counter(feature for prompt, _ in rows for feature in set(features(prompt)))
    known = {feature for feature, count in counts.items() if count >= 2}
    data = [([each for each in features(prompt) if each in known], TASKS.index(task)) for prompt, task in rows]
    weights = {feature: [0.0] * len(TASKS) for feature in known}
    bias = [0.0] * len(TASKS)
    for epoch in range(EPOCHS):
        rng.shuffle(data)
        rate = RATE / (1 + epoch / 5)
        for found, wanted in data:
            scale = 1 / math.sqrt(len(found) or 1)
            scores = [bias[k] + scale * sum(weights[each][k] for each in found) for k in range(len(TASKS))]
            top = max(scores)
            shares = [math.exp(score - top) for score in scores]
            total = sum(shares)
            for k in range(len(TASKS)):
                error = shares[k] / total - (k == wanted)
                bias[k] -= rate * error * 0.1
                for each in found:
                    weights[each][k] -= rate * (error * scale + DECAY * weights[each][k])
    rounded = {each: [round(value, 2) for value in weights[each]] for each in sorted(known)}
    kept = {each: values for each, values in rounded.items() if max(map(abs, values)) >= 0.15}
    return {"tasks": list(TASKS), "bias": [round(value, 3) for value in bias], "weights": kept}


def _filled(pattern: str, slots: dict[str, list[str]], rng: random.Random) -> str:
    return re.sub(r"\{(\w+)\}", lambda match: rng.choice(slots[match[1]]), pattern)
