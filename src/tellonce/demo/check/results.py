"""What the independent check is given and what it says, in plain JSON shapes."""

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict

__all__ = ["NO_OWNERSHIP", "CheckError", "CheckResult", "Finding", "Kind", "Known", "Ownership", "ViewResult"]

Kind = Literal["differs", "missing", "orphaned", "ambiguous", "cannot_hold", "wrong_person", "touched"]


class CheckError(Exception):
    """What is to be checked cannot be read; `str()` is one sentence."""


class Ownership(TypedDict):
    """Whose row each row of a department was at the start, by the row's own key; the city's generator knows."""

    owners: Mapping[str, int]
    undecidable: Sequence[str]
    untouchable: Mapping[str, str]
    strangers: Sequence[str]


class Known(TypedDict):
    """A difference that is meant to be there: planted, found, and left to a person."""

    department: str
    view: str
    record_key: str
    kind: str
    """As the reconciler says it: altered, stale, missing, orphaned, ambiguous."""


class Finding(TypedDict):
    """One record that one department holds otherwise; it names fields and never says what they hold."""

    department: str
    view: str
    kind: Kind
    """`wrong_person`: the row now carries another resident's number. `touched`: a row nobody may write was written."""
    record_key: str
    row: str
    """The department's own key of the row; empty where there is none."""
    columns: list[str]
    record_keys: list[str]
    """For an ambiguous row, the records that it may be."""


class ViewResult(TypedDict):
    """One department's table against one view, in numbers."""

    department: str
    view: str
    records: int
    rows: int
    agree: int
    cannot_hold: int
    ambiguous_rows: int
    out_of_scope: int
    """Records for which an `existing` table has no open row."""
    closed_rows: int
    unlinked_rows: int
    """Rows that are nobody's whom the authority has."""


class CheckResult(TypedDict):
    """What the check found; `agrees` is True if nothing is unexpected."""

    agrees: bool
    views: list[ViewResult]
    findings: list[Finding]
    unexpected: list[Finding]
    """The findings that are neither known, nor undecidable from the start, nor too long for their column."""
    gone: list[Known]
    """Known differences that are no longer there."""


NO_OWNERSHIP: Ownership = {"owners": {}, "undecidable": (), "untouchable": {}, "strangers": ()}
"""Of a department about whose rows nothing is known."""
