"""The authority's sweep: rows changed behind the outbox get their next version and an outbox row.

Only a row whose version counter is the one that the ledger has seen is compared, in one state of the database;
any other row has a change of its own on the way.
The ledger is never edited: what differs goes the normal path.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection, Engine, select

from tellonce.model.change import Origin
from tellonce.model.digest import to_hex
from tellonce.model.divergence import RecordState
from tellonce.publish.images import Publication
from tellonce.publish.streams import Published, load_published, load_streams
from tellonce.storage.database import clock_ms, reading, writing
from tellonce.storage.outbox import OutboxRow
from tellonce.storage.progress import load_cursor, save_cursor
from tellonce.storage.tables import own_tables

__all__ = ["Swept", "sweep_authority"]

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
    if not _is_published(engine, publication):
        return Swept(compared=0, changed=0, finished=True)
    task = f"sweep:{record_type}"
    with reading(engine) as connection:
        cursor = load_cursor(connection, task) or "rows:"
        phase, _, after = cursor.partition(":")
        if phase == "rows":
            chunk = publication.outbox.read_chunk(connection, after or None, _CHUNK)
            keys = [key for key, _, _ in chunk]
            suspects = _suspects(connection, publication, keys)
        else:
            keys = _ledger_keys(connection, publication, after)
            suspects = _suspects(connection, publication, keys)
    is_end = len(keys) < _CHUNK
    following = f"{phase}:{keys[-1]}" if not is_end else ("gone:" if phase == "rows" else "rows:")
    finished = is_end and phase == "gone"
    with writing(engine) as connection:
        changed = _give_next_version(connection, publication, suspects)
        save_cursor(connection, task, following, finished=finished)
    if changed:
        _log.warning("rows_changed_behind_outbox", record_type=record_type, records=changed)
    return Swept(compared=len(keys), changed=changed, finished=finished)


def _is_published(engine: Engine, publication: Publication) -> bool:
    """Tells whether the epoch's snapshot is through: before that, the ledger does not know every record."""
    with reading(engine) as connection:
        streams = load_streams(connection, [view.name for view in publication.views], lock=False)
    return bool(streams) and all(stream.complete for stream in streams.values())


def _suspects(connection: Connection, publication: Publication, keys: Sequence[str]) -> list[str]:
    """Gives the records whose row is not what the ledger last saw of the same version."""
    if not keys:
        return []
    rows = publication.outbox.read_records(connection, keys, lock=False)
    found: dict[str, None] = {}
    for view in publication.views:
        known = load_published(connection, view.name, keys)
        for key, version, raw in rows:
            entry = known.get(key)
            if entry is None and raw is not None:
                # Inserted behind the outbox, or still on its way: then its next version changes nothing and is dropped.
                found[key] = None
            if entry is None or entry.seen_version != version:
                continue
            digest = publication.element_of(view, entry.pseudonym, version, publication.image(raw, {}))
            if (None if digest is None else to_hex(digest)) != _stated(entry):
                found[key] = None
    return list(found)


def _stated(entry: Published) -> str | None:
    return None if entry.state == RecordState.DELETED else entry.digest


def _ledger_keys(connection: Connection, publication: Publication, after: str) -> list[str]:
    table = own_tables(connection.dialect.name).published
    views = [view.name for view in publication.views]
    statement = (
        select(table.c.record_key)
        .distinct()
        .where(table.c.view.in_(views), table.c.record_key > after, table.c.state != RecordState.DELETED)
        .order_by(table.c.record_key)
        .limit(_CHUNK)
    )
    return [str(key) for key in connection.execute(statement).scalars()]


def _give_next_version(connection: Connection, publication: Publication, suspects: Sequence[str]) -> int:
    """Reads the suspects again, locked, and publishes those that still differ as their next version."""
    if not suspects:
        return 0
    locked = publication.outbox.read_records(connection, suspects, lock=True)
    still = set(_suspects(connection, publication, suspects))
    now = clock_ms(connection)
    rows = [
        OutboxRow(
            outbox_id=0,
            record_key=key,
            version=version + 1,
            transaction_id=None,
            committed_at_ms=now,
            origin=Origin.SWEEP,
            before=None,
            after=raw,
        )
        for key, version, raw in locked
        if key in still
    ]
    publication.outbox.set_versions(connection, {row.record_key: row.version for row in rows})
    publication.outbox.add(connection, rows)
    return len(rows)
