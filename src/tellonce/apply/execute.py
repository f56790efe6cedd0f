"""Writing what was decided to the department's table: in bulk, and where one record is refused, without that one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from tellonce.apply.plan import Decision
from tellonce.apply.subscription import SubscribedView
from tellonce.model.digest import element
from tellonce.model.divergence import Reason
from tellonce.storage.bound_table import BoundRow, RowChange, RowKey
from tellonce.storage.database import is_infrastructure_trouble, sqlstate_of

__all__ = ["Written", "digest_of_rows", "execute", "row_element"]

_LOCK_TIMEOUT_MS = 2_000


@dataclass(slots=True, kw_only=True)
class Written:
    """The rows of one record as they read back after the write."""

    decision: Decision
    rows: list[BoundRow]


def execute(connection: Connection, subscribed: SubscribedView, decisions: Sequence[Decision]) -> list[Written]:
    """Writes the decisions and gives each record's rows as read back.

    A record whose row is locked, collides with another row or is refused by the table parks, and no other.
    """
    _lock_rows(connection, subscribed, decisions)
    executor = _Executor(connection, subscribed)
    for action, write in (
        ("delete", executor.delete),
        ("update", executor.update),
        ("insert", executor.insert),
    ):
        executor.attempt([d for d in decisions if d.action == action], write)
    return executor.written


def digest_of_rows(subscribed: SubscribedView, decision: Decision, rows: Sequence[BoundRow]) -> int | None:
    """Gives what the record's rows add to the sum; of several rows that differ, one that differs from the event."""
    event = decision.event
    digests = [row_element(subscribed, event.record_key, row) for row in rows] if event else []
    return next((digest for digest in digests if digest != decision.event_digest), digests[0] if digests else None)


def row_element(subscribed: SubscribedView, pseudonym: str, row: BoundRow) -> int:
    """Gives the element of a row as read back; one that no record has, where a column is not understood."""
    if row.fields is None:
        return element(subscribed.keys.digest, pseudonym, ("unreadable",))
    return subscribed.element_of(pseudonym, row.fields)


def _lock_rows(connection: Connection, subscribed: SubscribedView, decisions: Sequence[Decision]) -> None:
    """Locks the rows to be written; a record whose row stays locked by another transaction is parked."""
    if connection.dialect.name != "postgresql":
        return
    wanted = {key: decision for decision in decisions for key in decision.rows if not decision.is_settled}
    got = subscribed.table.probe(connection, list(wanted), lock=True)
    absent = [key for key in wanted if key not in got]
    if not absent:
        return
    got |= _wait_for(connection, subscribed, absent)
    for key in absent:
        if key not in got:
            wanted[key].park(Reason.LOCKED, "another transaction holds the row")


def _wait_for(connection: Connection, subscribed: SubscribedView, keys: list[RowKey]) -> dict[RowKey, bool]:
    try:
        with connection.begin_nested():
            connection.execute(text(f"SET LOCAL lock_timeout = {_LOCK_TIMEOUT_MS:d}"))
            return subscribed.table.probe(connection, keys, lock=True, wait=True)
    except DBAPIError as error:
        if sqlstate_of(error) != "55P03":
            raise
    return subscribed.table.probe(connection, keys, lock=True)


class _Executor:
    def __init__(self, connection: Connection, subscribed: SubscribedView) -> None:
        self._connection = connection
        self._subscribed = subscribed
        self.written: list[Written] = []

    def attempt(self, decisions: Sequence[Decision], write: Callable[[Sequence[Decision]], list[Written]]) -> None:
        """Writes the decisions together; if the database refuses, halves them until the refused one is alone."""
        if not decisions:
            return
        try:
            with self._connection.begin_nested():
                written = write(decisions)
        except DBAPIError as error:
            if is_infrastructure_trouble(error):
                raise
            if len(decisions) == 1:
                decisions[0].park(*_reason_of(error))
                return
            middle = len(decisions) // 2
            self.attempt(decisions[:middle], write)
            self.attempt(decisions[middle:], write)
        else:
            self.written += written

    def update(self, decisions: Sequence[Decision]) -> list[Written]:
        changes = [RowChange(key=key, values=d.values) for d in decisions for key in d.rows]
        back = self._subscribed.table.update(self._connection, changes)
        written: list[Written] = []
        for decision in decisions:
            rows = [back[key] for key in decision.rows if key in back]
            keys = [row.key for row in rows]
            if keys != decision.rows:
                decision.links = keys
            written.append(Written(decision=decision, rows=rows))
        return written

    def insert(self, decisions: Sequence[Decision]) -> list[Written]:
        defaults = self._subscribed.binding.defaults
        columns = [column.column for column in self._subscribed.table.columns]
        rows = [{**defaults, **{name: d.values.get(name) for name in columns}} for d in decisions]
        back = self._subscribed.table.insert(self._connection, rows)
        for decision, row in zip(decisions, back, strict=True):
            decision.links = [row.key]
        return [Written(decision=d, rows=[row]) for d, row in zip(decisions, back, strict=True)]

    def delete(self, decisions: Sequence[Decision]) -> list[Written]:
        keys = [key for decision in decisions for key in decision.rows]
        binding = self._subscribed.binding
        if binding.on_delete == "delete":
            self._subscribed.table.delete(self._connection, keys)
        elif binding.on_delete == "mark":
            changes = [RowChange(key=key, values=binding.mark) for key in keys]
            self._subscribed.table.update(self._connection, changes)
        return [Written(decision=decision, rows=[]) for decision in decisions]


def _reason_of(error: DBAPIError) -> tuple[Reason, str]:
    """Gives reason and detail of a refused write, from the error's class alone: its text may quote the row."""
    state = sqlstate_of(error)
    if state == "55P03":
        return Reason.LOCKED, "another transaction holds the row"
    is_unique = state == "23505" or (
        isinstance(error, IntegrityError) and str(error.orig).startswith("UNIQUE constraint failed")
    )
    if is_unique:
        return Reason.COLLISION, "another row holds a value that must be unique"
    if state is not None and state.startswith("22"):
        return Reason.CANNOT_HOLD, f"the database refused the value (SQLSTATE {state})"
    return Reason.REFUSED_BY_TABLE, f"the table refused the row ({state or type(error.orig).__name__})"
