"""A bound table as it is now: what is known of it is read again whenever somebody has altered it."""

from collections.abc import Callable
from typing import Generic, TypeVar

from sqlalchemy import Connection

from tellonce.model.errors import RetryableError
from tellonce.storage.sql.rows import TableRows
from tellonce.storage.subscriber.table import Judgement, TableFacts, judge
from tellonce.storage.subscriber.view import BoundView

__all__ = ["BoundTable"]

T = TypeVar("T")


class BoundTable(Generic[T]):
    """One view's table, by what a kind of database knows of tables (`T`). Not thread-safe."""

    def __init__(
        self,
        view: BoundView,
        *,
        stamp_of: Callable[[Connection], str],
        inspect: Callable[[Connection], TableFacts],
        open_table: Callable[[Connection], T],
        rows_of: Callable[[Connection, T], TableRows],
    ) -> None:
        """`stamp_of` gives what changes whenever the table is altered."""
        self.view = view
        self._stamp_of = stamp_of
        self._inspect = inspect
        self._open = open_table
        self._rows_of = rows_of
        self._known: tuple[str, T] | None = None

    def judge(self, connection: Connection) -> Judgement:
        """Says whether the view can be applied to the table as it is."""
        return judge(self.view, self._inspect(connection))

    def rows(self, connection: Connection) -> TableRows:
        """Gives the table's rows in this transaction.

        Raises:
            RetryableError: the table was altered, and the view can no longer be applied to it.
        """
        stamp = self._stamp_of(connection)
        if self._known is None or self._known[0] != stamp:
            refused = self.judge(connection).refused
            if refused:
                raise RetryableError(f"{self.view.binding.place}: {'; '.join(refused)}", view=self.view.name)
            self._known = stamp, self._open(connection)
        return self._rows_of(connection, self._known[1])

    def forget(self) -> None:
        """Has everything looked at anew in the next transaction."""
        self._known = None
