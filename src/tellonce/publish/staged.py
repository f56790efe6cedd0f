"""What staging leaves for sending: events with their place in their stream."""

from dataclasses import dataclass, field

from tellonce.model.seal import MARKER_PREFIX
from tellonce.publish.deletes import DeleteLimits
from tellonce.publish.streams import StreamId

__all__ = ["StageLimits", "Staged", "StagedEvent", "marker_key"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageLimits:
    """How much one transaction stages: changes, records of a snapshot, the bytes of one event, and how many may go."""

    max_event_bytes: int
    changes: int = 1_000
    snapshot_records: int = 1_000
    deletes: DeleteLimits = field(default_factory=DeleteLimits)


@dataclass(slots=True, kw_only=True)
class StagedEvent:
    """One event with its place in its stream, as the staging table keeps it until the broker has acknowledged it.

    `mark_sum` and `mark_count` are the stream's after this event, where it ends a batch of a complete epoch.
    `record_key` is None for an event that is about no record.
    """

    view: str
    partition: int
    epoch: int
    sequence: int
    record_key: str | None
    kafka_key: str
    version: int
    payload: bytes
    committed_at_ms: int
    ends_batch: bool = False
    mark_sum: str | None = None
    mark_count: int | None = None

    @property
    def stream_id(self) -> StreamId:
        """View and partition."""
        return self.view, self.partition


@dataclass(slots=True, kw_only=True)
class Staged:
    """What one transaction staged: events in the order of sending, and how much was taken from where.

    `is_full` says that a limit was reached, so that more may wait; `to_sweep` of which record types all is to be looked
    at. `refused` are the streams whose epoch was begun with other settings than this relay's, each with its sentence.
    """

    events: list[StagedEvent] = field(default_factory=list[StagedEvent])
    changes: int = 0
    snapshot_records: int = 0
    unpublished: int = 0
    is_full: bool = False
    held_deletes: int = 0
    to_sweep: list[str] = field(default_factory=list[str])
    stopped: set[StreamId] = field(default_factory=set[StreamId])
    refused: dict[StreamId, str] = field(default_factory=dict[StreamId, str])


def marker_key(view: str, partition: int) -> str:
    """Gives the Kafka key of events that are about no record; one per stream, so that compaction keeps the newest."""
    return f"{MARKER_PREFIX}{view}/{partition}"
