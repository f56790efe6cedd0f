"""A department's table in memory, with what its keys, constraints and triggers do."""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tellonce.declare.codec import Raw
from tellonce.storage.subscriber.facts import RowKey

__all__ = ["MemoryTable", "RefusedError", "Values"]

Values = Mapping[str, Raw]


class RefusedError(Exception):
    """What a trigger of a `MemoryTable` raises to refuse a row."""


@dataclass
class MemoryTable:
    """A table as a department made it: its key, what must be unique, and what its triggers do.

    A trigger is given the old row (None at an insert) and the new one (None at a delete) and gives what is to be; the
    write is swallowed where it gives None for a row, or a row at a delete. It may raise `RefusedError`.
    What must be unique is checked when a batch has been written. `locked` are keys that another transaction holds.
    """

    key: Sequence[str]
    unique: Sequence[Sequence[str]] = ()
    is_open: Callable[[Values], bool] = lambda _row: True
    trigger: Callable[[Values | None, Values | None], Values | None] = lambda _old, new: new
    draw_key: Callable[[Values], Values] = lambda row: row
    locked: set[RowKey] = field(default_factory=set[RowKey])
    rows: list[dict[str, Raw]] = field(default_factory=list[dict[str, Raw]])
    writes: int = 0
    """How many rows were written to by the service."""

    def key_of(self, row: Values) -> RowKey:
        """Gives a row's key."""
        return json.dumps([row.get(name) for name in self.key], ensure_ascii=False, default=str)

    def at(self, key: RowKey) -> dict[str, Raw] | None:
        """Gives the row with a key, if it is there."""
        return next((row for row in self.rows if self.key_of(row) == key), None)

    def doubled(self) -> set[int]:
        """Gives the numbers of the rows that hold what must be unique and another row holds, too."""
        found: set[int] = set()
        for columns in (self.key, *self.unique):
            places: dict[tuple[Raw, ...], list[int]] = defaultdict(list)
            for number, row in enumerate(self.rows):
                values = tuple(row.get(name) for name in columns)
                if None not in values:
                    places[values].append(number)
            found |= {number for numbers in places.values() if len(numbers) > 1 for number in numbers}
        return found
