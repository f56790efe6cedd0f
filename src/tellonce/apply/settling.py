"""What a decision left behind: whether what was written may stay, and what the ledger says of the record afterwards."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from tellonce.apply.deciding import Wanted
from tellonce.model.change import Value
from tellonce.model.digest import to_hex
from tellonce.model.divergence import Reason, RecordState
from tellonce.model.position import Header
from tellonce.model.quick import quick
from tellonce.storage.subscriber.decisions import Decision, Delete, Insert, Mark, Park, Pass, Update, Why
from tellonce.storage.subscriber.entries import Entry
from tellonce.storage.subscriber.facts import Known, Link, Row
from tellonce.storage.subscriber.store import Listed, Record, Written

__all__ = ["Settled", "accept", "settle", "why_parked"]

_RETRIED = frozenset((Reason.LOCKED, Reason.COLLISION, Reason.MISSING_REFERENCE, Reason.UNKNOWN_SCHEMA))

DigestOf = Callable[[Row], int]
"""Gives what a row adds to the sum: one that no record has, where a field cannot be read."""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What is known of the event beside its wish: where it stands, what it adds to the sum, and its bytes."""

    pseudonym: str
    partition: int
    header: Header
    payload: bytes
    committed_at_ms: int
    digest: int | None


def accept(decision: Decision, wanted: Wanted, known: Known, rows: Sequence[Row | None]) -> Why | None:
    """Says why what was written may not stay: it had no effect (L5), or reads back as something else (L9)."""
    match decision:
        case Update(changed=changed):
            # What the table cannot hold and keeps as it was is no part of `fields`.
            before = {row.key: row for row in _rows_known(known)}
            if any(row is not None and row == before.get(key) for key, row in zip(changed, rows, strict=True)):
                return _NO_EFFECT
            return _differing(wanted.fields, rows)
        case Insert():
            return _differing(wanted.fields, rows)
        case Delete():
            return _NO_EFFECT if any(row is not None for row in rows) else None
        case Mark():
            return None if all(row is None or row.is_marked for row in rows) else _NO_EFFECT
        case Park() | Pass():
            return None


_NO_EFFECT = Why(reason=Reason.NO_EFFECT, detail="the table took the write and did not carry it out")


def _differing(fields: Mapping[str, Value], rows: Sequence[Row | None]) -> Why | None:
    for row in rows:
        if row is None:
            return _NO_EFFECT
        for name, value in fields.items():
            if name in row.unreadable or row.fields.get(name) != value:
                return Why(reason=Reason.CANNOT_HOLD, detail=f"the field {name} reads back other than it was written")
    return None


def why_parked(decision: Decision, result: Written | Why | None) -> Why | None:
    """Gives why a record is listed after its decision was carried out."""
    if isinstance(result, Why):
        return result
    match decision:
        case Park(why=why) | Update(why=why) | Insert(why=why):
            return why
        case Delete() | Mark() | Pass():
            return None


def settle(  # noqa: PLR0913 - what was known, wished, decided and done
    event: Settled,
    wanted: Wanted,
    known: Known,
    decision: Decision,
    result: Written | Why | None,
    *,
    digest_of: DigestOf,
    now_ms: int,
) -> Record:
    """Gives what is kept of a record."""
    why = why_parked(decision, result)
    rows = _rows_after(known, decision, result)
    digests = [digest_of(row) for row in rows]
    # Of several rows that differ, one that differs from the event counts: the record is equal only if all are.
    row_digest = next((digest for digest in digests if digest != event.digest), digests[0] if digests else None)
    state = _state(decision, why)
    old = known.entry
    if isinstance(result, Why) or isinstance(decision, Park):
        kept = old.row_digest if old else None
    else:
        kept = None if row_digest is None else to_hex(row_digest)
    entry = Entry(
        pseudonym=event.pseudonym,
        partition=event.partition,
        epoch=event.header.epoch,
        version=event.header.version,
        sequence=event.header.sequence,
        event_digest=None if event.digest is None else to_hex(event.digest),
        row_digest=None if state is RecordState.DELETED else kept,
        state=state,
        committed_at_ms=event.committed_at_ms,
        applied_at_ms=now_ms,
    )
    return Record(
        entry=entry,
        links=_links(wanted, known, decision, result, rows),
        claims=None if wanted.refused else {each: number.rank for each, number in wanted.numbers.items()},
        others=wanted.others,
        listed=None if why is None else Listed(why=why, payload=event.payload, is_retried=why.reason in _RETRIED),
    )


def _state(decision: Decision, why: Why | None) -> RecordState:
    if why is not None:
        return why.state
    match decision:
        case Pass(state=state):
            return state
        case Delete() | Mark():
            return RecordState.DELETED
        case Update() | Insert() | Park():
            return RecordState.HELD


def _rows_after(known: Known, decision: Decision, result: Written | Why | None) -> list[Row]:
    if isinstance(result, Why):
        return []
    written = list(result.rows) if result else []
    match decision:
        case Update(equal=equal):
            return [*written, *(row for row in _rows_known(known) if row.key in equal)]
        case Insert():
            return written
        case Mark() | Delete() | Park() | Pass():
            return []


def _rows_known(known: Known) -> list[Row]:
    linked = [link.row for link in known.links if link.row is not None]
    keys = {row.key for row in linked}
    return [*linked, *(each.row for each in known.candidates if each.row.key not in keys)]


def _links(
    wanted: Wanted, known: Known, decision: Decision, result: Written | Why | None, rows: Sequence[Row]
) -> Sequence[Link] | None:
    """Gives the record's links afterwards; None where they stay as they are."""
    if isinstance(result, Why):
        return None
    match decision:
        case Update() | Insert():
            deciders = {link.key for link in known.links if link.by_person}
            return [
                Link(key=row.key, number=wanted.number, others=wanted.others, by_person=row.key in deciders)
                for row in rows
            ]
        case Mark(changed=changed, equal=equal):
            return [replace(link, is_ended=True, row=None) for link in known.links if link.key in {*changed, *equal}]
        case Delete():
            return []
        case Pass(unlinks=unlinks):
            return [] if unlinks else None
        case Park():
            return None
