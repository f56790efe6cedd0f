"""What can be wrong with a record at a department, and how such a finding lives from open to resolved."""

from enum import StrEnum
from hashlib import blake2b

__all__ = ["DivergenceKind", "DivergenceState", "Reason", "RecordState", "divergence_id", "is_open"]


class DivergenceKind(StrEnum):
    """The way in which one department holds one record differently."""

    MISSING = "missing"
    STALE = "stale"
    ALTERED = "altered"
    ORPHANED = "orphaned"
    AMBIGUOUS = "ambiguous"
    PARKED = "parked"
    UNPUBLISHED = "unpublished"


class DivergenceState(StrEnum):
    """Where a divergence stands."""

    OPEN = "open"
    REPAIRING = "repairing"
    EXPLAINED = "explained"
    ACCEPTED = "accepted"
    RESOLVED = "resolved"


class RecordState(StrEnum):
    """How a department (or, for the last three, the authority) stands to one record of a view."""

    HELD = "held"
    OUT_OF_SCOPE = "out_of_scope"
    PARKED = "parked"
    AMBIGUOUS = "ambiguous"
    DELETED = "deleted"
    LIVE = "live"
    UNPUBLISHED = "unpublished"


class Reason(StrEnum):
    """Why a department has parked a record; a closed set, so that it can be a metric's label and a message's word."""

    CANNOT_HOLD = "cannot_hold"
    UNDECODABLE = "undecodable"
    UNKNOWN_SCHEMA = "unknown_schema"
    AMBIGUOUS = "ambiguous"
    AWAITING_SNAPSHOT = "awaiting_snapshot"
    LOCKED = "locked"
    COLLISION = "collision"
    REFUSED_BY_TABLE = "refused_by_table"
    ROW_REASSIGNED = "row_reassigned"
    NO_EFFECT = "no_effect"
    MISSING_REFERENCE = "missing_reference"
    OTHER = "other"
    """What a message says in a word that this release does not know."""

    @classmethod
    def of(cls, word: str) -> "Reason":
        """Gives the reason that a word of whatever release means."""
        return next((one for one in cls if one == word), cls.OTHER)


def is_open(state: DivergenceState) -> bool:
    """Tells whether the department still holds the record differently."""
    return state is not DivergenceState.RESOLVED


def divergence_id(view: str, department: str, pseudonym: str) -> str:
    """Gives the 16 hexadecimal digits that name a divergence for as long as it lives, and again if it comes back."""
    text = f"{view}\x00{department}\x00{pseudonym}"
    return blake2b(text.encode(), digest_size=8, person=b"tellonce.diverge").hexdigest()
