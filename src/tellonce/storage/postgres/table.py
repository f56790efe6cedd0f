"""What is known of a bound table on PostgreSQL, once: the parts that all statements on it share."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import psycopg
from sqlalchemy.exc import DBAPIError

from tellonce.declare.binding import Existing
from tellonce.storage.postgres.catalogue import Column, from_text, to_text
from tellonce.storage.subscriber.facts import Row, RowKey
from tellonce.storage.subscriber.view import BoundView

__all__ = ["PostgresTable", "wrapped"]

_TYPES_OF_WHOLE_NUMBERS = frozenset(("int2", "int4", "int8"))


class PostgresTable:
    """What is known of a bound table, once: its statements' parts."""

    def __init__(
        self,
        view: BoundView,
        columns: Mapping[str, Column],
        key: Sequence[str],
        unique: Sequence[Sequence[str]],
        quote: Callable[[str], str],
        *,
        may_stage: bool = False,
    ) -> None:
        """`quote` quotes an identifier; `may_stage` says that the role may make temporary tables."""
        self.may_stage = may_stage
        self.view = view
        self.columns = columns
        self.key = [columns[name] for name in key]
        self.unique = unique
        self.quote = quote
        self.name = ".".join(quote(part) for part in view.binding.table.split("."))
        """The table's quoted name; its last part is what the department's own predicate may call it."""
        self.alias = quote(view.binding.table.rpartition(".")[2])
        scope = view.binding.scope
        predicate = scope.open if isinstance(scope, Existing) and scope.open else "true"
        self.open = f"coalesce(({predicate.replace('%', '%%')}), false)"
        marks = view.binding.mark
        self.marks = {f"mark_{number}": to_text(raw) for number, raw in enumerate(marks.values())}
        marked = [
            f"{self.column(name)} IS NOT DISTINCT FROM {self.cast(name, f'%(mark_{number})s')}"
            for number, name in enumerate(marks)
        ]
        self.marked = " AND ".join(marked) or "false"
        held = [f"{self.column(column.column)}::text" for column in view.columns]
        keys = [f"{self.column(column.name)}::text" for column in self.key]
        self.selected = ", ".join([*keys, self.open, self.marked, *held])
        self.is_key = " AND ".join(
            f"{self.column(column.name)} = {self.cast(column.name, f's.tellonce_{number}')}"
            for number, column in enumerate(self.key)
        )
        self.returned = f"ARRAY[{', '.join(keys)}]"

    def column(self, name: str) -> str:
        """Gives a column's name as statements have it."""
        return f"{self.alias}.{self.quote(name)}"

    def cast(self, name: str, expression: str) -> str:
        """Gives an expression of text in a column's base type."""
        return f"CAST(CAST({expression} AS pg_catalog.text) AS {self.columns[name].cast})"

    def keys_given(self, keys: Iterable[RowKey]) -> dict[str, list[str | None]]:
        """Gives rows' keys as parameters, a list for each column of the key."""
        values = [json.loads(key) for key in keys]
        return {
            f"s{number}": [None if each[number] is None else str(each[number]) for each in values]
            for number in range(len(self.key))
        }

    def key_of(self, values: Sequence[str | None]) -> RowKey:
        """Gives a row's key, of which each part but a whole number stays the text that its type makes of it."""
        parts = [
            int(value) if value is not None and column.kind in _TYPES_OF_WHOLE_NUMBERS else value
            for column, value in zip(self.key, values, strict=True)
        ]
        return json.dumps(parts, separators=(",", ":"))

    def row(self, values: Sequence[Any]) -> Row:
        """Gives a row of `selected`."""
        size = len(self.key)
        raws = (
            from_text(self.columns[column.column].kind, value)
            for column, value in zip(self.view.columns, values[size + 2 :], strict=True)
        )
        return self.view.row(
            self.key_of(values[:size]), raws, is_open=bool(values[size]), is_marked=bool(values[size + 1])
        )


def wrapped(error: psycopg.Error) -> DBAPIError:
    """Gives an error of the driver's own as SQLAlchemy gives all others."""
    return cast("DBAPIError", DBAPIError.instance(None, None, error, psycopg.Error, connection_invalidated=False))
