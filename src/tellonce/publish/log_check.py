"""Whether a stream's log is the one that this database published, seen when a relay starts or takes the lease."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tellonce.model.position import Header
from tellonce.publish.streams import PublishedView, Stream, StreamId

__all__ = ["Closed", "LogEnd", "LogReader", "begun_views", "check_stream", "why_refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEnd:
    """What the end of a partition's log shows: the newest event by epoch and sequence, and the topic's partitions."""

    newest: Header | None
    partitions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """A log that cannot be looked at or written now, with the sentence that says why and what mends it."""

    why: str


LogReader = Callable[[Sequence[StreamId], Callable[[], None]], Mapping[StreamId, LogEnd | Closed]]
"""Gives the ends of the logs of some streams; it calls the second argument between them, which keeps the lease."""


def why_refused(stream: Stream, view: PublishedView) -> str | None:
    """Gives the sentence that says why nothing of ours belongs into the stream's epoch, or nothing.

    It was begun with other settings, as by a command with another topology, or ours have changed since.
    """
    changed = view.changed_settings(stream)
    if not changed:
        return None
    return (
        f"{view.view.topic} partition {stream.partition}: {', '.join(changed)} changed since this epoch began; let the "
        "relay read the topology and declarations that it was begun with, or begin a new epoch with "
        f"`tellonce resync {view.view.record_type}`"
    )


def begun_views(views: Sequence[PublishedView], streams: Mapping[StreamId, Stream]) -> list[PublishedView]:
    """Gives the views of which every stream has an epoch that is ours; of the others nothing is published."""
    return [view for view in views if all(_is_ours(view, number, streams) for number in range(view.view.partitions))]


def _is_ours(view: PublishedView, partition: int, streams: Mapping[StreamId, Stream]) -> bool:
    stream = streams.get((view.name, partition))
    return stream is not None and not view.changed_settings(stream)


def check_stream(stream: Stream, view: PublishedView, end: LogEnd) -> str | None:
    """Gives the sentence that says why the stream must stop, or nothing where database and log agree."""
    mend = f"begin a new epoch with `tellonce resync {view.view.record_type}`"
    where = f"{view.view.topic} partition {stream.partition}"
    if end.partitions != view.view.partitions:
        return (
            f"{view.view.topic}: expected {view.view.partitions} partitions, found {end.partitions}; "
            f"set it right in topology.yaml or the broker, then {mend}"
        )
    sentence = why_refused(stream, view)
    if sentence is not None:
        return sentence
    found = (end.newest.epoch, end.newest.sequence) if end.newest else (0, 0)
    if found > (stream.epoch, stream.staged_sequence):
        return (
            f"{where}: the log is ahead of this database (epoch {found[0]}, sequence {found[1]}, against "
            f"{stream.epoch}, {stream.staged_sequence}), as after a restore from a backup; {mend}"
        )
    if stream.confirmed_sequence and found < (stream.epoch, stream.confirmed_sequence):
        return (
            f"{where}: the log lacks events that the broker had acknowledged (it ends at epoch {found[0]}, sequence "
            f"{found[1]}, against {stream.epoch}, {stream.confirmed_sequence}), as after a topic was made again; {mend}"
        )
    return None
