"""A department's table on PostgreSQL: values travel as text, and the database casts them to each column's base type."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, cast

import psycopg
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from tellonce.model.divergence import Reason
from tellonce.storage.database import sqlstate_of
from tellonce.storage.postgres.casting import castable
from tellonce.storage.postgres.catalogue import Column, to_text
from tellonce.storage.postgres.renewing import PostgresRenewing
from tellonce.storage.postgres.rights import rights_lacking
from tellonce.storage.postgres.table import PostgresTable, wrapped
from tellonce.storage.subscriber.decisions import Delete, Insert, Mark, Update, Why, Write
from tellonce.storage.subscriber.facts import Number, Row, RowKey
from tellonce.storage.subscriber.renewal import Renewal
from tellonce.storage.subscriber.table import needed_columns

__all__ = ["PostgresRows"]

_COLLISION = Why(reason=Reason.COLLISION, detail="another row holds a value that must be unique")
_REACTIONS: Mapping[str, Why] = {
    "55P03": Why(reason=Reason.LOCKED, detail="another transaction holds the row, or a value that must be unique"),
    # One that takes too long is tried in smaller pieces, which the guard makes.
    "57014": Why(reason=Reason.LOCKED, detail="the database's statement_timeout ended the write"),
    "23505": _COLLISION,
    "23P01": _COLLISION,
    "23503": Why(reason=Reason.MISSING_REFERENCE, detail="a row that it refers to is not there, or is referred to"),
}


class PostgresRows:
    """The rows of a bound table, in one transaction."""

    def __init__(self, connection: Connection, table: PostgresTable) -> None:
        self._connection = connection
        self._table = table

    def lock(self, keys: Collection[RowKey]) -> frozenset[RowKey]:
        """Locks rows without waiting for any, and gives those that it has."""
        table = self._table
        if not keys:
            return frozenset()
        # Their own foreign-key checks go on beside this lock.
        statement = (
            f"SELECT {table.returned} FROM {table.name}, {_given(table.key)} WHERE {table.is_key} "  # noqa: S608 - quoted names
            f"FOR NO KEY UPDATE OF {table.alias} SKIP LOCKED"
        )
        rows = self._connection.exec_driver_sql(statement, table.keys_given(keys))
        return frozenset(table.key_of(values) for (values,) in rows)

    def read(self, keys: Collection[RowKey]) -> Mapping[RowKey, Row]:
        """Gives the rows that are there."""
        table = self._table
        if not keys:
            return {}
        statement = f"SELECT {table.selected} FROM {table.name}, {_given(table.key)} WHERE {table.is_key}"  # noqa: S608 - quoted names
        rows = self._connection.exec_driver_sql(statement, {**table.keys_given(keys), **table.marks})
        return {row.key: row for row in map(table.row, rows)}

    def read_after(self, after: RowKey | None, limit: int) -> Sequence[Row]:
        """Gives the next rows in the order of their keys."""
        table = self._table
        keys = ", ".join(table.column(column.name) for column in table.key)
        behind, given = "true", dict[str, Any](table.marks)
        if after is not None:
            places = [table.cast(column.name, f"%(a{number})s") for number, column in enumerate(table.key)]
            behind = f"({keys}) > ({', '.join(places)})"
            given |= {f"a{number}": str(value) for number, value in enumerate(json.loads(after))}
        statement = f"SELECT {table.selected} FROM {table.name} WHERE {behind} ORDER BY {keys} LIMIT {limit:d}"  # noqa: S608 - quoted names
        return [table.row(row) for row in self._connection.exec_driver_sql(statement, given)]

    def find(self, numbers: Iterable[Number]) -> Sequence[Row]:
        """Gives the open rows that hold one of these numbers; no column is asked for what its type cannot be."""
        table = self._table
        by_field: dict[str, set[str]] = defaultdict(set)
        for number in numbers:
            texts = map(to_text, table.view.by_field[number.identifier].spellings(number.value))
            by_field[number.identifier] |= {value for value in texts if value is not None and "\0" not in value}
        found: dict[RowKey, Row] = {}
        for name, values in by_field.items():
            bound = table.view.by_field[name].column
            statement = (
                f"SELECT {table.selected} FROM {table.name}, unnest(%(s0)s::text[]) AS s (tellonce_0) "  # noqa: S608 - quoted names
                f"WHERE {table.column(bound)} = {table.cast(bound, 's.tellonce_0')} AND {table.open}"
            )
            column = table.columns[bound]
            given = list(castable(self._connection, column.kind, column.cast, sorted(values)))
            rows = self._connection.exec_driver_sql(statement, {"s0": given, **table.marks})
            found |= {row.key: row for row in map(table.row, rows)}
        return list(found.values())

    def renew(self, renewals: Sequence[Renewal]) -> Sequence[Renewal]:
        """Writes plain rows, and gives those that are open, hold their identifiers, and read back as they shall."""
        return PostgresRenewing(self._connection, self._table, self.why).renew(renewals)

    def carry_out(self, writes: Mapping[str, Write], *, aside: bool) -> Mapping[str, Sequence[RowKey | None]]:
        """Writes all, and has every deferred constraint checked."""
        keys: dict[str, Sequence[RowKey | None]] = {}
        groups: dict[tuple[str, ...], dict[str, Update | Mark]] = defaultdict(dict)
        inserts: dict[str, Insert] = {}
        deletes: dict[str, Delete] = {}
        for name, write in writes.items():
            match write:
                case Update(values=values) | Mark(values=values):
                    groups[tuple(sorted(values))][name] = write
                case Insert():
                    inserts[name] = write
                case Delete():
                    deletes[name] = write
        if deletes:
            self._delete([key for write in deletes.values() for key in write.rows])
            keys |= {name: write.rows for name, write in deletes.items()}
        if aside:
            for columns, some in groups.items():
                self._set_aside(columns, some)
        for columns, some in groups.items():
            keys |= self._update(columns, some)
        keys |= self._insert(inserts)
        self._connection.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")
        return keys

    def _delete(self, keys: Collection[RowKey]) -> None:
        table = self._table
        statement = f"DELETE FROM {table.name} USING {_given(table.key)} WHERE {table.is_key}"  # noqa: S608 - quoted names
        self._connection.exec_driver_sql(statement, table.keys_given(keys))

    def _update(self, columns: Sequence[str], some: Mapping[str, Update | Mark]) -> dict[str, list[RowKey | None]]:
        table = self._table
        targets = [(name, key) for name, write in some.items() for key in write.changed]
        values = {
            f"v{number}": [to_text(some[name].values[column]) for name, _ in targets]
            for number, column in enumerate(columns)
        }
        sets = [
            f"{table.quote(column)} = {table.cast(column, f's.value_{number}')}"
            for number, column in enumerate(columns)
        ]
        statement = (
            f"UPDATE {table.name} SET {', '.join(sets)} FROM {_given(table.key, len(columns))} "  # noqa: S608 - quoted names
            f"WHERE {table.is_key} RETURNING s.place, {table.returned}"
        )
        given = {**table.keys_given(key for _, key in targets), **values, "places": list(range(len(targets)))}
        after = {place: table.key_of(key) for place, key in self._connection.exec_driver_sql(statement, given)}
        found: dict[str, list[RowKey | None]] = {name: [] for name in some}
        for place, (name, key) in enumerate(targets):
            # A row that a trigger left alone is read back under the key that it had.
            found[name].append(after.get(place, key))
        return found

    def _set_aside(self, columns: Sequence[str], some: Mapping[str, Update | Mark]) -> None:
        table = self._table
        moving = {name for names in table.unique for name in names if name in columns}
        keys = [key for write in some.values() for key in write.changed]
        sets = [f"{table.quote(name)} = {self._placeholder(table.columns[name])}" for name in sorted(moving)]
        if sets:
            statement = f"UPDATE {table.name} SET {', '.join(sets)} FROM {_given(table.key, 0)} WHERE {table.is_key}"  # noqa: S608 - quoted names
            self._connection.exec_driver_sql(statement, {**table.keys_given(keys), "places": list(range(len(keys)))})

    def _placeholder(self, column: Column) -> str:
        return "NULL" if column.is_nullable else self._table.cast(column.name, "'~' || s.place")

    def _insert(self, inserts: Mapping[str, Insert]) -> dict[str, list[RowKey | None]]:
        """Inserts a statement a row, in one pipeline, so that each key comes back to the row that it is of (L4)."""
        if not inserts:
            return {}
        table, defaults = self._table, self._table.view.binding.defaults
        columns = [*dict.fromkeys((*defaults, *(name for write in inserts.values() for name in write.values)))]
        casts = [table.cast(name, f"%(v{number})s") for number, name in enumerate(columns)]
        names = ", ".join(table.quote(name) for name in columns)
        statement = (
            f"INSERT INTO {table.name} AS {table.alias} ({names}) VALUES ({', '.join(casts)}) "  # noqa: S608 - quoted names
            f"RETURNING {table.returned}"
        )
        given = [
            {f"v{number}": to_text({**defaults, **write.values}.get(name)) for number, name in enumerate(columns)}
            for write in inserts.values()
        ]
        driver = cast("psycopg.Connection[Any]", self._connection.connection.driver_connection)
        found: dict[str, list[RowKey | None]] = {}
        try:
            with driver.cursor() as cursor:
                cursor.executemany(cast("Any", statement), given, returning=True)
                for name in inserts:
                    row = cursor.fetchone()
                    found[name] = [None if row is None else table.key_of(row[0])]
                    cursor.nextset()
        except psycopg.Error as error:
            raise wrapped(error) from error
        return found

    def held_by_others(self, writes: Mapping[str, Write]) -> frozenset[str]:
        """Gives the records that would write what must be unique and a row outside these writes holds."""
        table, defaults = self._table, self._table.view.binding.defaults
        mine = {key for write in writes.values() if isinstance(write, Update) for key in write.changed}
        found: set[str] = set()
        for columns in table.unique:
            names: list[str] = []
            given: dict[str, list[str | None]] = {f"u{number}": [] for number in range(len(columns))}
            for name, write in writes.items():
                values = {**defaults, **write.values} if isinstance(write, Insert) else getattr(write, "values", {})
                if all(values.get(column) is not None for column in columns):
                    names.append(name)
                    for number, column in enumerate(columns):
                        given[f"u{number}"].append(to_text(values[column]))
            if not names:
                continue
            arrays = ", ".join(f"%(u{number})s::text[]" for number in range(len(columns)))
            fields = ", ".join(f"value_{number}" for number in range(len(columns)))
            same = " AND ".join(
                f"{table.column(column)} = {table.cast(column, f's.value_{number}')}"
                for number, column in enumerate(columns)
            )
            statement = (
                f"SELECT s.place, {table.returned} FROM {table.name}, "  # noqa: S608 - quoted names
                f"unnest({arrays}) WITH ORDINALITY AS s ({fields}, place) WHERE {same}"
            )
            rows = self._connection.exec_driver_sql(statement, given)
            found |= {names[int(place) - 1] for place, key in rows if table.key_of(key) not in mine}
        return frozenset(found)

    def why(self, error: DBAPIError) -> Why | None:
        """Says of a refusal why it was, by its SQLSTATE alone."""
        state = sqlstate_of(error) or ""
        if state in _REACTIONS:
            return _REACTIONS[state]
        if state.startswith("22"):
            return Why(reason=Reason.CANNOT_HOLD, detail=f"the database refused the value (SQLSTATE {state})")
        if state.startswith(("23", "P0", "44", "27", "09")) or (state.startswith("42") and self._has_its_rights()):
            return Why(reason=Reason.REFUSED_BY_TABLE, detail=f"the table refused the row (SQLSTATE {state})")
        return None

    def _has_its_rights(self) -> bool:
        """Tells whether no right was taken away, so that what failed is a row's trigger.

        Nobody has altered the table either: it was read in this transaction before anything was written.
        """
        table, connection = self._table, self._connection
        needed = [*(column.name for column in table.key), *needed_columns(table.view)]
        return not rights_lacking(connection, table.view, table.name, table.quote, needed)


def _given(key: Sequence[Column], values: int | None = None) -> str:
    """Gives keys, and with `values` so many values and each row's place, as a table that statements join."""
    arrays = [f"%(s{number})s::text[]" for number in range(len(key))]
    fields = [f"tellonce_{number}" for number in range(len(key))]
    if values is not None:
        arrays += [f"%(v{number})s::text[]" for number in range(values)] + ["%(places)s::int[]"]
        fields += [f"value_{number}" for number in range(values)] + ["place"]
    return f"unnest({', '.join(arrays)}) AS s ({', '.join(fields)})"
