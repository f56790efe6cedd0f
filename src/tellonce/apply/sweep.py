"""The department's sweep: are the rows still what the ledger says, and is every open row accounted for (L2)?

It goes in chunks and keeps its place, so a restart goes on where it was.
A row's digest is corrected only where the ledger's version and digest are still those that were read with the row.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tellonce.apply.subscription import SubscribedView
from tellonce.apply.transaction import attest_stream
from tellonce.control.messages import Attestation
from tellonce.model.digest import to_hex
from tellonce.model.divergence import RecordState
from tellonce.storage.subscriber.entries import Coverage, Entry
from tellonce.storage.subscriber.facts import Found, Held
from tellonce.storage.subscriber.store import Transaction
from tellonce.storage.subscriber.view import BoundView

__all__ = ["SweptRows", "SweptStream", "sweep_rows", "sweep_stream"]

_CHUNK = 500
_SWEPT = (RecordState.HELD, RecordState.PARKED)
_LISTED = (RecordState.PARKED, RecordState.AMBIGUOUS)


@dataclass(frozen=True, slots=True, kw_only=True)
class SweptStream:
    """What one chunk found: records compared, those whose row differs from the ledger, whether the end came."""

    compared: int
    changed: int
    finished: bool
    attestation: Attestation | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SweptRows:
    """What one chunk of rows found: rows read, and records of which a row is news.

    The attestation is there where the whole sweep found other numbers of rows that no proof speaks of.
    """

    read: int
    found: Sequence[str]
    finished: bool
    attestation: Attestation | None


def sweep_stream(subscribed: SubscribedView, partition: int) -> SweptStream:
    """Compares the next chunk of a stream's records with their rows."""
    task = f"sweep:{subscribed.name}:{partition}"
    with subscribed.store.look() as look:
        chunk = look.held_after(partition, look.cursor(task), _CHUNK)
    held = [one for one in chunk if one.entry.state in _SWEPT or _may_be_open_again(one)]
    changes = [(one.entry, new) for one in held if (new := _as_found(subscribed.bound, one)) != one.entry]
    finished = len(chunk) < _CHUNK
    attestation = None
    with subscribed.store.transaction() as transaction:
        if changes:
            stream = transaction.lock_stream(partition)
            present = transaction.entries([old.pseudonym for old, _ in changes])
            # Compare and set: whatever the applier wrote since the rows were read is newer than what was read.
            kept = [(old, new) for old, new in changes if present.get(old.pseudonym) == old]
            for old, new in kept:
                stream.move(old, new)
            transaction.save_entries([new for _, new in kept])
            attestation = attest_stream(transaction, subscribed, stream) if kept else None
            transaction.save_stream(stream)
        cursor = "" if finished else chunk[-1].entry.pseudonym
        transaction.save_cursor(task, cursor, finished=finished)
    return SweptStream(compared=len(held), changed=len(changes), finished=finished, attestation=attestation)


def _may_be_open_again(held: Held) -> bool:
    return held.entry.state is RecordState.OUT_OF_SCOPE and bool(held.links)


def _as_found(view: BoundView, held: Held) -> Entry:
    entry = held.entry
    there = [link.row for link in held.links if link.row is not None]
    if there and not any(row.is_open for row in there):
        return replace(entry, state=RecordState.OUT_OF_SCOPE)
    if entry.state is RecordState.OUT_OF_SCOPE and not there:
        return entry
    digests = [to_hex(view.row_element(entry.pseudonym, row)) for row in there if row.is_open]
    differing = [digest for digest in digests if digest != entry.event_digest]
    # A file that was closed and is open again is held again; what it missed meanwhile shows as a difference.
    state = RecordState.HELD if entry.state is RecordState.OUT_OF_SCOPE else entry.state
    return replace(entry, state=state, row_digest=next(iter(differing or digests), None))


def sweep_rows(subscribed: SubscribedView) -> SweptRows:
    """Looks at the next chunk of the table's open rows: counts those of nobody and those that cannot be read.

    A record is told of a row once for each of its versions, and not while it is parked: then somebody knows already.
    """
    task = f"rows:{subscribed.name}"
    with subscribed.store.look() as look:
        after = look.cursor(task) or None
        chunk = look.rows_after(after, _CHUNK)
        so_far = _coverage(look.cursor(f"{task}:missed")) if after else Coverage()
    finished = len(chunk) < _CHUNK
    coverage = Coverage(
        unlinked_rows=so_far.unlinked_rows + sum(_is_nobodys(each) for each in chunk),
        unreadable_rows=so_far.unreadable_rows + sum(each.row.is_open and bool(each.row.unreadable) for each in chunk),
    )
    news = [(each.row.key, entry) for each in chunk for entry in _concerned(each)]
    with subscribed.store.transaction() as transaction:
        found = transaction.unseen(news) if news else frozenset[str]()
        missed = f"{coverage.unlinked_rows} {coverage.unreadable_rows}"
        transaction.save_cursor(f"{task}:missed", missed, finished=finished)
        transaction.save_cursor(task, "" if finished else chunk[-1].row.key, finished=finished)
        attestation = _cover(transaction, subscribed, coverage) if finished else None
    return SweptRows(read=len(chunk), found=sorted(found), finished=finished, attestation=attestation)


def _coverage(cursor: str) -> Coverage:
    unlinked, _, unreadable = cursor.partition(" ")
    return Coverage(unlinked_rows=int(unlinked or 0), unreadable_rows=int(unreadable or 0))


def _is_nobodys(found: Found) -> bool:
    return found.row.is_open and found.owner is None and not found.claimants


def _cover(transaction: Transaction, subscribed: SubscribedView, coverage: Coverage) -> Attestation | None:
    """Keeps which rows no proof speaks of, and states it at once where that has changed (L10)."""
    before = transaction.coverage()
    transaction.save_coverage(coverage)
    if coverage == before:
        return None
    stream = transaction.lock_stream(0)
    attestation = attest_stream(transaction, subscribed, stream)
    transaction.save_stream(stream)
    return attestation


def _concerned(found: Found) -> list[Entry]:
    """Gives the records that answer to an open row's number and do not have it."""
    if not found.row.is_open or any(entry.pseudonym == found.owner for entry in found.claimants):
        return []
    return [entry for entry in found.claimants if entry.state not in _LISTED]
