"""What a store tells of a record before anything is decided, as it was read in the transaction that will write.

Numbers (identifiers that people are found by) appear as keyed hashes, since our own tables must not hold them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from tellonce.model.change import Value
from tellonce.model.quick import quick
from tellonce.storage.subscriber.entries import Entry

__all__ = ["Asked", "Candidate", "Claim", "Found", "Held", "Known", "Link", "Number", "Rank", "Row", "RowKey"]

RowKey = str
"""A row's key as JSON text: the values of the key columns in their order."""


class Rank(StrEnum):
    """How a record answers to a number: it is in force, or it was once, or is derived from the one in force."""

    IN_FORCE = "in_force"
    EARLIER = "earlier"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the department's table: its key, whether it is open, and the fields of those columns that can be read.

    `is_marked` says that it holds what the binding's `mark` writes; `numbers` are the hashes of what its identifier
    columns hold.
    """

    key: RowKey
    is_open: bool
    fields: Mapping[str, Value]
    unreadable: frozenset[str] = frozenset()
    numbers: frozenset[str] = frozenset()
    is_marked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A row that is a record's, with hashes of what was last written there, or found equal; a sweep changes neither.

    `is_ended` says that the record's own delete has marked the row. `by_person` that a person has decided the link.
    """

    key: RowKey
    number: str
    others: str
    by_person: bool = False
    is_ended: bool = False
    row: Row | None = None
    """The row as it is now; None where it is gone."""
    rivals: Sequence["Claim"] = ()
    """Who else answers to a number that the row holds, where its other fields are not those last written there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Another record that answers to a number.

    `has_own_row` says that an open row that is nobody else's holds its number in force; `others` is the hash of its
    other shared fields.
    """

    pseudonym: str
    rank: Rank
    has_own_row: bool = False
    others: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An open row that holds one of the record's numbers, and who else could mean it."""

    row: Row
    owner: str | None = None
    """The record that the row is linked to, if it is another."""
    rivals: Sequence[Claim] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a store is asked about one record: what numbers it answers to, by hash, and the hash of its other fields.

    With `looks_around` rows that hold its numbers are given though it has a row already.
    """

    pseudonym: str
    numbers: Mapping[str, "Number"] = field(default_factory=dict[str, "Number"])
    others: str = ""
    looks_around: bool = False


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A number that a record answers to: the field whose column may hold it, its value, and how it is the record's."""

    identifier: str
    value: str
    rank: Rank


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Everything that decides what becomes of one record; its rows are locked until the transaction ends.

    `claims` are the hashes of the numbers that it answers to, or did until now. `is_locked` says that another
    transaction holds one of its rows, so that what that row holds is not known; `is_complete` that the epoch was read
    to the end of its snapshot in every partition, so that no record is unknown.
    """

    entry: Entry | None = None
    links: Sequence[Link] = ()
    candidates: Sequence[Candidate] = ()
    claims: frozenset[str] = frozenset()
    is_wanted: bool = False
    is_locked: bool = False
    is_complete: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A record of the ledger with the rows that are its, as a sweep finds them."""

    entry: Entry
    links: Sequence[Link]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A row as a sweep finds it, the record that it is linked to, and the records that answer to its numbers."""

    row: Row
    owner: str | None
    claimants: Sequence[Entry]
