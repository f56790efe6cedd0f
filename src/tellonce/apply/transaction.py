"""One local transaction: rows, ledger, parked records and position together, fenced by the position's row."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine

from tellonce.apply.attest import attest
from tellonce.apply.execute import digest_of_rows, execute
from tellonce.apply.incoming import Batch, Incoming
from tellonce.apply.parked import hasten, save_parked
from tellonce.apply.plan import Decision, plan_batch
from tellonce.apply.subscription import SubscribedView
from tellonce.avro.catalogue import Catalogue
from tellonce.control.messages import Attestation
from tellonce.model.digest import to_hex
from tellonce.model.divergence import RecordState
from tellonce.model.errors import TellonceError
from tellonce.model.position import Position
from tellonce.storage.database import clock_ms, writing
from tellonce.storage.ledger import Ledger
from tellonce.storage.subscriber.entries import Entry, StreamRow

__all__ = ["Applied", "PositionMovedError", "apply_batch", "attest_anew", "retry_parked"]


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


def apply_batch(  # noqa: PLR0913 - what, where, from which place and to which
    engine: Engine,
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
    with writing(engine) as connection:
        ledger = Ledger(connection, subscribed.name)
        stream = ledger.lock_or_create_stream(partition)
        if stream.position != expected:
            msg = "another applier moved the position of this stream; reading goes on from where the database says"
            raise PositionMovedError(msg, view=subscribed.name, partition=partition)
        decisions, superseded = plan_batch(connection, subscribed, catalogue, list(batch.newest.values()))
        applied = _carry_out(connection, subscribed, stream, decisions)
        applied.outcomes["superseded"] = superseded + batch.superseded
        for outcome, count in applied.outcomes.items():
            stream.outcomes[outcome] += count
        if batch.complete_epoch:
            stream.complete_epoch = batch.complete_epoch
        stream.position, stream.attestable = reached, batch.attestable
        applied.attestation = attest(connection, subscribed.department, stream)
        ledger.save_stream(stream)
        if applied.outcomes.get("applied"):
            hasten(connection, subscribed.name)
    return applied


def retry_parked(
    engine: Engine, subscribed: SubscribedView, catalogue: Catalogue, partition: int, incoming: Sequence[Incoming]
) -> Applied:
    """Tries parked records of one stream again, at the position where the stream stands."""
    with writing(engine) as connection:
        ledger = Ledger(connection, subscribed.name)
        stream = ledger.lock_or_create_stream(partition)
        before = stream.sum, dict(stream.states)
        decisions, _ = plan_batch(connection, subscribed, catalogue, incoming, is_retry=True)
        applied = _carry_out(connection, subscribed, stream, decisions)
        # The events were counted as parked when they came; what was applied since changes their terminal state.
        for outcome in ("applied", "out_of_scope"):
            moved = applied.outcomes.get(outcome, 0)
            stream.outcomes[outcome] += moved
            stream.outcomes["parked"] -= moved
        applied.is_retry = True
        if before != (stream.sum, stream.states):
            applied.attestation = attest(connection, subscribed.department, stream)
        ledger.save_stream(stream)
    return applied


def attest_anew(engine: Engine, subscribed: SubscribedView, partition: int) -> Attestation | None:
    """Gives what a stream holds now, as a statement of this moment, where it may be stated."""
    with writing(engine) as connection:
        ledger = Ledger(connection, subscribed.name)
        stream = ledger.lock_or_create_stream(partition)
        attestation = attest(connection, subscribed.department, stream)
        if attestation is not None:
            ledger.save_stream(stream)
    return attestation


def _carry_out(
    connection: Connection, subscribed: SubscribedView, stream: StreamRow, decisions: Sequence[Decision]
) -> Applied:
    ledger = Ledger(connection, subscribed.name)
    written = {w.decision.incoming.pseudonym: w.rows for w in execute(connection, subscribed, decisions)}
    now = clock_ms(connection)
    applied = Applied()
    entries: list[Entry] = []
    for decision in decisions:
        rows = written.get(decision.incoming.pseudonym)
        digest = digest_of_rows(subscribed, decision, rows) if rows else None
        entry = _entry(decision, stream.partition, None if digest is None else to_hex(digest), now)
        stream.move(decision.old, entry)
        entries.append(entry)
        outcome = _outcome(decision)
        applied.outcomes[outcome] = applied.outcomes.get(outcome, 0) + 1
        if decision.reason:
            applied.parked[decision.reason] = applied.parked.get(decision.reason, 0) + 1
        if outcome == "applied" and decision.event:
            applied.delays_ms.append(max(0, now - decision.event.committed_at_ms))
    ledger.save_entries(entries)
    ledger.save_links({d.incoming.pseudonym: d.links for d in decisions if d.links is not None})
    ledger.save_hashes({d.incoming.pseudonym: frozenset() for d in decisions if d.hashes == frozenset()})
    save_parked(connection, subscribed.name, stream.partition, decisions)
    return applied


def _entry(decision: Decision, partition: int, row_digest: str | None, now: int) -> Entry:
    old, header = decision.old, decision.incoming.header
    if decision.is_settled:
        # Nothing was written, so the row still holds what it held.
        row_digest = old.row_digest if old else None
    is_deleted = decision.state is RecordState.DELETED
    return Entry(
        pseudonym=decision.incoming.pseudonym,
        record_key=decision.event.record_key if decision.event else (old.record_key if old else ""),
        partition=partition,
        epoch=header.epoch,
        version=header.version,
        sequence=header.sequence,
        event_digest=None if decision.event_digest is None else to_hex(decision.event_digest),
        row_digest=None if is_deleted else row_digest,
        state=decision.state,
        committed_at_ms=decision.event.committed_at_ms if decision.event else now,
        applied_at_ms=now,
    )


def _outcome(decision: Decision) -> str:
    if decision.reason:
        return "parked"
    if decision.state is RecordState.OUT_OF_SCOPE:
        return "out_of_scope"
    if decision.state is RecordState.DELETED and decision.old and decision.old.state is RecordState.OUT_OF_SCOPE:
        return "out_of_scope"
    return "applied"
