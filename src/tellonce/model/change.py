"""The change event: what one department says about one record, independent of bytes, topics and tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

__all__ = ["ChangeEvent", "Fields", "Operation", "Origin", "Value"]

Value = None | str | int | bool | Decimal | date | datetime | bytes | tuple[str, ...]
"""A field's value in the shared, logical form; a `datetime` is always aware and in UTC, to the millisecond."""

Fields = Mapping[str, Value]
"""The fields of one row of a view by name, `match_only` fields included."""


class Operation(StrEnum):
    """What happened to the record, in Debezium's codes, and `m` for an event that only fills a sequence."""

    CREATE = "c"
    UPDATE = "u"
    DELETE = "d"
    READ = "r"
    MARKER = "m"


class Origin(StrEnum):
    """By which path the event came to be published."""

    CAPTURE = "capture"
    """A transaction of the authority changed its row."""
    SNAPSHOT = "snapshot"
    """Every record was published again, which begins an epoch."""
    SWEEP = "sweep"
    """The authority's sweep found a row that was changed behind its outbox."""
    REPAIR = "repair"
    """An order named the record for certain departments."""
    MARKER = "marker"
    """The event carries no record's state; it stands where a staged event was refused for good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeEvent:
    """One change of one record as a view shows it.

    `version` orders the events of one record and `sequence` those of one stream, both within `epoch`.
    `before` and `after` are None where the operation has no such side, and where the reader did not ask for it;
    a reader that asked for some fields finds only those in `after`.
    Times are milliseconds since 1970-01-01 UTC.
    """

    op: Operation
    department: str
    record_type: str
    view: str
    """Name of the view, such as `citizen.identity`."""
    record_key: str
    """The authority's immutable key of the record; personal data, so never logged."""
    epoch: int
    version: int
    sequence: int
    origin: Origin
    committed_at_ms: int
    """When the authority's transaction committed."""
    published_at_ms: int
    """When the relay built the event."""
    before: Fields | None = None
    after: Fields | None = None
