"""What differs between databases where a department's own table is read and written: the rows of one binding."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from sqlalchemy.exc import DBAPIError

from tellonce.storage.subscriber.decisions import Why, Write
from tellonce.storage.subscriber.facts import Number, Row, RowKey
from tellonce.storage.subscriber.renewal import Renewal

__all__ = ["TableRows"]


class TableRows(Protocol):
    """The rows of a bound table, inside one transaction."""

    def lock(self, keys: Collection[RowKey]) -> frozenset[RowKey]:
        """Locks rows until the end, without waiting, and gives those that are this transaction's now."""
        ...

    def read(self, keys: Collection[RowKey]) -> Mapping[RowKey, Row]:
        """Gives the rows that are there."""
        ...

    def read_after(self, after: RowKey | None, limit: int) -> Sequence[Row]:
        """Gives the next rows in the order of their keys, closed ones too."""
        ...

    def find(self, numbers: Iterable[Number]) -> Sequence[Row]:
        """Gives the open rows that hold one of these numbers, and perhaps others beside them."""
        ...

    def renew(self, renewals: Sequence[Renewal]) -> Sequence[Renewal]:
        """Writes plain rows, and gives those that are open, hold their identifiers, and read back as they shall.

        Nothing is left of a write that reads back otherwise.

        Raises:
            DBAPIError: what the database says concerns more than one record.
        """
        ...

    def carry_out(self, writes: Mapping[str, Write], *, aside: bool) -> Mapping[str, Sequence[RowKey | None]]:
        """Writes, and gives of each write its rows' keys afterwards, None for a row that the table did not take.

        With `aside` what must be unique is first set aside, so that values can be exchanged. Every constraint has been
        checked when it returns.

        Raises:
            DBAPIError: the database refuses one of the writes.
        """
        ...

    def held_by_others(self, writes: Mapping[str, Write]) -> frozenset[str]:
        """Gives the records that would write what must be unique and a row outside these writes holds."""
        ...

    def why(self, error: DBAPIError) -> Why | None:
        """Says of a refusal why it was, without its text, which may quote the row; None where it is about more."""
        ...
