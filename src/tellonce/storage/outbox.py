"""The outbox of one record type: records that are to be looked at, used by the relay inside its own transaction.

What stands in it is never the record's state: the relay reads that from the department's table, after it has claimed.
Every method takes the connection of the caller's transaction and leaves commit and rollback to the caller.
"""

from collections.abc import Collection, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import ARRAY, BigInteger, Connection, any_, bindparam, delete, func, insert, select
from sqlalchemy.exc import DBAPIError

from tellonce.declare import Raw, Source, Undecodable
from tellonce.model.change import Origin
from tellonce.model.errors import ConfigurationError
from tellonce.storage.database import is_infrastructure_trouble, sqlstate_of
from tellonce.storage.outbox_table import outbox_table, unknown_changes
from tellonce.storage.source_reading import RecordImage, source_reader
from tellonce.storage.statements import among, in_slices

__all__ = ["Outbox", "OutboxRow", "RecordImage"]

# PostgreSQL: function, table, schema or column that is not there; SQLite says "no such table" or "no such column".
_NOT_INSTALLED = ("42883", "42P01", "3F000", "42703")
_NONE_SUCH = ("no such table", "no such column")


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """That a record is to be looked at, and why; times are milliseconds since 1970-01-01 UTC.

    `record_key` is None where the trigger could not make the key: then nobody knows which record it was. It is None,
    too, where the origin is a sweep: then all are to be looked at.
    """

    outbox_id: int
    """Where the row stands. Says nothing about the order of commits, which need not be known."""
    record_key: str | None
    committed_at_ms: int
    """When the row was changed: a trigger cannot see the commit, which follows it."""
    origin: Origin


class Outbox:
    """The outbox and the captured table of one source, in a database of one dialect.

    Holds no connection and no state, so threads may share it. Raises a `ConfigurationError` where capture is not
    installed.
    """

    def __init__(self, source: Source, dialect_name: str) -> None:
        """Takes a source and the name of the dialect, `postgresql` or `sqlite`."""
        self._source = source
        self._is_postgres = dialect_name == "postgresql"
        self._table = outbox_table(source.record_type, dialect_name)
        self._reader = source_reader(source, dialect_name)

    def claim(self, connection: Connection, limit: int) -> list[OutboxRow]:
        """Gives the oldest `limit` rows.

        There is no watermark: a row that commits late is simply still there. What is read of the records in a later
        statement of the transaction is at least as new as what was claimed, and a change in between has left a row of
        its own. Needs READ COMMITTED.
        """
        columns = self._table.c
        with self._installed():
            rows = connection.execute(
                select(columns.outbox_id, columns.record_key, columns.committed_at_ms, columns.origin)
                .order_by(columns.outbox_id)
                .limit(limit)
            )
            return [
                OutboxRow(outbox_id=number, record_key=key, committed_at_ms=at_ms, origin=Origin(origin))
                for number, key, at_ms, origin in rows
            ]

    def remove(self, connection: Connection, rows: Sequence[OutboxRow]) -> None:
        """Removes claimed rows, by their own ids: one of the same record that came since stays."""
        column = self._table.c.outbox_id
        for some in in_slices([row.outbox_id for row in rows]):
            if self._is_postgres:
                chosen = column == any_(bindparam("ids", list(some), ARRAY(BigInteger())))
            else:
                chosen = column.in_(some)
            connection.execute(delete(self._table).where(chosen))

    def mark(self, connection: Connection, record_keys: Iterable[str], origin: Origin, at_ms: int) -> None:
        """Lets the relay look at records, as a sweep or an order asks."""
        rows = [{"record_key": key, "committed_at_ms": at_ms, "origin": str(origin)} for key in record_keys]
        if rows:
            with self._installed():
                connection.execute(insert(self._table), rows)

    def waiting_among(self, connection: Connection, record_keys: Collection[str]) -> frozenset[str]:
        """Gives those of the records that stand in the outbox; all if it does not know which record one row is of."""
        if not record_keys:
            return frozenset()
        column = self._table.c.record_key
        with self._installed():
            if connection.execute(unknown_changes(self._table).limit(1)).first() is not None:
                return frozenset(record_keys)
            statement = select(column).distinct().where(among(connection, column, record_keys))
            return frozenset(str(key) for key in connection.execute(statement).scalars())

    def pending(self, connection: Connection) -> tuple[int, int | None]:
        """Gives how many rows wait, and when the oldest was changed, in epoch milliseconds."""
        rows = self._table.c
        with self._installed():
            count, oldest = connection.execute(select(func.count(rows.outbox_id), func.min(rows.committed_at_ms))).one()
        return int(count), None if oldest is None else int(oldest)

    def read_chunk(self, connection: Connection, after_key: str | None, limit: int) -> list[RecordImage]:
        """Gives the next `limit` rows of the table behind `after_key`, in the key columns' own order."""
        with self._installed():
            return self._reader.chunk(connection, after_key, limit)

    def read_records(self, connection: Connection, record_keys: Sequence[str]) -> list[RecordImage]:
        """Gives the named records as they are now, each once, with `image` None for a row that is gone."""
        keys = list(dict.fromkeys(record_keys))
        if not keys:
            return []
        with self._installed():
            found = self._reader.records(connection, keys)
        return [RecordImage(key, found.get(key)) for key in keys]

    def read_former(self, connection: Connection, record_keys: Sequence[str]) -> dict[str, dict[str, tuple[str, ...]]]:
        """Gives the former values of each record's identifiers, from the history tables; one query per table.

        Every record asked for is there, with every field of the source's `former`. A value that the codec does not
        understand is left out, as it could match no row.
        """
        raws: dict[str, dict[str, list[Raw]]] = {
            key: {field: [] for field in self._source.former} for key in record_keys
        }
        with self._installed():
            for field, key, raw in self._reader.former(connection, list(raws)) if raws else ():
                if key in raws:
                    raws[key][field].append(raw)
        return {
            key: {field: self._former_values(field, values) for field, values in fields.items()}
            for key, fields in raws.items()
        }

    def _former_values(self, field: str, raws: Sequence[Raw]) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for raw in raws:
            try:
                found.update(dict.fromkeys(self._source.former[field].values_of([raw])))
            except Undecodable:
                continue
        return tuple(found)

    @contextmanager
    def _installed(self) -> Generator[None, None, None]:
        try:
            yield
        except DBAPIError as error:
            if sqlstate_of(error) in _NOT_INSTALLED or str(error.orig).startswith(_NONE_SUCH):
                record_type = self._source.record_type
                msg = (
                    f"expected the capture of {record_type} to be installed and its tables and columns to be there, "
                    f"found one missing ({_shown(error)}); see the declaration, and run tellonce install for this "
                    "department"
                )
                raise ConfigurationError(msg, record_type=record_type) from error
            if is_infrastructure_trouble(error):
                raise
            # Row security that would hide rows is such a refusal, and so is a right that was taken away.
            msg = (
                f"expected to read {self._source.table} and the outbox of {self._source.record_type}, found that the "
                f"database refuses it (SQLSTATE {sqlstate_of(error)}); see rights, row security and the database's log"
            )
            raise ConfigurationError(msg, record_type=self._source.record_type) from error


def _shown(error: DBAPIError) -> str:
    """Gives what the database said, which of these errors is the name of what is missing."""
    return str(error.orig).strip().splitlines()[0]
