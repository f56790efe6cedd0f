"""The outbox of one record type: changes that wait to be published, used by the relay inside its own transaction.

Every method takes the connection of the caller's transaction and leaves commit and rollback to the caller.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Connection,
    Select,
    Text,
    and_,
    any_,
    bindparam,
    cast,
    delete,
    func,
    insert,
    literal_column,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError

from tellonce.declare import Raw, Source, Undecodable
from tellonce.model.change import Origin
from tellonce.model.errors import ConfigurationError, RetryableError
from tellonce.storage.database import sqlstate_of
from tellonce.storage.outbox_table import image_from_json, image_to_json, mapped_columns, outbox_table
from tellonce.storage.source_reading import RecordImage, fetch, source_reader
from tellonce.storage.statements import in_slices, upsert
from tellonce.storage.tables import own_tables

__all__ = ["Outbox", "OutboxRow", "RecordImage", "collapse"]

# PostgreSQL: function, table or schema that is not there; SQLite says "no such table".
_NOT_INSTALLED = ("42883", "42P01", "3F000")
_LOCKED = "55P03"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """One state that a record was left in, waiting to be published.

    `before` and `after` hold the mapped columns by name; `after` is None for a record that is gone. `before` is None
    where the row was not there, or was not seen: whether the change creates or updates is the relay's ledger to say.
    Times are milliseconds since 1970-01-01 UTC.
    """

    outbox_id: int = 0
    """Where the row stands; 0 for one that is yet to be added. Says nothing about the order of commits."""
    record_key: str
    version: int
    transaction_id: int | None = None
    """The authority's transaction; None in SQLite, and for rows that no trigger wrote."""
    committed_at_ms: int
    """When the row was changed: a trigger cannot see the commit, which follows it."""
    origin: Origin
    before: Mapping[str, Raw] | None = None
    after: Mapping[str, Raw] | None = None


class _Fixed(NamedTuple):
    """The columns of an outbox row before its images, in the table's order."""

    outbox_id: int
    record_key: str
    version: int
    transaction_id: int | None
    committed_at_ms: int
    origin: str


class Outbox:
    """The outbox and the captured table of one source, in a database of one dialect.

    Holds no connection and no state, so threads may share it. Raises a `ConfigurationError` where capture is not
    installed.
    """

    def __init__(self, source: Source, dialect_name: str) -> None:
        """Takes a source and the name of the dialect, `postgresql` or `sqlite`."""
        self._source = source
        self._is_postgres = dialect_name == "postgresql"
        self._columns = mapped_columns(source)
        self._table = outbox_table(source, dialect_name)
        self._reader = source_reader(source, dialect_name)

    def claim(self, connection: Connection, limit: int) -> list[OutboxRow]:
        """Gives the oldest `limit` changes, ordered by record key and version.

        Each comes with every unpublished row of the same record at the same or a lower version. There is no watermark:
        a row that commits late is simply still there. A version is taken under the record's lock, so whoever sees a
        version sees all lower ones that committed.
        """
        with self._installed():
            return [self._row(row) for row in fetch(connection, self._claiming(limit))]

    def _claiming(self, limit: int) -> Select[*tuple[object, ...]]:
        rows = self._table.c
        oldest = select(rows.record_key, rows.version).order_by(rows.outbox_id).limit(limit).subquery()
        newest = (
            select(oldest.c.record_key, func.max(oldest.c.version).label("version"))
            .group_by(oldest.c.record_key)
            .subquery()
        )
        # As text, so that the numbers are read as exact decimals here and not as floats by the driver.
        shown = [cast(column, Text).label(column.name) if isinstance(column.type, JSONB) else column for column in rows]
        of_record = and_(rows.record_key == newest.c.record_key, rows.version <= newest.c.version)
        if not self._is_postgres:
            claimed = select(*shown).join_from(self._table, newest, of_record)
            return claimed.order_by(rows.record_key, rows.version, rows.outbox_id)
        # Record by record through its index: without statistics, as after a burst, PostgreSQL would rather read the
        # whole outbox for each claim. An OFFSET keeps it from making one join of both.
        chosen = select(*shown).where(of_record).offset(0).correlate(newest).lateral()
        claimed = select(*chosen.c).select_from(newest).join(chosen, true())
        return claimed.order_by(chosen.c.record_key, chosen.c.version, chosen.c.outbox_id)

    def remove(self, connection: Connection, rows: Sequence[OutboxRow]) -> None:
        """Removes claimed rows: the very ones that `claim` gave, not what `collapse` made of them."""
        ids = [row.outbox_id for row in rows]
        column = self._table.c.outbox_id
        for some in in_slices(ids):
            if self._is_postgres:
                chosen = column == any_(bindparam("ids", list(some), ARRAY(BigInteger())))
            else:
                chosen = column.in_(some)
            connection.execute(delete(self._table).where(chosen))

    def add(self, connection: Connection, rows: Sequence[OutboxRow]) -> None:
        """Adds rows of sweeps and repairs; their `outbox_id` and `transaction_id` are not looked at."""
        if not rows:
            return
        statement = insert(self._table)
        if self._is_postgres:
            sides = {side: cast(bindparam(f"{side}_json", type_=Text), JSONB) for side in ("before", "after")}
            statement = statement.values(sides)
        with self._installed():
            connection.execute(statement, [self._values(row) for row in rows])

    def pending(self, connection: Connection) -> tuple[int, int | None]:
        """Gives how many rows wait, and when the oldest was changed, in epoch milliseconds."""
        rows = self._table.c
        with self._installed():
            count, oldest = connection.execute(select(func.count(rows.outbox_id), func.min(rows.committed_at_ms))).one()
        return int(count), None if oldest is None else int(oldest)

    def read_chunk(self, connection: Connection, after_key: str | None, limit: int) -> list[RecordImage]:
        """Gives the next `limit` rows of the table behind `after_key`, in the key columns' own order.

        Row and version are of one state of the database. Nothing is written and nobody waits.
        """
        with self._installed():
            return self._reader.chunk(connection, after_key, limit)

    def read_records(self, connection: Connection, record_keys: Sequence[str], *, lock: bool) -> list[RecordImage]:
        """Gives the named records as they are now, with `image` None for a row that is gone.

        Without `lock`, row and version are of one state of the database, which is enough to publish them again at that
        version. With `lock`, nobody changes the given records until this transaction ends, so their version may be
        raised; a record that somebody is changing at this moment is **left out** instead of waited for, since the
        department's own transaction must never be the victim of a deadlock with ours. Needs READ COMMITTED.

        Raises:
            RetryableError: a counter stayed locked longer than half a second.
        """
        if not record_keys:
            return []
        with self._installed():
            return self._reader.records(connection, list(dict.fromkeys(record_keys)), lock=lock)

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

    def set_versions(self, connection: Connection, versions: Mapping[str, int]) -> None:
        """Raises the counters of records that `read_records` locked in this transaction; never lowers one."""
        table = own_tables("postgresql" if self._is_postgres else "sqlite").record_version
        rows = [
            {"record_type": self._source.record_type, "record_key": key, "version": version}
            for key, version in sorted(versions.items())
        ]
        upsert(connection, table, rows, guard=table.c.version < literal_column("excluded.version", BigInteger()))

    def _values(self, row: OutboxRow) -> dict[str, object]:
        values: dict[str, object] = {
            "record_key": row.record_key,
            "version": row.version,
            "committed_at_ms": row.committed_at_ms,
            "origin": str(row.origin),
        }
        for side, image in (("before", row.before), ("after", row.after)):
            if self._is_postgres:
                values[f"{side}_json"] = image_to_json(image)
                continue
            values[f"has_{side}"] = int(image is not None)
            for name in self._columns:
                values[f"{side[0]}_{name}"] = _storable((image or {}).get(name))
        return values

    def _row(self, row: Sequence[Raw]) -> OutboxRow:
        known = _Fixed._make(row[: len(_Fixed._fields)])
        return OutboxRow(
            outbox_id=known.outbox_id,
            record_key=known.record_key,
            version=known.version,
            transaction_id=known.transaction_id,
            committed_at_ms=known.committed_at_ms,
            origin=Origin(known.origin),
            before=self._image(row[len(_Fixed._fields) :], 0),
            after=self._image(row[len(_Fixed._fields) :], 1),
        )

    def _image(self, sides: Sequence[Raw], side: int) -> Mapping[str, Raw] | None:
        if self._is_postgres:
            text = sides[side]
            return image_from_json(text if isinstance(text, str) else None)
        width = len(self._columns) + 1
        is_there, *values = sides[side * width : (side + 1) * width]
        return dict(zip(self._columns, values, strict=True)) if is_there else None

    @contextmanager
    def _installed(self) -> Generator[None, None, None]:
        try:
            yield
        except DBAPIError as error:
            state, record_type = sqlstate_of(error), self._source.record_type
            if state in _NOT_INSTALLED or str(error.orig).startswith("no such table"):
                msg = (
                    f"expected the capture of {record_type} to be installed and its tables to be there, found one "
                    "missing; run tellonce install for this department"
                )
                raise ConfigurationError(msg, record_type=record_type) from error
            if state == _LOCKED:
                msg = f"expected records of {record_type} to be free, found them locked; try again"
                raise RetryableError(msg, record_type=record_type) from error
            raise


def _storable(value: Raw) -> Raw:
    # sqlite3 cannot write the lone surrogates that stand for bytes which are not UTF-8: keep the bytes themselves.
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode("utf-8", "surrogateescape")
    return value


def collapse(rows: Sequence[OutboxRow]) -> list[OutboxRow]:
    """Gives the rows, in their order, with each delete and create of one record in one transaction made one change.

    So a row that moved between partitions, or that was replaced, is an update. The change has the delete's `before` and
    the create's `after` and version. In SQLite, which has no transaction ids here, rows at adjacent versions are taken
    for one transaction's. Expects the order of `Outbox.claim`.
    """
    collapsed: list[OutboxRow] = []
    for row in rows:
        last = collapsed[-1] if collapsed else None
        if last is not None and _is_replaced(last, row):
            collapsed[-1] = replace(row, before=last.before)
        else:
            collapsed.append(row)
    return collapsed


def _is_replaced(first: OutboxRow, second: OutboxRow) -> bool:
    return (
        first.record_key == second.record_key
        and first.origin == second.origin == Origin.CAPTURE
        and first.version + 1 == second.version
        and first.transaction_id == second.transaction_id
        and second.before is None
        and second.after is not None
        and (first.after is None or first.after == second.after)
    )
