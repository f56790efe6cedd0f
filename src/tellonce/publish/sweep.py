"""The authority's sweep: records that are not as the ledger states them, and that no outbox row tells of, get one.

The ledger is never edited: what differs goes the normal path.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection, Engine, select

from tellonce.model.change import Origin
from tellonce.model.digest import pseudonym_of
from tellonce.model.divergence import RecordState
from tellonce.model.partitioning import partition_of
from tellonce.publish.deciding import is_stated
from tellonce.publish.deletes import held_among
from tellonce.publish.images import Publication, view_image
from tellonce.publish.log_check import begun_views
from tellonce.publish.streams import PublishedView, StreamId, load_published, load_streams
from tellonce.storage.database import clock_ms, reading, writing
from tellonce.storage.outbox import RecordImage
from tellonce.storage.progress import load_cursor, save_cursor
from tellonce.storage.tables import own_tables

__all__ = ["Swept", "restart_sweep", "sweep_authority"]

_log = structlog.get_logger()
_CHUNK = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What one chunk found: records compared, records changed behind the outbox, and whether the table's end came."""

    compared: int
    changed: int
    finished: bool


def sweep_authority(engine: Engine, publication: Publication) -> Swept:
    """Compares the next chunk of the authority's rows, and of the ledger's records whose row may be gone."""
    record_type = publication.source.record_type
    with reading(engine) as connection:
        streams = load_streams(connection, [view.name for view in publication.views], lock=False)
    views = begun_views(publication.views, streams)
    # Before the epoch's snapshot is through, the ledger does not know every record.
    if not views or not all(stream.complete for stream in streams.values()):
        return Swept(compared=0, changed=0, finished=True)
    task = f"sweep:{record_type}"
    with reading(engine) as connection:
        cursor = load_cursor(connection, task) or "rows:"
        phase, _, after = cursor.partition(":")
        if phase == "rows":
            chunk = publication.outbox.read_chunk(connection, after or None, _CHUNK)
        else:
            keys = _ledger_keys(connection, views, after)
            chunk = publication.outbox.read_records(connection, keys)
        stopped = {stream_id for stream_id, stream in streams.items() if stream.stopped is not None}
        changed = _differing(connection, publication, views, stopped, chunk)
    is_end = len(chunk) < _CHUNK
    following = f"{phase}:{chunk[-1].record_key}" if not is_end else ("gone:" if phase == "rows" else "rows:")
    finished = is_end and phase == "gone"
    with writing(engine) as connection:
        publication.outbox.mark(connection, changed, Origin.SWEEP, clock_ms(connection))
        save_cursor(connection, task, following, finished=finished)
    if changed:
        _log.warning("rows_changed_behind_outbox", record_type=record_type, records=len(changed))
    return Swept(compared=len(chunk), changed=len(changed), finished=finished)


def restart_sweep(engine: Engine, publication: Publication) -> None:
    """Lets the next chunk be the first one."""
    with writing(engine) as connection:
        save_cursor(connection, f"sweep:{publication.source.record_type}", "rows:", finished=False)


def _differing(
    connection: Connection,
    publication: Publication,
    views: Sequence[PublishedView],
    stopped: Collection[StreamId],
    chunk: Sequence[RecordImage],
) -> list[str]:
    """Gives the records that are not as the ledger states them and of which no change is on its way.

    Those of a stream that stands still are left out, since nothing of them is told.
    All of it is read in one state of the database, in which a change stands together with its note in the outbox.
    """
    keys = [key for key, _ in chunk]
    former = publication.outbox.read_former(connection, keys)
    images = {key: publication.image(raw, former[key]) for key, raw in chunk}
    found: dict[str, None] = {}
    for view in views:
        known = load_published(connection, view.name, keys)
        for key, image in images.items():
            entry = known.get(key)
            pseudonym = entry.pseudonym if entry else pseudonym_of(view.keys.pseudonym, key)
            if (view.name, partition_of(pseudonym.encode(), view.view.partitions)) in stopped:
                continue
            shown = view_image(view, pseudonym, image)
            if not (is_stated(entry, shown) if entry else not shown.content):
                found[key] = None
    waiting = publication.outbox.waiting_among(connection, found)
    waiting |= held_among(connection, [view.name for view in views], [*found.keys() - waiting])
    return [key for key in found if key not in waiting]


def _ledger_keys(connection: Connection, views: Sequence[PublishedView], after: str) -> list[str]:
    table = own_tables(connection.dialect.name).published
    statement = (
        select(table.c.record_key)
        .distinct()
        .where(
            table.c.view.in_([view.name for view in views]),
            table.c.record_key > after,
            table.c.state != RecordState.DELETED,
        )
        .order_by(table.c.record_key)
        .limit(_CHUNK)
    )
    return [str(key) for key in connection.execute(statement).scalars()]
