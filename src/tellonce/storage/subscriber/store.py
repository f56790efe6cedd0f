"""The protocol that a subscriber's database answers to, for one view; `tests/apply` has the laws of all who do."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from tellonce.model.divergence import Reason
from tellonce.model.incoming import Incoming
from tellonce.model.quick import quick
from tellonce.storage.subscriber.decisions import Why, Write
from tellonce.storage.subscriber.entries import Coverage, Entry, StreamRow
from tellonce.storage.subscriber.facts import Asked, Found, Held, Known, Link, Rank, Row, RowKey
from tellonce.storage.subscriber.renewal import Renewal, Standing

__all__ = ["Accept", "LedgerLook", "Listed", "Look", "Record", "SubscriberStore", "Transaction", "Written"]

_FIRST_WAIT_MS, _LONGEST_WAIT_MS = 1_000, 60_000

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

    def wait_ms(self, tried: int) -> int | None:
        """Gives how long it waits when it was tried so often before; None where it is not tried again by itself."""
        return min(_FIRST_WAIT_MS << min(tried, 10), _LONGEST_WAIT_MS) if self.is_retried else None


@quick
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

    def came(self, pseudonyms: Collection[str]) -> None:
        """Forgets that these records were wanted: they have come."""
        ...

    def coverage(self) -> Coverage:
        """Gives which rows no proof speaks of, as the last sweep that went through has found."""
        ...

    def save_coverage(self, coverage: Coverage) -> None:
        """Keeps which rows no proof speaks of, when a sweep has gone through."""
        ...

    def standings(self, pseudonyms: Sequence[str]) -> Mapping[str, Standing]:
        """Gives what our own tables say of each of these records, known or not."""
        ...

    def renew(self, renewals: Sequence[Renewal]) -> frozenset[str]:
        """Writes plain rows and keeps their records, and gives those of which both was done.

        A store leaves whatever it likes to be decided about, but must leave all that deciding may see otherwise: a row
        that is locked, closed or gone, holds another identifier, or does not read back as what was written.

        Raises:
            RetryableError: the database is away, or what it met concerns the whole transaction.
        """
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

    def hasten_blocked(self) -> None:
        """Has every record tried again at once that met a lock or another row's value, since rows have changed."""
        ...

    def save_entries(self, entries: Sequence[Entry]) -> None:
        """Keeps entries alone: what a sweep has found in rows that nobody wrote to."""
        ...

    def unseen(self, pairs: Sequence[tuple[RowKey, Entry]]) -> frozenset[str]:
        """Keeps that rows were seen beside records of these versions, and gives the records of which it is news."""
        ...

    def save_cursor(self, task: str, cursor: str, *, finished: bool) -> None:
        """Keeps where a task stands."""
        ...

    def save(self, records: Mapping[str, Record]) -> None:
        """Keeps what was decided of these records."""
        ...


class Look(Protocol):
    """One unchanging state of the database, for a sweep, which writes nothing while it looks."""

    def cursor(self, task: str) -> str:
        """Gives where a task stands; "" where it is to begin."""
        ...

    def held_after(self, partition: int, after: str, limit: int) -> Sequence[Held]:
        """Gives the next records of a stream by pseudonym, each with its rows."""
        ...

    def rows_after(self, after: RowKey | None, limit: int) -> Sequence[Found]:
        """Gives the next rows of the table in the order of their keys."""
        ...


class LedgerLook(Protocol):
    """One unchanging state of our own tables; whatever has become of the department's table, it can be had."""

    def clock_ms(self) -> int:
        """Gives the database's time in epoch milliseconds."""
        ...

    def stream(self, partition: int) -> StreamRow | None:
        """Gives a stream's row; nothing if it was never read."""
        ...

    def entries_after(self, partition: int, after: str, limit: int) -> Sequence[Entry]:
        """Gives the next entries of a stream in the order of their pseudonyms."""
        ...

    def parked_reasons(self) -> Mapping[str, Reason]:
        """Gives why records are parked, by record."""
        ...

    def due(self, partitions: int) -> Mapping[int, Sequence[Incoming]]:
        """Gives the events, by partition, of parked records that are to be tried now.

        Those that waited for the end of the epoch's snapshot are due as soon as all `partitions` have passed it.
        """
        ...


class SubscriberStore(Protocol):
    """A department's database, as one view is applied to it."""

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Begins a transaction, which ends with its block: committed, or rolled back where the block raised."""
        ...

    def look(self) -> AbstractContextManager[Look]:
        """Begins to look at one unchanging state."""
        ...

    def ledger(self) -> AbstractContextManager[LedgerLook]:
        """Begins to look at one unchanging state of our own tables alone."""
        ...

    def stream(self, partition: int) -> StreamRow:
        """Gives a stream's row when whoever is at it has finished, made if it was never read."""
        ...

    def stop(self, partition: int, sentence: str | None) -> None:
        """Keeps the sentence that says why a stream is stopped, or takes it away."""
        ...
