"""What is known of a bound table on SQLite, once: the parts that all statements on it share."""

import json
from collections.abc import Callable, Collection, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from tellonce.declare.binding import Existing
from tellonce.declare.codec import Raw
from tellonce.storage.subscriber.facts import Row, RowKey
from tellonce.storage.subscriber.view import BoundView

__all__ = ["SqliteTable", "bound"]


class SqliteTable:
    """What is known of a bound table, once: its statements' parts."""

    def __init__(
        self,
        view: BoundView,
        key: Sequence[str],
        unique: Sequence[Sequence[str]],
        not_null: Collection[str],
        quote: Callable[[str], str],
        deferred: Sequence[str] = (),
    ) -> None:
        """`quote` quotes an identifier; `deferred` are the tables whose references SQLite checks at the commit only."""
        self.deferred = deferred
        self.view = view
        self.key = key
        self.unique = unique
        self.not_null = frozenset(not_null)
        self.quote = quote
        self.name = ".".join(quote(part) for part in view.binding.table.split("."))
        scope = view.binding.scope
        predicate = scope.open if isinstance(scope, Existing) and scope.open else "1"
        self.open = f"coalesce(({predicate}), 0)"
        marks = view.binding.mark
        self.marks = {f"mark_{number}": bound(raw) for number, raw in enumerate(marks.values())}
        self.marked = " AND ".join(f"{quote(name)} IS :mark_{number}" for number, name in enumerate(marks)) or "0"
        self.keys = ", ".join(quote(name) for name in key)
        self.selected = ", ".join([self.keys, self.open, self.marked, *(quote(each.column) for each in view.columns)])
        self.is_key = " AND ".join(f"{quote(name)} = s.tellonce_{number}" for number, name in enumerate(key))
        given = ", ".join(f"json_extract(value, '$[{number}]') AS tellonce_{number}" for number in range(len(key)))
        self.given = f"(SELECT {given} FROM json_each(:keys)) AS s"  # noqa: S608 - numbers only

    def key_of(self, values: Sequence[Raw]) -> RowKey:
        """Gives a row's key from its values."""
        return json.dumps(list(values), separators=(",", ":"), default=str)

    def row(self, values: Sequence[Any]) -> Row:
        """Gives a row of `selected`."""
        size = len(self.key)
        return self.view.row(
            self.key_of(values[:size]),
            values[size + 2 :],
            is_open=bool(values[size]),
            is_marked=bool(values[size + 1]),
        )


def bound(raw: Raw) -> Raw:
    """Gives a raw value as sqlite3 takes it, which knows no decimals, dates and booleans of its own."""
    match raw:
        case bool():
            return int(raw)
        case Decimal():
            return str(raw)
        case date():
            # A datetime is one, too.
            return raw.isoformat()
        case _:
            return raw
