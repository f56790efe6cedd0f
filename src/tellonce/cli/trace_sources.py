"""Where the facts of a record's way come from: topics that this user may read, and the database of this host."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.exc import DBAPIError

from tellonce.cli.settings import Settings
from tellonce.cli.time_limit import TimeLimit
from tellonce.cli.tracing import Difference, Event, Ledger, Log, Origin, Seal, Statement
from tellonce.cli.wiring import Authority, signatures_of
from tellonce.control.channel import Heard
from tellonce.control.messages import Attestation, DivergenceEvent, M
from tellonce.kafka.channel import KafkaChannel
from tellonce.kafka.connection import check_connection
from tellonce.kafka.group import ReadMessage
from tellonce.kafka.settings import KafkaSettings
from tellonce.kafka.tracing import Found, read_key
from tellonce.model.divergence import DivergenceKind, RecordState
from tellonce.model.errors import ConfigurationError, RetryableError
from tellonce.model.position import Header, parse_header
from tellonce.model.seal import StreamSeal
from tellonce.publish.images import Publication
from tellonce.publish.streams import PublishedView, load_published, load_streams
from tellonce.publish.unpublished import list_unpublished
from tellonce.reconcile.reading import newest_divergences
from tellonce.storage.database import reading
from tellonce.storage.outbox_table import outbox_table
from tellonce.storage.tables import own_tables
from tellonce.topology import Topology, View
from tellonce.topology.topics import OPERATOR, RECONCILER, attestations, divergences

__all__ = ["CLIENT_ID", "Spoken", "hear_departments", "key_at_authority", "read_ledger", "read_log", "read_origin"]

CLIENT_ID = "tellonce-trace"
_WAIT_SECONDS = 0.1
_SILENCE_SECONDS = 1.0
_NOT_ASKED = "there was no time left to ask for it; --timeout gives longer"

R = TypeVar("R")


def read_log(settings: Settings, view: View, place: tuple[int, str], seal_key: bytes | None, limit: TimeLimit) -> Log:
    """Gives the newest event of a pseudonym in its partition; its seal is checked where the view's key is at hand."""
    partition, pseudonym = place
    key = pseudonym.encode()

    def read(kafka: KafkaSettings) -> Found:
        return read_key(kafka, view.topic, partition, key, client_id=CLIENT_ID, deadline=limit.deadline)

    found, trouble = _allowed(settings, limit, [view.topic], read)
    if found is None:
        return Log(trouble=trouble)
    seal = StreamSeal(seal_key, view.name, partition) if seal_key else None
    opened = [(_opened(seal, message), message.offset, at_ms) for message, at_ms in found.messages]
    events = [
        Event(
            epoch=header.epoch,
            version=header.version,
            sequence=header.sequence,
            settled=header.settled,
            offset=offset,
            at_ms=at_ms,
        )
        for header, offset, at_ms in opened
        if header is not None
    ]
    return Log(
        newest=max(events, key=lambda event: event.place, default=None),
        seal=Seal.CHECKED if seal else Seal.UNCHECKED,
        refused=len(opened) - len(events),
        trouble=None if found.is_complete else "the partition was not read to its end in time; --timeout gives longer",
    )


def _opened(seal: StreamSeal | None, message: ReadMessage) -> Header | None:
    try:
        if seal is not None:
            return seal.open(message.header, message.key, message.value)
        return parse_header(message.header or b"")[0]
    except ValueError:
        return None


def _allowed(
    settings: Settings, limit: TimeLimit, topics: Sequence[str], read: Callable[[KafkaSettings], R]
) -> tuple[R | None, str | None]:
    """What was read, or the sentence that says why it was not; that the broker is away is raised.

    Each step is given what the steps before it have left, so that none of them adds to the command's time.
    """
    if limit.is_over():
        return None, _NOT_ASKED
    try:
        check_connection(limit.within(settings.kafka), reads=topics, client_id=CLIENT_ID)
        return (None, _NOT_ASKED) if limit.is_over() else (read(limit.within(settings.kafka)), None)
    except RetryableError:
        # A reader says what it could not do, and not what is wrong with the connection.
        check_connection(limit.within(settings.kafka), client_id=CLIENT_ID)
        raise
    except ConfigurationError as error:
        return None, f"it cannot be read from here: {error}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """What departments have stated, and what the reconciler and people have said of their divergences."""

    attestations: Mapping[tuple[str, str, int], Attestation]
    divergences: Sequence[DivergenceEvent]
    trouble: str | None = None

    def statement(self, department: str, view: str, partition: int) -> Statement | None:
        """Gives a department's newest statement of a stream."""
        newest = self.attestations.get((department, view, partition))
        if newest is None:
            return None
        states = (RecordState.PARKED, RecordState.AMBIGUOUS)
        kinds = {DivergenceKind.PARKED, DivergenceKind.AMBIGUOUS}
        place = (department, view, partition)
        named = [each for each in self.divergences if (each.department, each.view, each.partition) == place]
        unnamed = sum(newest.states.get(state, 0) for state in states) - sum(each.kind in kinds for each in named)
        return Statement(epoch=newest.epoch, sequence=newest.sequence, at_ms=newest.at_ms, unnamed=max(unnamed, 0))

    def difference(self, department: str, view: str, pseudonym: str) -> Difference | None:
        """Gives the unresolved divergence of a record."""
        for each in self.divergences:
            if (each.department, each.view, each.pseudonym) == (department, view, pseudonym):
                return Difference(
                    divergence_id=each.divergence_id, kind=each.kind, state=each.state, reason=each.reason
                )
        return None


def hear_departments(settings: Settings, topology: Topology, departments: Sequence[str], limit: TimeLimit) -> Spoken:
    """Gives what has been said of and by these departments, as far as this user may read it and time allows.

    Raises:
        RetryableError: the broker is away.
    """
    signatures = signatures_of(settings, topology, OPERATOR, speaks=False)

    def listen(kafka: KafkaSettings, shape: type[M], speakers: Sequence[str]) -> tuple[list[Heard[M]], bool]:
        with KafkaChannel(kafka, OPERATOR, CLIENT_ID, signatures) as channel:
            channel.listen(shape, speakers, "beginning")
            heard: list[Heard[M]] = []
            asks_at = limit.left_seconds - _SILENCE_SECONDS
            while not channel.has_caught_up and (left := limit.left_seconds) > 0:
                # A client without a broker only waits for one: whether it is away must be told while there is time.
                if left < asks_at and not limit.is_over():
                    check_connection(limit.within(settings.kafka), client_id=CLIENT_ID)
                    left = limit.left_seconds
                came = channel.hear(shape, min(_WAIT_SECONDS, left))
                heard += came
                if came or left < asks_at:
                    asks_at = limit.left_seconds - _SILENCE_SECONDS
            return heard, channel.has_caught_up

    deciders = (RECONCILER, OPERATOR)
    topics = [attestations(name) for name in departments], [divergences(name) for name in deciders]
    stated, closed = _allowed(settings, limit, topics[0], lambda kafka: listen(kafka, Attestation, departments))
    known, locked = _allowed(settings, limit, topics[1], lambda kafka: listen(kafka, DivergenceEvent, deciders))
    late = "its statements, or the divergences, were not read to their end in time; --timeout gives longer"
    is_late = not all(is_complete for _, is_complete in (each for each in (stated, known) if each))
    said = [one.message for one in (stated[0] if stated else ())]
    return Spoken(
        attestations={(each.department, each.view, each.partition): each for each in said},
        divergences=newest_divergences(known[0] if known else ()),
        trouble=closed or locked or (late if is_late else None),
    )


def key_at_authority(connection: Connection, views: Sequence[PublishedView], pseudonym: str) -> str | None:
    """Gives the authority's own key of a record that its ledger, or its list of what is kept back, knows."""
    for view in views:
        if found := load_published(connection, view.name, [pseudonym], by_pseudonym=True):
            return found[pseudonym].record_key
    kept_back = (each for each in list_unpublished(connection, views) if each.pseudonym == pseudonym)
    return next((each.record_key for each in kept_back), None)


def read_origin(
    engine: Engine, authority: Authority, view: PublishedView, record_key: str | None, partition: int
) -> Origin:
    """Gives what the authority's database knows of a record; nothing where its key is not known."""
    if record_key is None:
        return Origin(is_in_table=False)
    publication = next(each for each in authority.publications if view in each.views)
    outbox = outbox_table(publication.source.record_type, engine.dialect.name).c
    own = own_tables(engine.dialect.name)
    with reading(engine) as connection:
        waiting = select(func.min(outbox.committed_at_ms)).where(outbox.record_key == record_key)
        kept_back = select(own.unpublished.c.reason).where(
            own.unpublished.c.view == view.name, own.unpublished.c.record_key == record_key
        )
        stream = load_streams(connection, [view.name], lock=False).get((view.name, partition))
        entry = load_published(connection, view.name, [record_key]).get(record_key)
        waiting_since_ms, reason = connection.execute(waiting).scalar(), connection.execute(kept_back).scalar()
    published = Event(epoch=entry.epoch, version=entry.version, sequence=entry.sequence) if entry else None
    return Origin(
        is_in_table=_is_in_table(engine, publication, record_key),
        waiting_since_ms=waiting_since_ms,
        stream_epoch=stream.epoch if stream else 0,
        confirmed_sequence=stream.confirmed_sequence if stream else 0,
        is_stopped=stream is not None and stream.stopped is not None,
        unpublished=reason,
        published=published,
        is_deleted=entry is not None and entry.state == RecordState.DELETED,
    )


def _is_in_table(engine: Engine, publication: Publication, record_key: str) -> bool:
    try:
        with reading(engine) as connection:
            (found,) = publication.outbox.read_records(connection, [record_key])
    except (ValueError, DBAPIError):
        # What is no key of this table, such as a word where the key is a number, is of no row in it.
        return False
    return found.image is not None


def read_ledger(engine: Engine, view: str, pseudonym: str, partition: int) -> Ledger:
    """Gives what a subscriber's database knows of a record."""
    own = own_tables(engine.dialect.name)
    with reading(engine) as connection:
        of_record = own.applied.c.view == view, own.applied.c.pseudonym == pseudonym
        entry = connection.execute(select(own.applied).where(*of_record)).mappings().one_or_none()
        parked = select(own.parked.c.reason).where(own.parked.c.view == view, own.parked.c.pseudonym == pseudonym)
        place = own.position.c.view == view, own.position.c.partition == partition
        stopped = connection.execute(select(own.position.c.stopped).where(*place)).scalar()
        reason = connection.execute(parked).scalar()
    if entry is None:
        return Ledger(parked=reason, is_stopped=stopped is not None)
    return Ledger(
        state=RecordState(entry["state"]),
        epoch=entry["epoch"],
        version=entry["version"],
        applied_at_ms=entry["applied_at_ms"],
        parked=reason,
        is_stopped=stopped is not None,
    )
