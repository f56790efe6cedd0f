"""How one record travelled, hop by hop, and the first link that is missing: from facts alone, without looking anywhere.

No fact holds a value of the record: pseudonyms, numbers, times and states only.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from tellonce.model.divergence import DivergenceKind, DivergenceState, RecordState

__all__ = [
    "Difference",
    "Event",
    "Hop",
    "Ledger",
    "Log",
    "Origin",
    "Passage",
    "Record",
    "Seal",
    "Statement",
    "Subscriber",
    "first_missing",
    "hops_of",
    "sentence_of",
]


class Passage(StrEnum):
    """Whether the record's newest change has passed a hop."""

    PASSED = "passed"
    MISSING = "missing"
    DIFFERS = "differs"
    UNKNOWN = "unknown"


class Seal(StrEnum):
    """Whether an event was seen to be its authority's."""

    CHECKED = "checked"
    UNCHECKED = "no key here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """The newest event of the record in the view's topic, or in the authority's ledger, where it has no offset."""

    epoch: int
    version: int
    sequence: int
    offset: int | None = None
    settled: int | None = None
    at_ms: int | None = None

    @property
    def place(self) -> tuple[int, int]:
        """Where it is in its stream."""
        return self.epoch, self.sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What the authority's database knows; `waiting_since_ms` is of the oldest change in the outbox.

    `stream_epoch` is 0 where nothing was ever published; `confirmed_sequence` is what the broker acknowledged.
    """

    is_in_table: bool
    waiting_since_ms: int | None = None
    stream_epoch: int = 0
    confirmed_sequence: int = 0
    is_stopped: bool = False
    unpublished: str | None = None
    published: Event | None = None
    is_deleted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """What the record's partition holds of it; `refused` messages bear no seal of the authority, where it was checked.

    `trouble` says why it could not be read, or not to its end.
    """

    newest: Event | None = None
    seal: Seal = Seal.UNCHECKED
    refused: int = 0
    trouble: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What a department's own database says of the record, and how far its stream was read."""

    state: RecordState | None = None
    epoch: int = 0
    version: int = 0
    applied_at_ms: int | None = None
    parked: str | None = None
    is_stopped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A department's newest attestation of the stream.

    `unnamed` counts the parked and ambiguous records in it that no open divergence names.
    """

    epoch: int
    sequence: int
    at_ms: int
    unnamed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The divergence of the record at a department that is not resolved."""

    divergence_id: str
    kind: DivergenceKind
    state: DivergenceState
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscriber:
    """What is known of the record at one department; `ledger` only where its database is at hand."""

    department: str
    ledger: Ledger | None = None
    statement: Statement | None = None
    difference: Difference | None = None
    trouble: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A record in one view, with all that is known of its way; `origin` only where the authority's database is."""

    view: str
    record_type: str
    authority: str
    pseudonym: str
    partition: int
    log: Log
    origin: Origin | None = None
    subscribers: Sequence[Subscriber] = ()

    @property
    def target(self) -> Event | None:
        """The newest event that anybody knows of."""
        known = [self.log.newest, self.origin.published if self.origin else None]
        return max((each for each in known if each), key=lambda each: each.place, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One hop of the way; `says` is why it stands so, and `todo` the command that whoever is there runs next."""

    view: str
    pseudonym: str
    hop: str
    department: str
    stands: Passage
    epoch: int | None = None
    version: int | None = None
    partition: int | None = None
    offset: int | None = None
    sequence: int | None = None
    settled: int | None = None
    at_ms: int | None = None
    seal: Seal | None = None
    says: str = ""
    todo: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verdict:
    stands: Passage
    says: str
    todo: str = ""


def hops_of(record: Record) -> list[Hop]:
    """Gives the record's hops in the order of its way."""
    hops = [_topic_hop(record)]
    if record.origin is not None:
        hops.insert(0, _authority_hop(record, record.origin))
    return [*hops, *(_subscriber_hop(record, each) for each in record.subscribers)]


def first_missing(hops: Sequence[Hop]) -> Hop | None:
    """Gives the first hop that the change has not passed, else the first of which nobody here can tell, if any."""
    stopped = (each for each in hops if each.stands in {Passage.MISSING, Passage.DIFFERS})
    unknown = (each for each in hops if each.stands is Passage.UNKNOWN)
    return next(stopped, None) or next(unknown, None)


def sentence_of(missing: Hop | None) -> str:
    """Gives the one line that stands at the end."""
    if missing is None:
        return "nothing is missing: every department that was looked at has the record's newest change"
    kind = "cannot be told here" if missing.stands is Passage.UNKNOWN else "is the first missing link"
    return f"{missing.view}: {missing.hop} {missing.department} {kind}: {missing.says}; next: {missing.todo}"


def _authority_hop(record: Record, origin: Origin) -> Hop:
    published = origin.published
    verdict = next(
        _at_authority(record, origin), _Verdict(stands=Passage.PASSED, says="published, and acknowledged by the broker")
    )
    return replace(
        _hop(record, "authority", record.authority, verdict),
        epoch=published.epoch if published else None,
        version=published.version if published else None,
        sequence=published.sequence if published else None,
        settled=origin.confirmed_sequence if origin.stream_epoch else None,
        at_ms=origin.waiting_since_ms,
    )


def _at_authority(record: Record, origin: Origin) -> Iterator[_Verdict]:
    relay = f"tellonce relay {record.authority}"
    published = origin.published
    is_heard_of = origin.waiting_since_ms is not None or published is not None or origin.unpublished is not None
    if not origin.is_in_table and not is_heard_of:
        yield _missing("neither its table nor its ledger has such a record", "compare the identifier or pseudonym")
    if origin.unpublished is not None:
        yield _missing(f"its newest state cannot be published ({origin.unpublished})", _unpublished(record))
    if origin.is_stopped:
        yield _missing("the stream is stopped", f"tellonce resync {record.record_type}, if the relay's log says so")
    if not origin.stream_epoch:
        yield _missing("no epoch has begun, so nothing is published", f"tellonce snapshot {record.authority}")
    if origin.waiting_since_ms is not None:
        yield _missing("a change waits in the outbox", relay)
    if published is None or (published.epoch < origin.stream_epoch and not origin.is_deleted):
        yield _missing(f"epoch {origin.stream_epoch} has begun and has not come to it", relay)
    elif published.epoch == origin.stream_epoch and published.sequence > origin.confirmed_sequence:
        yield _missing("it is staged, and the broker has not acknowledged it", relay)


def _topic_hop(record: Record) -> Hop:
    newest, log = record.log.newest, record.log
    refused = f"; {log.refused} messages without the authority's seal are left out" if log.refused else ""
    passed = _Verdict(stands=Passage.PASSED, says=f"the newest event is in the topic{refused}")
    verdict = next(_in_topic(record), passed)
    return replace(
        _hop(record, "topic of", record.authority, verdict),
        epoch=newest.epoch if newest else None,
        version=newest.version if newest else None,
        offset=newest.offset if newest else None,
        sequence=newest.sequence if newest else None,
        settled=newest.settled if newest else None,
        at_ms=newest.at_ms if newest else None,
        seal=log.seal if newest else None,
    )


def _in_topic(record: Record) -> Iterator[_Verdict]:
    log, target = record.log, record.target
    if log.trouble is not None:
        yield _Verdict(stands=Passage.UNKNOWN, says=log.trouble, todo=_once_more(record, record.authority))
    if record.origin is not None and record.origin.is_deleted and log.newest is None:
        yield _Verdict(stands=Passage.PASSED, says="it was deleted, and the topic has forgotten it")
    if log.newest is None and log.refused:
        says = f"none of {log.refused} messages under its key bears the authority's seal"
        yield _missing(says, f"tellonce doctor {record.authority}")
    if log.newest is None:
        says = "it holds no event: never published, or no such record"
        # At the authority its own hop has said more already.
        todo = _once_more(record, record.authority) if record.origin is None else f"tellonce relay {record.authority}"
        yield _missing(says, todo)
    if log.newest is not None and target is not None and log.newest.place < target.place:
        says = f"its newest event is {_at(log.newest)}, the authority's ledger is at {_at(target)}"
        yield _missing(says, f"tellonce relay {record.authority}")


def _subscriber_hop(record: Record, subscriber: Subscriber) -> Hop:
    ledger, statement = subscriber.ledger, subscriber.statement
    verdict = next(_at_subscriber(record, subscriber), None) or _Verdict(
        stands=Passage.PASSED,
        says=_in_words(ledger, subscriber.trouble) if ledger else "its statement of the stream covers the event",
    )
    is_known = ledger is not None and ledger.state is not None
    return replace(
        _hop(record, "subscriber", subscriber.department, verdict),
        epoch=ledger.epoch if ledger and is_known else statement.epoch if statement else None,
        version=ledger.version if ledger and is_known else None,
        sequence=statement.sequence if statement else None,
        at_ms=ledger.applied_at_ms if ledger else statement.at_ms if statement else None,
    )


def _at_subscriber(record: Record, subscriber: Subscriber) -> Iterator[_Verdict]:
    if subscriber.ledger is not None:
        yield from _in_ledger(record, subscriber, subscriber.ledger)
    if subscriber.difference is not None:
        yield _differs(record, subscriber.difference)
    if record.target is None:
        yield _Verdict(stands=Passage.UNKNOWN, says="no event is known to wait for", todo="tellonce status")
    elif subscriber.ledger is None:
        yield from _in_statement(subscriber, record.target)
    if subscriber.ledger is None and subscriber.trouble is not None:
        todo = _once_more(record, subscriber.department)
        yield _Verdict(stands=Passage.UNKNOWN, says=subscriber.trouble, todo=todo)
    if subscriber.ledger is None and subscriber.statement is not None and subscriber.statement.unnamed:
        says = f"{subscriber.statement.unnamed} records of the stream are parked there, and which nobody has told yet"
        todo = f"tellonce parked list --view {record.view}"
        yield _Verdict(stands=Passage.UNKNOWN, says=says, todo=todo)


def _in_ledger(record: Record, subscriber: Subscriber, ledger: Ledger) -> Iterator[_Verdict]:
    target, department = record.target, subscriber.department
    if ledger.is_stopped:
        yield _missing("the stream is stopped", f"tellonce reread {department} {record.view}, if its log says so")
    if target is not None and (ledger.epoch, ledger.version) < (target.epoch, target.version):
        has = "has not applied it" if ledger.state is None else f"has version {ledger.epoch}:{ledger.version}"
        if ledger.parked is None:
            yield _missing(f"{has}, the event is of {target.epoch}:{target.version}", f"tellonce consume {department}")
    if ledger.parked is not None:
        yield _missing(f"it is parked ({ledger.parked})", f"tellonce parked list --view {record.view}")


def _in_words(ledger: Ledger, trouble: str | None) -> str:
    """The state, and why it is not known whether a divergence names the record, as a department's own user never may.

    The newest change has passed all the same: its own database says so.
    """
    state = ledger.state or ""
    return state if trouble is None else f"{state}; whether it differs is not known here: {trouble}"


def _in_statement(subscriber: Subscriber, target: Event) -> Iterator[_Verdict]:
    statement = subscriber.statement
    if statement is None or (statement.epoch, statement.sequence) < target.place:
        if subscriber.trouble is not None:
            return
        ends = "it has stated nothing of the stream yet"
        if statement is not None:
            ends = f"its statements end at {statement.epoch}:{statement.sequence}, before the event {_at(target)}"
        yield _missing(ends, "tellonce status")


def _differs(record: Record, difference: Difference) -> _Verdict:
    todo = {
        DivergenceKind.UNPUBLISHED: _unpublished(record),
        DivergenceKind.PARKED: f"tellonce parked list --view {record.view}",
        DivergenceKind.AMBIGUOUS: f"tellonce parked list --view {record.view}",
    }.get(difference.kind, f"tellonce repair {difference.divergence_id}")
    if difference.state is not DivergenceState.OPEN:
        todo = "tellonce divergences"
    why = f", {difference.reason}" if difference.reason else ""
    says = f"divergence {difference.divergence_id} names it: {difference.kind} ({difference.state}{why})"
    return _Verdict(stands=Passage.DIFFERS, says=says, todo=todo)


def _missing(says: str, todo: str) -> _Verdict:
    return _Verdict(stands=Passage.MISSING, says=says, todo=todo)


def _hop(record: Record, hop: str, department: str, verdict: _Verdict) -> Hop:
    return Hop(
        view=record.view,
        pseudonym=record.pseudonym,
        hop=hop,
        department=department,
        partition=record.partition,
        stands=verdict.stands,
        says=verdict.says,
        todo=verdict.todo,
    )


def _unpublished(record: Record) -> str:
    return f"tellonce unpublished {record.authority}"


def _once_more(record: Record, department: str) -> str:
    return f"tellonce trace {record.record_type} --department {department} on its host"


def _at(event: Event) -> str:
    return f"{event.epoch}:{event.sequence}"
