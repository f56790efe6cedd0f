"""What a department's ledger says of a record and of a stream; it moves in memory and is saved by a store."""

from dataclasses import dataclass

from tellonce.model.digest import MODULUS, from_hex
from tellonce.model.divergence import RecordState
from tellonce.model.position import Position
from tellonce.model.quick import quick

__all__ = ["COUNTED", "OUTCOMES", "Coverage", "Entry", "StreamRow"]

COUNTED = (RecordState.HELD, RecordState.OUT_OF_SCOPE, RecordState.PARKED, RecordState.AMBIGUOUS)
"""The states whose records are counted per stream; deleted ones are not."""

OUTCOMES = ("applied", "superseded", "out_of_scope", "parked")
"""The terminal states of events, of which every event reaches one."""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the department's ledger says of one record.

    `event_digest` is of the newest event; `row_digest` of the row as it was last read back, if there is one.
    `committed_at_ms` is the authority's commit and `applied_at_ms` this department's, in epoch milliseconds.
    """

    pseudonym: str
    partition: int
    epoch: int
    version: int
    sequence: int
    event_digest: str | None
    row_digest: str | None
    state: RecordState
    committed_at_ms: int
    applied_at_ms: int

    @property
    def digest(self) -> str | None:
        """What the record adds to the stream's sum."""
        if self.state is RecordState.OUT_OF_SCOPE:
            return self.event_digest
        return self.row_digest if self.state in (RecordState.HELD, RecordState.PARKED) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Which open rows no proof speaks of: those of no record, and those with a column that cannot be read."""

    unlinked_rows: int = 0
    unreadable_rows: int = 0


@dataclass(slots=True, kw_only=True)
class StreamRow:
    """A stream's row at the department: position, sum and counts; changed in memory, saved at the transaction's end."""

    view: str
    partition: int
    position: Position
    complete_epoch: int
    sum: int
    count: int
    states: dict[RecordState, int]
    outcomes: dict[str, int]
    attestable: bool
    attestation: str | None
    stopped: str | None

    @classmethod
    def never_read(cls, view: str, partition: int) -> "StreamRow":
        """Gives the row of a stream that was never read, which begins at its first offset."""
        return cls(
            view=view,
            partition=partition,
            position=Position(),
            complete_epoch=0,
            sum=0,
            count=0,
            states=dict.fromkeys(COUNTED, 0),
            outcomes=dict.fromkeys(OUTCOMES, 0),
            attestable=False,
            attestation=None,
            stopped=None,
        )

    def move(self, old: Entry | None, new: Entry | None) -> None:
        """Takes a record's old entry out of sum and counts and puts the new one in."""
        for entry, sign in ((old, -1), (new, 1)):
            if entry is None:
                continue
            if entry.digest is not None:
                self.sum = (self.sum + sign * from_hex(entry.digest)) % MODULUS
                self.count += sign
            if entry.state in self.states:
                self.states[entry.state] += sign
