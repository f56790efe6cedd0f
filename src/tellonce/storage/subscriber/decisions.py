"""What shall become of a record: a sum type, matched exhaustively. The first four write, and are what a store is given.

`values` are raw values by column. `why` lists the record as parked although it is written, where something is left.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tellonce.declare.codec import Raw
from tellonce.model.divergence import Reason, RecordState
from tellonce.storage.subscriber.facts import RowKey

__all__ = ["Decision", "Delete", "Insert", "Mark", "Park", "Pass", "Update", "Why", "Write"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """Why a record is listed for a person or a later attempt; the sentence holds no value."""

    reason: Reason
    detail: str

    @property
    def state(self) -> RecordState:
        """How the record stands while it is so."""
        return RecordState.AMBIGUOUS if self.reason is Reason.AMBIGUOUS else RecordState.PARKED


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """Write to the rows `changed`; `equal` hold the values already and are not touched. All are linked afterwards."""

    changed: tuple[RowKey, ...]
    equal: tuple[RowKey, ...]
    values: Mapping[str, Raw]
    why: Why | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Insert:
    """Insert one row, and link it."""

    values: Mapping[str, Raw]
    why: Why | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Delete the rows."""

    rows: tuple[RowKey, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Write the binding's `mark` to the rows `changed`; `equal` have it already. All stay linked, as ended."""

    changed: tuple[RowKey, ...]
    equal: tuple[RowKey, ...]
    values: Mapping[str, Raw]


@dataclass(frozen=True, slots=True, kw_only=True)
class Park:
    """Write nothing, and list the record."""

    why: Why


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """Write nothing: there is nothing to write to."""

    state: RecordState
    unlinks: bool = False
    """Whether the rows it had are its no longer."""


Write = Update | Insert | Delete | Mark
Decision = Write | Park | Pass
