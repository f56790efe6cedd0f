"""A department's table on SQLite: values stay as they are stored, since a cast to text would change some."""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, cast

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from tellonce.declare.codec import Raw
from tellonce.model.divergence import Reason
from tellonce.storage.sqlite.renewing import SqliteRenewing
from tellonce.storage.sqlite.table import SqliteTable, bound
from tellonce.storage.subscriber.decisions import Delete, Insert, Mark, Update, Why, Write
from tellonce.storage.subscriber.facts import Number, Row, RowKey
from tellonce.storage.subscriber.renewal import Renewal

__all__ = ["SqliteRows"]


class SqliteRows:
    """The rows of a bound table, in one transaction, which is the only one that writes."""

    def __init__(self, connection: Connection, table: SqliteTable) -> None:
        self._connection = connection
        self._table = table

    def lock(self, keys: Collection[RowKey]) -> frozenset[RowKey]:
        """Gives them all: a transaction that writes has the whole database."""
        return frozenset(keys)

    def read(self, keys: Collection[RowKey]) -> Mapping[RowKey, Row]:
        """Gives the rows that are there."""
        table = self._table
        if not keys:
            return {}
        statement = f"SELECT {table.selected} FROM {table.given} JOIN {table.name} ON {table.is_key}"  # noqa: S608 - quoted names
        rows = self._run(statement, {"keys": f"[{','.join(keys)}]", **table.marks})
        return {row.key: row for row in map(table.row, rows)}

    def read_after(self, after: RowKey | None, limit: int) -> Sequence[Row]:
        """Gives the next rows in the order of their keys."""
        table = self._table
        behind, given = "1", dict[str, Raw](table.marks)
        if after is not None:
            # Spelt out because a row comparison does not use the index in every version of SQLite.
            names = [table.quote(name) for name in table.key]
            steps = [
                " AND ".join(
                    [*(f"{name} = :a{n}" for n, name in enumerate(names[:place])), f"{names[place]} > :a{place}"]
                )
                for place in range(len(names))
            ]
            behind = " OR ".join(f"({step})" for step in steps)
            given |= {f"a{number}": value for number, value in enumerate(json.loads(after))}
        statement = f"SELECT {table.selected} FROM {table.name} WHERE {behind} ORDER BY {table.keys} LIMIT {limit:d}"  # noqa: S608 - quoted names
        return [table.row(row) for row in self._run(statement, given)]

    def find(self, numbers: Iterable[Number]) -> Sequence[Row]:
        """Gives the open rows that hold one of these numbers."""
        table = self._table
        by_field: dict[str, list[Raw]] = defaultdict(list)
        for number in numbers:
            by_field[number.identifier] += map(bound, table.view.by_field[number.identifier].spellings(number.value))
        found: dict[RowKey, Row] = {}
        for name, values in by_field.items():
            column = table.quote(table.view.by_field[name].column)
            statement = (
                f"SELECT {table.selected} FROM {table.name} "  # noqa: S608 - quoted names
                f"WHERE {column} IN (SELECT value FROM json_each(:wanted)) AND {table.open}"
            )
            rows = self._run(statement, {"wanted": json.dumps(values), **table.marks})
            found |= {row.key: row for row in map(table.row, rows)}
        return list(found.values())

    def renew(self, renewals: Sequence[Renewal]) -> Sequence[Renewal]:
        """Writes plain rows, and gives those that are open, hold their identifiers, and read back as they shall."""
        broken = self._broken()

        def check() -> None:
            if self._broken() - broken:
                raise _refused()

        return SqliteRenewing(self._connection, self._table, check=check, why=self.why).renew(renewals)

    def carry_out(self, writes: Mapping[str, Write], *, aside: bool) -> Mapping[str, Sequence[RowKey | None]]:
        """Writes all, a statement a row.

        Each says what a conflict does, since the table's own word may be to replace another row, or to roll all back.
        """
        broken = self._broken()
        if aside:
            self._set_aside(writes)
        keys: dict[str, Sequence[RowKey | None]] = {}
        for name, write in sorted(writes.items(), key=lambda pair: not isinstance(pair[1], Delete)):
            match write:
                case Update(changed=rows, values=values) | Mark(changed=rows, values=values):
                    keys[name] = [self._update(key, values) for key in rows]
                case Insert(values=values):
                    keys[name] = [self._insert({**self._table.view.binding.defaults, **values})]
                case Delete(rows=rows):
                    for key in rows:
                        self._at(f"DELETE FROM {self._table.name}", key, {})  # noqa: S608 - a quoted name
                    keys[name] = rows
        if self._broken() - broken:
            raise _refused()
        return keys

    def _broken(self) -> frozenset[tuple[Any, ...]]:
        """Gives the references that lead nowhere, of those that are not checked before the commit.

        SQLite tells of them for whole tables only, so what was broken before is left out by who asks.
        """
        found = (self._run(f"PRAGMA foreign_key_check({self._table.quote(name)})", {}) for name in self._table.deferred)
        return frozenset(tuple(row) for rows in found for row in rows)

    def _update(self, key: RowKey, values: Mapping[str, Raw]) -> RowKey:
        table = self._table
        sets = ", ".join(f"{table.quote(name)} = :v{number}" for number, name in enumerate(values))
        given = {f"v{number}": bound(raw) for number, raw in enumerate(values.values())}
        after = self._at(f"UPDATE OR ABORT {table.name} SET {sets}", key, given)  # noqa: S608 - quoted names
        # A row that a trigger left alone is read back under the key that it had.
        return key if after is None else after

    def _at(self, statement: str, key: RowKey, given: Mapping[str, Raw]) -> RowKey | None:
        table = self._table
        is_key = " AND ".join(f"{table.quote(name)} = :k{number}" for number, name in enumerate(table.key))
        keys: dict[str, Raw] = {f"k{number}": value for number, value in enumerate(json.loads(key))}
        rows = self._run(f"{statement} WHERE {is_key} RETURNING {table.keys}", {**given, **keys})
        return table.key_of(rows[0]) if rows else None

    def _insert(self, values: Mapping[str, Raw]) -> RowKey | None:
        table = self._table
        names = ", ".join(table.quote(name) for name in values)
        places = ", ".join(f":v{number}" for number in range(len(values)))
        statement = f"INSERT OR ABORT INTO {table.name} ({names}) VALUES ({places}) RETURNING {table.keys}"  # noqa: S608 - quoted names
        rows = self._run(statement, {f"v{number}": bound(raw) for number, raw in enumerate(values.values())})
        return table.key_of(rows[0]) if rows else None

    def _set_aside(self, writes: Mapping[str, Write]) -> None:
        table = self._table
        unique = {name for names in table.unique for name in names}
        place = 0
        for write in writes.values():
            if not isinstance(write, Update | Mark):
                continue
            for key in write.changed:
                place += 1
                moving = {
                    name: f"~{place}" if name in table.not_null else None for name in write.values if name in unique
                }
                if moving:
                    self._update(key, moving)

    def held_by_others(self, writes: Mapping[str, Write]) -> frozenset[str]:
        """Gives the records that would write what must be unique and a row outside these writes holds."""
        table, defaults = self._table, self._table.view.binding.defaults
        mine = {key for write in writes.values() if isinstance(write, Update) for key in write.changed}
        found: set[str] = set()
        for name, write in writes.items():
            if not isinstance(write, Update | Insert):
                continue
            values = {**defaults, **write.values} if isinstance(write, Insert) else write.values
            for columns in table.unique:
                if any(values.get(column) is None for column in columns):
                    continue
                same = " AND ".join(f"{table.quote(column)} = :u{number}" for number, column in enumerate(columns))
                given = {f"u{number}": bound(values[column]) for number, column in enumerate(columns)}
                rows = self._run(f"SELECT {table.keys} FROM {table.name} WHERE {same}", given)  # noqa: S608 - quoted names
                if any(table.key_of(row) not in mine for row in rows):
                    found.add(name)
        return frozenset(found)

    def why(self, error: DBAPIError) -> Why | None:
        """Says of a refusal why it was, by SQLite's own name of it alone."""
        name = getattr(error.orig, "sqlite_errorname", "")
        if name in {"SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_ROWID"}:
            return Why(reason=Reason.COLLISION, detail="another row holds a value that must be unique")
        if name == "SQLITE_CONSTRAINT_FOREIGNKEY":
            return Why(
                reason=Reason.MISSING_REFERENCE, detail="a row that it refers to is not there, or is referred to"
            )
        if name in {"SQLITE_TOOBIG", "SQLITE_MISMATCH", "SQLITE_CONSTRAINT_DATATYPE"} or isinstance(
            error.orig, OverflowError
        ):
            return Why(reason=Reason.CANNOT_HOLD, detail=f"the database refused the value ({name})")
        if name.startswith("SQLITE_CONSTRAINT") or isinstance(error.orig, sqlite3.IntegrityError):
            return Why(reason=Reason.REFUSED_BY_TABLE, detail=f"the table refused the row ({name})")
        return None

    def _run(self, statement: str, given: Mapping[str, object]) -> list[Sequence[Any]]:
        result = self._connection.exec_driver_sql(statement, cast("dict[str, Any]", dict(given)))
        return [tuple(row) for row in result] if result.returns_rows else []


def _refused() -> DBAPIError:
    error = sqlite3.IntegrityError("FOREIGN KEY constraint failed")
    error.sqlite_errorname = "SQLITE_CONSTRAINT_FOREIGNKEY"
    return cast("DBAPIError", DBAPIError.instance(None, None, error, sqlite3.Error, connection_invalidated=False))
