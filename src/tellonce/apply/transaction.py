"""One local transaction: rows, ledger, parked records and position together, fenced by the position's row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tellonce.apply.attest import attest
from tellonce.apply.batch import Offered, carry_out
from tellonce.apply.incoming import Batch, decode_incoming
from tellonce.apply.subscription import SubscribedView
from tellonce.avro import UnknownSchemaError
from tellonce.avro.catalogue import Catalogue
from tellonce.control.messages import Attestation
from tellonce.model.change import ChangeEvent, Origin
from tellonce.model.divergence import Reason, RecordState
from tellonce.model.errors import PoisonMessageError, TellonceError
from tellonce.model.incoming import Incoming
from tellonce.model.position import Position
from tellonce.storage.subscriber.decisions import Why
from tellonce.storage.subscriber.entries import Entry, StreamRow
from tellonce.storage.subscriber.store import Record, Transaction

__all__ = ["Applied", "PositionMovedError", "apply_batch", "attest_anew", "attest_stream", "offered_of", "retry_parked"]


class PositionMovedError(TellonceError):
    """Another applier moved this stream's position: this one read on from a place that no longer counts."""


@dataclass(slots=True, kw_only=True)
class Applied:
    """What one transaction did: events by outcome, parked records by reason, and the attestation to be sent.

    `delays_ms` are the times from the authority's commit to this transaction, of the events applied.
    With `is_retry` the events were counted as parked when they came.
    """

    outcomes: dict[str, int] = field(default_factory=dict[str, int])
    parked: dict[str, int] = field(default_factory=dict[str, int])
    attestation: Attestation | None = None
    delays_ms: list[int] = field(default_factory=list[int])
    is_retry: bool = False
    refused: int = 0
    """How many messages were not the authority's."""
    seconds: float = 0.0
    """How long the transaction took."""


def apply_batch(
    subscribed: SubscribedView,
    catalogue: Catalogue,
    partition: int,
    batch: Batch,
    *,
    expected: Position,
    reached: Position,
) -> Applied:
    """Applies a batch of one stream and moves its position from `expected` to `reached`.

    Raises:
        PositionMovedError: the position in the database is not the expected one; nothing was written.
        RetryableError: the database is away; whether anything was written is told by the position.
    """
    with subscribed.store.transaction() as transaction:
        stream = transaction.lock_stream(partition)
        if stream.position != expected:
            msg = "another applier moved the position of this stream; reading goes on from where the database says"
            raise PositionMovedError(msg, view=subscribed.name, partition=partition)
        incoming = list(batch.newest.values())
        names = [item.pseudonym for item in incoming]
        standings = transaction.standings(names)
        entries = {name: one.entry for name, one in standings.items() if one.entry is not None}
        wanted = frozenset(name for name, one in standings.items() if one.is_wanted)
        offered = _newer(subscribed, catalogue, partition, incoming, entries, wanted)
        stream.position, stream.attestable = reached, batch.attestable
        if batch.complete_epoch:
            # Known before anything is decided: with this batch no record of the stream's snapshot is unknown.
            stream.complete_epoch = batch.complete_epoch
            transaction.save_stream(stream)
        streams = {partition: stream}
        records = carry_out(transaction, subscribed.bound, streams, offered, standings=standings, around=wanted)
        applied = _applied(entries, offered, records)
        applied.outcomes["superseded"] = len(incoming) - len(offered) + batch.superseded
        for outcome, count in applied.outcomes.items():
            stream.outcomes[outcome] += count
        applied.attestation = attest_stream(transaction, subscribed, stream)
        transaction.save_stream(stream)
        transaction.came(wanted & records.keys())
        if applied.outcomes.get("applied"):
            transaction.hasten_blocked()
    return applied


def retry_parked(
    subscribed: SubscribedView, catalogue: Catalogue, waiting: Mapping[int, Sequence[Incoming]]
) -> Mapping[int, Applied]:
    """Tries parked records of some streams again, at the positions where these stand, and gives what each one did.

    All are tried in one batch, so that two that want each other's unique values get them. One that has moved on since
    it was listed is left as it is.
    """
    with subscribed.store.transaction() as transaction:
        # In their order, as every process takes them.
        streams = {partition: transaction.lock_stream(partition) for partition in sorted(waiting)}
        before = {partition: (stream.sum, dict(stream.states)) for partition, stream in streams.items()}
        entries = transaction.entries([item.pseudonym for some in waiting.values() for item in some])
        offered = {
            partition: [
                offered_of(subscribed, catalogue, item, partition)
                for item in some
                if _place(entries.get(item.pseudonym)) == (item.header.epoch, item.header.version)
            ]
            for partition, some in waiting.items()
        }
        everything = [each for some in offered.values() for each in some]
        around = [each.pseudonym for each in everything]
        records = carry_out(transaction, subscribed.bound, streams, everything, around=around)
        done: dict[int, Applied] = {}
        for partition, stream in streams.items():
            applied = done[partition] = _applied(entries, offered[partition], records)
            # The events were counted as parked when they came; what was applied since changes their terminal state.
            for outcome in ("applied", "out_of_scope"):
                moved = applied.outcomes.get(outcome, 0)
                stream.outcomes[outcome] += moved
                stream.outcomes["parked"] -= moved
            applied.is_retry = True
            if before[partition] != (stream.sum, stream.states):
                applied.attestation = attest_stream(transaction, subscribed, stream)
            transaction.save_stream(stream)
    return done


def attest_anew(subscribed: SubscribedView, partition: int) -> Attestation | None:
    """Gives what a stream holds now, as a statement of this moment, where it may be stated."""
    with subscribed.store.transaction() as transaction:
        stream = transaction.lock_stream(partition)
        attestation = attest_stream(transaction, subscribed, stream)
        if attestation is not None:
            transaction.save_stream(stream)
    return attestation


def offered_of(subscribed: SubscribedView, catalogue: Catalogue, item: Incoming, partition: int) -> Offered:
    """Gives an event as it is dealt with; of one that cannot be read, why."""
    event: ChangeEvent | Why
    try:
        event = decode_incoming(subscribed.name, catalogue, item)
    except UnknownSchemaError as error:
        # Tried again: the next release of the contract may know it.
        event = Why(reason=Reason.UNKNOWN_SCHEMA, detail=str(error))
    except PoisonMessageError as error:
        event = Why(reason=Reason.UNDECODABLE, detail=str(error))
    return Offered(pseudonym=item.pseudonym, partition=partition, header=item.header, payload=item.payload, event=event)


def attest_stream(transaction: Transaction, subscribed: SubscribedView, stream: StreamRow) -> Attestation | None:
    """Gives what a stream holds, where it may be stated; its row is saved by the caller."""
    coverage, now_ms = transaction.coverage(), transaction.clock_ms()
    return attest(subscribed.department, stream, coverage=coverage, now_ms=now_ms)


def _place(entry: Entry | None) -> tuple[int, int]:
    return (entry.epoch, entry.version) if entry else (0, -1)


def _newer(
    subscribed: SubscribedView,
    catalogue: Catalogue,
    partition: int,
    incoming: Sequence[Incoming],
    entries: Mapping[str, Entry],
    wanted: frozenset[str],
) -> list[Offered]:
    """Gives the events that are newer than the ledger, or as new and a repair that this department wants."""
    found: list[Offered] = []
    for item in incoming:
        known, place = _place(entries.get(item.pseudonym)), (item.header.epoch, item.header.version)
        if place < known or (place == known and item.pseudonym not in wanted):
            continue
        offered = offered_of(subscribed, catalogue, item, partition)
        is_repair = not isinstance(offered.event, Why) and offered.event.origin is Origin.REPAIR
        if place > known or is_repair:
            found.append(offered)
    return found


def _applied(entries: Mapping[str, Entry], offered: Sequence[Offered], records: Mapping[str, Record]) -> Applied:
    applied = Applied()
    for each in offered:
        record = records[each.pseudonym]
        outcome = _outcome(record, entries.get(each.pseudonym))
        applied.outcomes[outcome] = applied.outcomes.get(outcome, 0) + 1
        if record.listed is not None:
            reason = record.listed.why.reason
            applied.parked[reason] = applied.parked.get(reason, 0) + 1
        if outcome == "applied":
            applied.delays_ms.append(max(0, record.entry.applied_at_ms - record.entry.committed_at_ms))
    return applied


def _outcome(record: Record, old: Entry | None) -> str:
    if record.listed is not None:
        return "parked"
    was_out = old is not None and old.state is RecordState.OUT_OF_SCOPE
    is_out = record.entry.state is RecordState.OUT_OF_SCOPE
    return "out_of_scope" if is_out or (record.entry.state is RecordState.DELETED and was_out) else "applied"
