"""The protocol that a subscriber's database answers to, for one view; `tests/apply` has the laws of all who do."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from tellonce.storage.subscriber.decisions import Why, Write
from tellonce.storage.subscriber.entries import Entry, StreamRow
from tellonce.storage.subscriber.facts import Asked, Known, Link, Rank, Row

__all__ = ["Accept", "Listed", "Record", "SubscriberStore", "Transaction", "Written"]

Accept = Callable[[str, Sequence[Row | None]], Why | None]
"""Says of a record's written rows, as they read back, why they may not stay so; None: they may.

A row that is not there any more, or was not inserted, is None. What may not stay is rolled back with its record.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The rows that were written, as they read back, in the order in which the write names them."""

    rows: Sequence[Row] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A parked record with what is needed to try it again."""

    why: Why
    payload: bytes
    is_retried: bool = False
    """Whether it is tried again by itself, after a while that grows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is kept of a record after it was dealt with.

    `claims` are the numbers that it answers to, by hash. Claims and links are None where they stay as they are.
    """

    entry: Entry
    links: Sequence[Link] | None
    claims: Mapping[str, Rank] | None
    others: str
    listed: Listed | None


class Transaction(Protocol):
    """One transaction on the department's database; every method takes a batch, in a bounded number of statements."""

    def clock_ms(self) -> int:
        """Gives the database's time in epoch milliseconds."""
        ...

    def lock_stream(self, partition: int) -> StreamRow:
        """Gives a stream's row, locked until the end; a stream that was never read begins at its first offset."""
        ...

    def save_stream(self, stream: StreamRow) -> None:
        """Writes a locked stream's row back."""
        ...

    def entries(self, pseudonyms: Sequence[str]) -> Mapping[str, Entry]:
        """Gives the entries of those records that the ledger has."""
        ...

    def wanted(self, pseudonyms: Sequence[str]) -> frozenset[str]:
        """Gives those records that this department wants to have published again."""
        ...

    def claim(self, asked: Sequence[Asked]) -> None:
        """Keeps which numbers these records answer to, so that each is seen as a rival of the others."""
        ...

    def know(self, asked: Sequence[Asked]) -> Mapping[str, Known]:
        """Gives what decides about each record, with its rows locked; every record asked for has an answer."""
        ...

    def write(self, writes: Mapping[str, Write], accept: Accept) -> Mapping[str, Written | Why]:
        """Carries the writes out, and says of each record what was written, or why nothing was.

        What the table refuses, or what `accept` does not, is rolled back for its own record and no other.

        Raises:
            RetryableError: the database is away, or what it met concerns the whole transaction.
        """
        ...

    def hasten(self, pseudonyms: Collection[str]) -> None:
        """Has those of these records that are parked tried again at once, since what they met has changed."""
        ...

    def save(self, records: Mapping[str, Record]) -> None:
        """Keeps what was decided of these records."""
        ...


class SubscriberStore(Protocol):
    """A department's database, as one view is applied to it."""

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Begins a transaction, which ends with its block: committed, or rolled back where the block raised."""
        ...
