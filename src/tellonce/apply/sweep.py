"""The department's sweep: are the rows still what the ledger says, and has an unlinked row a record by now?

It goes in chunks and keeps its place, so a restart goes on where it was.
A row's digest is corrected only where the ledger's version and digest are still those that were read with the row.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, Engine

from tellonce.apply.attest import attest, unlinked_task
from tellonce.apply.execute import row_element
from tellonce.apply.subscription import SubscribedView
from tellonce.control.messages import Attestation
from tellonce.model.digest import to_hex
from tellonce.model.divergence import RecordState
from tellonce.storage.bound_table import BoundRow, RowKey
from tellonce.storage.database import reading, writing
from tellonce.storage.ledger import Ledger
from tellonce.storage.progress import load_cursor, save_cursor
from tellonce.storage.subscriber.entries import Entry

__all__ = ["SweptRows", "SweptStream", "sweep_rows", "sweep_stream"]

_CHUNK = 500
_SWEPT = (RecordState.HELD, RecordState.PARKED)


@dataclass(frozen=True, slots=True, kw_only=True)
class SweptStream:
    """What one chunk found: records compared, those whose row differs from the ledger, whether the end came."""

    compared: int
    changed: int
    finished: bool
    attestation: Attestation | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SweptRows:
    """What one chunk of rows found: rows read, rows of no record, and records whose row turned up."""

    read: int
    unlinked: int
    found: Sequence[str]
    finished: bool


def sweep_stream(engine: Engine, subscribed: SubscribedView, partition: int) -> SweptStream:
    """Compares the next chunk of a stream's records with their rows."""
    task = f"sweep:{subscribed.name}:{partition}"
    with reading(engine) as connection:
        ledger = Ledger(connection, subscribed.name)
        after = load_cursor(connection, task) or ""
        entries = ledger.entries_after(partition, after, _CHUNK)
        links = ledger.links([entry.pseudonym for entry in entries])
        held = [
            e for e in entries if e.state in _SWEPT or (e.state is RecordState.OUT_OF_SCOPE and e.pseudonym in links)
        ]
        rows = subscribed.table.read(connection, [key for keys in links.values() for key in keys])
    changes: list[tuple[Entry, Entry]] = []
    for entry in held:
        new = _as_found(subscribed, entry, links.get(entry.pseudonym, []), rows)
        if new != entry:
            changes.append((entry, new))
    finished = len(entries) < _CHUNK
    cursor = "" if finished else entries[-1].pseudonym
    with writing(engine) as connection:
        attestation = None
        if changes:
            attestation = _save(connection, subscribed, partition, changes)
        save_cursor(connection, task, cursor, finished=finished)
    return SweptStream(compared=len(held), changed=len(changes), finished=finished, attestation=attestation)


def _as_found(subscribed: SubscribedView, entry: Entry, keys: Sequence[RowKey], rows: dict[RowKey, BoundRow]) -> Entry:
    there = [rows[key] for key in keys if key in rows]
    if there and not any(row.is_open for row in there):
        return replace(entry, state=RecordState.OUT_OF_SCOPE)
    if entry.state is RecordState.OUT_OF_SCOPE and not there:
        return entry
    digests = [to_hex(row_element(subscribed, entry.record_key, row)) for row in there if row.is_open]
    differing = [digest for digest in digests if digest != entry.event_digest]
    # A file that was closed and is open again is held again; what it missed meanwhile shows as a difference.
    state = RecordState.HELD if entry.state is RecordState.OUT_OF_SCOPE else entry.state
    return replace(entry, state=state, row_digest=next(iter(differing or digests), None))


def _save(
    connection: Connection, subscribed: SubscribedView, partition: int, changes: Sequence[tuple[Entry, Entry]]
) -> Attestation | None:
    ledger = Ledger(connection, subscribed.name)
    stream = ledger.lock_or_create_stream(partition)
    present = ledger.entries([old.pseudonym for old, _ in changes])
    kept: list[Entry] = []
    for old, new in changes:
        # Compare and set: whatever the applier wrote since the rows were read is newer than what was read.
        if present.get(old.pseudonym) == old:
            stream.move(old, new)
            kept.append(new)
    ledger.save_entries(kept)
    attestation = attest(connection, subscribed.department, stream) if kept else None
    ledger.save_stream(stream)
    return attestation


def sweep_rows(engine: Engine, subscribed: SubscribedView) -> SweptRows:
    """Looks the next chunk of the table's rows that belong to no record up among the records without a row."""
    task = f"rows:{subscribed.name}"
    table = subscribed.table
    with reading(engine) as connection:
        ledger = Ledger(connection, subscribed.name)
        after = load_cursor(connection, task) or None
        rows = table.read_after(connection, after, _CHUNK)
        linked = ledger.linked_to([row.key for row in rows])
        loose = [row for row in rows if row.key not in linked and row.is_open and row.fields]
        hashes = {row.key: subscribed.match_hashes(_identifiers(subscribed, row)) for row in loose}
        sharing = ledger.sharing([value for values in hashes.values() for value in values])
        hit = {p for values in hashes.values() for value in values for p in sharing.get(value, ())}
        waiting = [e.pseudonym for e in ledger.entries(sorted(hit)).values() if e.state is RecordState.OUT_OF_SCOPE]
    finished = len(rows) < _CHUNK
    missed = sum(not any(sharing.get(value) for value in values) for values in hashes.values())
    with writing(engine) as connection:
        so_far = (int(load_cursor(connection, f"{task}:missed") or 0) if after else 0) + missed
        save_cursor(connection, f"{task}:missed", str(so_far))
        save_cursor(connection, task, "" if finished else rows[-1].key, finished=finished)
        if finished:
            save_cursor(connection, unlinked_task(subscribed.name), str(so_far), finished=True)
    return SweptRows(read=len(rows), unlinked=missed, found=sorted(waiting), finished=finished)


def _identifiers(subscribed: SubscribedView, row: BoundRow) -> set[str]:
    fields = row.fields or {}
    values = (fields.get(rule.identifier) for rule in subscribed.binding.match)
    return {value for value in values if isinstance(value, str) and value}
