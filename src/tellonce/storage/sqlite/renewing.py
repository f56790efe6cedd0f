"""Renewing many rows on SQLite: read, written by one statement made ready once, and read back.

A transaction that writes is the only one, so what was read stays until it is written. What cannot be done so for a
record is left for deciding.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from tellonce.declare.codec import Raw
from tellonce.storage.sqlite.table import SqliteTable, bound
from tellonce.storage.subscriber.decisions import Why
from tellonce.storage.subscriber.facts import RowKey
from tellonce.storage.subscriber.renewal import Renewal

__all__ = ["SqliteRenewing"]

_FEWEST_TO_HALVE = 64
"""Below so many records around one that the table refuses, deciding is as quick as trying again."""

Values = tuple[Raw, ...]
Wanted = Mapping[RowKey, Values]


class SqliteRenewing:
    """The statements that renew rows of one bound table, in one transaction."""

    def __init__(
        self,
        connection: Connection,
        table: SqliteTable,
        *,
        check: Callable[[], Any],
        why: Callable[[DBAPIError], Why | None],
    ) -> None:
        """`check` raises for references that lead nowhere; `why` says of a refusal why it was, if it is a record's."""
        self._connection = connection
        self._table = table
        self._check = check
        self._why = why
        identifiers = set(table.view.identifiers)
        columns = table.view.columns
        self._columns = [column.column for column in columns]
        self._places = [place for place, column in enumerate(columns) if column.field in identifiers]
        self._changing = [place for place, column in enumerate(columns) if column.field not in identifiers]
        # A column that keeps its spelling is left alone where it holds the value in another one.
        self._can = bool(self._changing) and not any(columns[place].codec.keeps_spelling for place in self._changing)
        held = ", ".join(map(table.quote, self._columns))
        self._select = (
            f"SELECT {table.keys}, {held} FROM {table.given} JOIN {table.name} "  # noqa: S608 - quoted names
            f"ON {table.is_key} WHERE {table.open}"
        )
        sets = ", ".join(f"{table.quote(self._columns[place])} = ?" for place in self._changing)
        is_key = " AND ".join(f"{table.quote(name)} = ?" for name in table.key)
        self._update = f"UPDATE OR ABORT {table.name} SET {sets} WHERE {is_key}"  # noqa: S608 - quoted names

    def renew(self, renewals: Sequence[Renewal]) -> list[Renewal]:
        """Writes the rows, and gives those that hold their values now.

        Raises:
            DBAPIError: what the database says concerns more than one record.
        """
        if not self._can:
            return []
        wanted = {one.row: tuple(bound(one.values[name]) for name in self._columns) for one in renewals}
        held = self._read(wanted)
        there = {key for key, row in held.items() if _are_same(self._part(row), self._part(wanted[key]))}
        equal = {key for key in there if _are_same(held[key], wanted[key])}
        done = equal | self._write({key: wanted[key] for key in wanted if key in there and key not in equal})
        return [one for one in renewals if one.row in done]

    def _part(self, values: Values) -> Values:
        return tuple(values[place] for place in self._places)

    def _read(self, keys: Collection[RowKey]) -> dict[RowKey, Values]:
        size = len(self._table.key)
        rows = self._connection.exec_driver_sql(self._select, {"keys": f"[{','.join(keys)}]"})
        return {self._table.key_of(row[:size]): tuple(row[size:]) for row in rows}

    def _write(self, wanted: Wanted) -> set[RowKey]:
        done: set[RowKey] = set()
        waiting = [wanted]
        while waiting:
            some = waiting.pop()
            if not some:
                continue
            try:
                deviating = self._attempt(some)
            except DBAPIError as error:
                if self._why(error) is None:
                    raise
                waiting += _halves(some)
                continue
            if deviating:
                # All that deviate are taken out together, and the rest is done once more.
                waiting.append({key: values for key, values in some.items() if key not in deviating})
            else:
                done |= some.keys()
        return done

    def _attempt(self, some: Wanted) -> set[RowKey]:
        """Writes, and gives the rows that read otherwise afterwards; where there are any, nothing of it stays."""
        given = [(*(values[place] for place in self._changing), *json.loads(key)) for key, values in some.items()]
        savepoint = self._connection.begin_nested()
        try:
            self._connection.exec_driver_sql(self._update, given)
            self._check()
            held = self._read(some)
        except BaseException:
            savepoint.rollback()
            raise
        deviating = {key for key, values in some.items() if key not in held or not _are_same(held[key], values)}
        if deviating:
            savepoint.rollback()
        else:
            savepoint.commit()
        return deviating


def _halves(some: Wanted) -> list[Wanted]:
    if len(some) < _FEWEST_TO_HALVE:
        return []
    pairs, middle = list(some.items()), len(some) // 2
    return [dict(pairs[middle:]), dict(pairs[:middle])]


def _are_same(held: Values, wanted: Values) -> bool:
    """Tells whether values are equal and of one kind: a column may make 12345 of the text 0012345."""
    return held == wanted and [*map(type, held)] == [*map(type, wanted)]
