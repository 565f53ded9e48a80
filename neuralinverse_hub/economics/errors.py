"""What can go wrong in the economics.

EconomicsError
├── BadPrices      the price list is not one; the text names the entry, the value and what to write
├── BadRecord      one record cannot be taken; the others can
├── BadScenario    a what-if asks for what cannot be
├── BadFile        a file to import is not what it should be; the text names the line
└── LedgerAway     the database does not answer, or has another version's tables
"""

from __future__ import annotations

from neuralinverse_hub.local.errors import LocalError

__all__ = ["BadFile", "BadPrices", "BadRecord", "BadScenario", "EconomicsError", "LedgerAway"]


class EconomicsError(LocalError):
    """Base of all below; the text is a sentence for the operator."""


class BadPrices(EconomicsError):
    """The price list cannot be used."""


class BadRecord(EconomicsError):
    """A record says something that cannot be so."""


class BadScenario(EconomicsError):
    """A scenario cannot be worked out."""


class BadFile(EconomicsError):
    """An imported file cannot be read."""


class LedgerAway(EconomicsError):
    """The ledger cannot be reached; try again later."""
