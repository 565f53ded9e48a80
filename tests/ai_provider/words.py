"""Words that have no place before a person: counts of tokens, money, and what would be left of an allowance."""

from __future__ import annotations

import re

COUNTING = re.compile(
    r"\btokens?\b|\bquotas?\b|\bcredits?\b|\bbudgets?\b|\bcosts?\b|\busage\b|\bUSD\b|[$€£]\s?\d|\d\s?%\s(?:used|left)|\brate.?limit|\bremaining\b",
    re.IGNORECASE,
)


def counted(text: str) -> list[str]:
    """Each such word in ``text`` with what stands around it; empty: none."""
    return [text[max(0, found.start() - 40) : found.end() + 40] for found in COUNTING.finditer(text)]
