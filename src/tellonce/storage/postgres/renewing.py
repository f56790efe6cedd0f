"""Renewing many rows on PostgreSQL: staged by one COPY, and written by one UPDATE whose WHERE has the rules L1 and L8.

What that cannot do for a record is left for deciding, so nothing here says why.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, cast

import psycopg
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from tellonce.declare.codec import Undecodable
from tellonce.model.divergence import Reason
from tellonce.storage.postgres.catalogue import from_text, to_text
from tellonce.storage.postgres.table import PostgresTable, wrapped
from tellonce.storage.subscriber.decisions import Why
from tellonce.storage.subscriber.renewal import Renewal

__all__ = ["PostgresRenewing"]

_FEWEST_TO_HALVE = 64
"""Below so many records around one that the table refuses, deciding is as quick as trying again."""
_SPELT_OTHERWISE = frozenset(
    ("int2", "int4", "int8", "numeric", "bool", "date", "timestamp", "timestamptz", "uuid", "bytea")
)
"""Types that write a value in their own way, 1.50 for 1.5: equal values are not written, and the codec says of them
whether they are what was sent. All other types must give back the very text."""

Places = frozenset[int]


class PostgresRenewing:
    """The statements that renew rows of one bound table, in one transaction."""

    def __init__(self, connection: Connection, table: PostgresTable, why: Callable[[DBAPIError], Why | None]) -> None:
        """`why` says of a refusal why it was, and nothing where it concerns more than a record."""
        self._connection = connection
        self._table = table
        self._why = why
        columns = [column.column for column in table.view.columns]
        identifiers = {table.view.by_field[name].column for name in table.view.identifiers}
        self._columns = columns
        self._spelt = [place for place, name in enumerate(columns) if table.columns[name].kind in _SPELT_OTHERWISE]
        same = [self._same(place, name) for place, name in enumerate(columns)]
        sets = [
            f"{table.quote(name)} = {table.cast(name, f's.value_{place}')}"
            for place, name in enumerate(columns)
            if name not in identifiers
        ]
        held = [each for each, name in zip(same, columns, strict=True) if name in identifiers]
        fields = [f"tellonce_{number} text" for number in range(len(table.key))]
        fields += [f"value_{number} text" for number in range(len(columns))]
        shape = f"(place integer, {', '.join(fields)})"
        self._stage = f"pg_temp.tellonce_stage_{hashlib.blake2b(shape.encode(), digest_size=8).hexdigest()}"
        # A pooler may give each transaction another session, and a session that has the table already keeps it.
        self._create = f"CREATE TEMPORARY TABLE IF NOT EXISTS {self._stage} {shape} ON COMMIT DELETE ROWS"
        among = f"FROM {{}}{self._stage} AS s WHERE {table.is_key} AND s.place = ANY(%(places)s::int[])"
        self._update = (
            f"UPDATE {table.name} SET {', '.join(sets)} {among.format('')} AND {table.open} "  # noqa: S608 - quoted names
            f"AND {' AND '.join(held)} AND NOT ({' AND '.join(same)}) RETURNING s.place"
        )
        held_now = among.format(f"{table.name}, ")
        texts = [f", CASE WHEN NOT {self._has_text(place)} THEN {self._text(place)} END" for place in self._spelt]
        self._select = f"SELECT s.place{''.join(texts)} {held_now} AND {table.open} AND {' AND '.join(same)}"
        self._lock = f"SELECT s.place {held_now} FOR NO KEY UPDATE OF {table.alias} SKIP LOCKED"
        others = (column for column in table.view.columns if column.column not in identifiers)
        # A column that keeps its spelling is left alone where it holds the value in another one.
        self._can = bool(sets) and table.may_stage and not any(column.codec.keeps_spelling for column in others)

    def _same(self, place: int, name: str) -> str:
        table = self._table
        if place not in self._spelt:
            return self._has_text(place)
        is_equal = f"{table.column(name)} IS NOT DISTINCT FROM {table.cast(name, f's.value_{place}')}"
        return f"({self._has_text(place)} OR {is_equal})"

    def _text(self, place: int) -> str:
        # By its characters: the column's own collation may take two texts for one.
        return f'{self._table.column(self._columns[place])}::text COLLATE pg_catalog."C"'

    def _has_text(self, place: int) -> str:
        return f"({self._text(place)} IS NOT DISTINCT FROM s.value_{place})"

    def renew(self, renewals: Sequence[Renewal]) -> list[Renewal]:
        """Writes the rows, and gives those that hold their values now.

        Raises:
            DBAPIError: what the database says concerns more than one record.
        """
        return self._renew(dict(enumerate(renewals))) if self._can else []

    def _renew(self, some: Mapping[int, Renewal]) -> list[Renewal]:
        if not some:
            return []
        if not self._fill(some):
            return [one for part in _halves(some) for one in self._renew({place: some[place] for place in part})]
        done: set[int] = set()
        waiting = [frozenset(some)]
        while waiting:
            places = waiting.pop()
            try:
                written, deviating = self._attempt(places, some)
            except DBAPIError as error:
                why = self._why(error)
                if why is None:
                    raise
                waiting += self._smaller(places, why)
                continue
            done |= written
            if deviating:
                # All that deviate are taken out together, and the rest is done once more.
                waiting.append(places - deviating)
        return [some[place] for place in sorted(done)]

    def _fill(self, some: Mapping[int, Renewal]) -> bool:
        """Stages them, and tells whether every value could be: one may be no text in the database's encoding."""
        self._connection.exec_driver_sql(self._create)
        driver = cast("psycopg.Connection[Any]", self._connection.connection.driver_connection)
        savepoint = self._connection.begin_nested()
        try:
            with driver.cursor() as cursor, cursor.copy(cast("Any", f"COPY {self._stage} FROM STDIN")) as copy:
                for place, one in some.items():
                    key = (None if each is None else str(each) for each in json.loads(one.row))
                    copy.write_row((place, *key, *(to_text(one.values[name]) for name in self._columns)))
        except psycopg.DataError:
            savepoint.rollback()
            return False
        except psycopg.Error as error:
            raise wrapped(error) from error
        savepoint.commit()
        return True

    def _attempt(self, places: Places, some: Mapping[int, Renewal]) -> tuple[Places, Places]:
        """Writes, and gives what holds its values then; or nothing of that, where something written reads otherwise."""
        given = _given(places)
        savepoint = self._connection.begin_nested()
        try:
            changed = frozenset(self._connection.exec_driver_sql(self._update, given).scalars().all())
            if changed:
                self._connection.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")
            read = self._connection.exec_driver_sql(self._select, given).all()
            holding = frozenset(place for place, *texts in read if self._are_read_back(some[place], texts))
        except BaseException:
            savepoint.rollback()
            raise
        if deviating := changed - holding:
            savepoint.rollback()
            return frozenset(), deviating
        savepoint.commit()
        return holding, frozenset()

    def _are_read_back(self, one: Renewal, texts: Sequence[str | None]) -> bool:
        """Tells whether a row's values that are spelt otherwise are to the codec what was sent (L9)."""
        for place, text in zip(self._spelt, texts, strict=True):
            if text is None:
                continue
            column = self._table.view.columns[place]
            try:
                held = column.decode(from_text(self._table.columns[column.column].kind, text))
                sent = column.decode(one.values[column.column])
            except Undecodable:
                return False
            if held != sent or type(held) is not type(sent):
                return False
        return True

    def _smaller(self, places: Places, why: Why) -> list[Places]:
        """Gives what is tried again after a refusal: without the rows that others hold, or each half by itself."""
        if why.reason is Reason.LOCKED:
            with self._connection.begin_nested():
                mine = frozenset(self._connection.exec_driver_sql(self._lock, _given(places)).scalars())
            return [mine] if mine != places else []
        return _halves(places)


def _given(places: Places) -> dict[str, str]:
    """Gives places as a statement's parameter, in PostgreSQL's own notation, since the driver takes a step for each."""
    return {"places": f"{{{','.join(map(str, places))}}}"}


def _halves(places: Collection[int]) -> list[Places]:
    if len(places) < _FEWEST_TO_HALVE:
        return []
    ordered, middle = sorted(places), len(places) // 2
    return [frozenset(ordered[middle:]), frozenset(ordered[:middle])]
