"""The plain case, which nearly every event is: a record whose one row goes on being its own, with newer values.

Nothing is found or weighed, so a store may write many at once, guarded by what each row must hold to be the record's.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tellonce.declare.codec import Raw
from tellonce.model.quick import quick
from tellonce.storage.subscriber.entries import Entry
from tellonce.storage.subscriber.facts import Rank, RowKey

__all__ = ["Plain", "Renewal", "Standing", "answers_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """What a plain record is known by: its one row, its number as last written there, and all numbers it answers to.

    Both kinds of numbers are hashes.
    """

    row: RowKey
    number: str
    claims: Mapping[str, Rank]

    def text(self) -> str:
        """Gives it as our own table keeps it: what it answers to, without a blank, and then the row."""
        return f"{answers_of(self.number, self.claims)} {self.row}"


def answers_of(number: str, claims: Mapping[str, Rank]) -> str:
    """Gives one text of a record's number and of all that it answers to, the same wherever these are the same."""
    return ",".join([number, *sorted(f"{each}:{rank}" for each, rank in claims.items())])


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What our own tables say of a record before its next event.

    A plain one has its `row`, and `answers` as `answers_of` gives it; `is_wanted` says that it is to come again.
    """

    entry: Entry | None = None
    row: RowKey | None = None
    answers: str = ""
    is_wanted: bool = False


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """One row of one record, with the raw values by bound column that it shall hold, and what is kept of the record.

    The row must be open and hold the identifiers among these values already, and the entry has one digest for the event
    and for the row, since the row shall hold what the event says. `others` is the hash of the other fields.
    """

    row: RowKey
    values: Mapping[str, Raw]
    entry: Entry
    others: str
