"""The relay: publishes what waits in one authority's database, answers for its ledger and carries out orders."""

import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection, Engine

from tellonce.control.channel import Channel, Heard, Place
from tellonce.control.messages import Inquiry, Order
from tellonce.model.errors import ConfigurationError
from tellonce.model.rounds import Rounds
from tellonce.observability.messages import message_by_itself
from tellonce.publish.answers import answer_inquiry
from tellonce.publish.cycle import PublishingCycle, Turn
from tellonce.publish.graves import Grave, due_graves, note_buried, streams_ending_in_graves
from tellonce.publish.images import Publication
from tellonce.publish.log_check import LogReader
from tellonce.publish.orders import carry_out, why_refused, within_cap
from tellonce.publish.streams import PublishedView
from tellonce.publish.sweep import restart_sweep, sweep_authority
from tellonce.storage.capture import verify
from tellonce.storage.database import reading, writing
from tellonce.storage.lease import LeaseLostError, hold_lease
from tellonce.storage.progress import load_places, save_place
from tellonce.topology.topics import RECONCILER

__all__ = ["Relay", "RelaySettings", "ViewLog"]

_log = structlog.get_logger()

_ORDERS_TASK = "orders"
_CHUNK_SECONDS = 0.2
_BEAT_SECONDS = 300.0
"""Each stream's newest mark is said again so often, so that one that is withheld is missed."""
_ROUND_SECONDS = 60.0
"""Within so long a department may have as many records repaired for itself as its subscription's cap says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewLog:
    """What a relay does with the topics of its views, besides sending events.

    `bury` writes the null that lets compaction forget a deleted record, and returns when all have arrived.
    """

    read_ends: LogReader
    bury: Callable[[Sequence[Grave]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RelaySettings:
    """How a relay works. After a whole sweep of its tables it rests for `sweep_interval_seconds`."""

    department: str
    sweep_interval_seconds: float


class Relay:
    """Publishes, answers, carries out orders and sweeps, one thing at a time. Not thread-safe."""

    def __init__(  # noqa: PLR0913 - each is a part of the world that it works with
        self,
        settings: RelaySettings,
        engine: Engine,
        cycle: PublishingCycle,
        publications: Sequence[Publication],
        channel: Channel,
        log: ViewLog,
        *,
        on_turn: Callable[[Turn], None] = lambda _turn: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._cycle = cycle
        self._record_types = tuple(publications)
        self._publications = {view.name: p for p in publications for view in p.views}
        self._views: dict[str, PublishedView] = {view.name: view for p in publications for view in p.views}
        self._obeys = (RECONCILER, *sorted({s for v in self._views.values() for s in v.view.subscriptions}))
        self._rounds = Rounds(_ROUND_SECONDS)
        self._obeyed: dict[Place, int] = {}
        self._channel = channel
        self._topics = log
        self._on_turn = on_turn
        self._monotonic = monotonic
        self._swept_at = self._chunk_at = self._marked_at = float("-inf")
        self._sweeping: list[Publication] = []
        self._is_idle = False
        self.capture_findings: dict[str, tuple[str, ...]] = {}
        """What is not as `tellonce install` makes it, in sentences, of each record type that was looked at."""
        self.sweeps = 0
        """How many whole sweeps it has finished."""
        self._log = _log.bind(department=settings.department)

    def turn(self) -> bool:
        """Does what there is to do once, and tells whether there was anything.

        Raises:
            RetryableError: database or broker is away; what was in hand stays staged.
        """
        try:
            if self._cycle.lease is None and not self._take_over():
                return False
            turn = self._cycle.turn()
            for mark in turn.marks:
                self._channel.say(mark)
            self._repeat_marks()
            self._sweep_now(turn.to_sweep)
            did = not turn.is_idle
            did |= self._carry_out_orders()
            did |= self._answer()
            if not did or self._monotonic() - self._chunk_at >= _CHUNK_SECONDS:
                self._chunk_at = self._monotonic()
                did |= self._sweep() | self._bury()
        except LeaseLostError:
            self._log.warning("lease_lost")
            self._cycle.forget()
            return False
        self._channel.flush()
        self._is_idle = not did
        self._say(turn)
        return did

    def is_done(self) -> bool:
        """Tells whether nothing is left to do or to say, all orders were read, and a sweep has been through."""
        has_swept = not self._sweeping and self.sweeps > 0
        is_idle = self._is_idle and not self._cycle.owes_markers
        is_clear = is_idle and not self._cycle.troubled and not self._cycle.paused
        return is_clear and has_swept and self._channel.has_caught_up

    @property
    def holds_lease(self) -> bool:
        """Whether it may publish; else it waits for another's lease to end."""
        return self._cycle.lease is not None

    def waiting_streams(self) -> Counter[str]:
        """Gives how many streams of each view wait, for their topic or for their record type's table."""
        waiting = set(self._cycle.troubled)
        for view in self._views.values():
            if view.view.record_type in self._cycle.paused:
                waiting |= {(view.name, partition) for partition in range(view.view.partitions)}
        return Counter(view for view, _ in waiting)

    def pause(self) -> None:
        """Lets go of everything in hand: what is staged is read again from the database."""
        self._cycle.forget()

    def close(self) -> None:
        """Gives the lease back."""
        self._cycle.release()

    def _take_over(self) -> bool:
        if not self._cycle.take_over(self._topics.read_ends):
            return False
        self._marked_at = float("-inf")
        self._look_at_capture()
        # Where the orders stand is read now: another relay may have carried some out since this one started.
        with reading(self._engine) as connection:
            self._obeyed = load_places(connection, _ORDERS_TASK)
        self._channel.listen(Order, self._obeys, self._obeyed)
        self._channel.listen(Inquiry, (RECONCILER,), "now")
        return True

    def _repeat_marks(self) -> None:
        if self._monotonic() - self._marked_at < _BEAT_SECONDS:
            return
        for mark in self._cycle.newest_marks():
            self._channel.say(mark)
        self._marked_at = self._monotonic()

    def _say(self, turn: Turn) -> None:
        self._on_turn(turn)
        if turn.is_idle:
            return
        self._log.info(
            "changes_published",
            changes=turn.changes,
            snapshot_records=turn.snapshot_records,
            events=sum(turn.published.values()),
            unpublished=turn.unpublished,
        )

    def _carry_out_orders(self) -> bool:
        given = self._channel.hear(Order)
        for heard in given:
            with message_by_itself("Order", order=heard.message.order_id, speaker=heard.speaker):
                self._obey(heard)
        for place, offset in self._channel.places(Order).items():
            # What failed, or was no order, is not read again either.
            if self._obeyed.get(place, 0) < offset:
                self._pass(place, offset)
        return bool(given)

    def _obey(self, heard: Heard[Order]) -> None:
        order = heard.message
        with self._provable() as connection:
            if order.view in self._views:
                self._carry_out(connection, order, heard.speaker)
            save_place(connection, _ORDERS_TASK, heard.place, heard.offset + 1)
        self._obeyed[heard.place] = heard.offset + 1

    def _carry_out(self, connection: Connection, order: Order, speaker: str) -> None:
        view = self._views[order.view]
        facts = {"order": order.order_id, "view": order.view, "action": order.action, "speaker": speaker}
        why = why_refused(order, speaker, view.view)
        if why is not None:
            self._log.warning("order_refused", why=why, **facts)
            return
        allowed = within_cap(order, speaker, view.view, self._rounds, int(self._monotonic() * 1000))
        left_out = len(order.pseudonyms) - len(allowed.pseudonyms)
        if left_out:
            self._log.warning("order_refused", why="its cap is used up", records=left_out, **facts)
        records = carry_out(connection, self._publications[order.view], view, allowed)
        if order.action != "tombstones":
            self._log.info("order_carried_out", records=records, **facts)

    def _pass(self, place: Place, offset: int) -> None:
        with self._provable() as connection:
            save_place(connection, _ORDERS_TASK, place, offset)
        self._obeyed[place] = offset

    @contextmanager
    def _provable(self) -> Generator[Connection]:
        """A transaction that commits only while the lease is held."""
        with writing(self._engine) as connection:
            if self._cycle.lease is not None:
                hold_lease(connection, self._cycle.lease)
            yield connection

    def _answer(self) -> bool:
        inquiries = self._channel.hear(Inquiry)
        for inquiry in (heard.message for heard in inquiries):
            view = self._views.get(inquiry.view)
            if view is None or self._settings.department not in inquiry.departments:
                continue
            with message_by_itself("Inquiry", inquiry=inquiry.inquiry_id), reading(self._engine) as connection:
                answer = answer_inquiry(connection, self._settings.department, view, inquiry)
                if answer is not None:
                    self._channel.say(answer)
        return bool(inquiries)

    def _sweep(self) -> bool:
        # Behind many changes a sweep would only find what they tell.
        if self._cycle.is_full:
            return False
        if not self._sweeping:
            if self._monotonic() - self._swept_at < self._settings.sweep_interval_seconds:
                return False
            self._look_at_capture()
            self._sweeping = list(self._record_types)
        if self._sweep_next(self._sweeping[0]):
            self._sweeping.pop(0)
            if not self._sweeping:
                self._swept_at = self._monotonic()
                self.sweeps += 1
        return True

    def _look_at_capture(self) -> None:
        sources = [publication.source for publication in self._record_types]
        found: dict[str, list[str]] = {source.record_type: [] for source in sources}
        for finding in verify(self._engine, sources):
            found[finding.record_type].append(finding.sentence)
        for record_type, sentences in found.items():
            before, now = self.capture_findings.get(record_type, ()), tuple(sentences)
            if now and now != before:
                self._log.error("capture_altered", record_type=record_type, findings=len(now), why=now[0])
            elif before and not now:
                self._log.info("capture_restored", record_type=record_type)
            self.capture_findings[record_type] = now

    def _sweep_now(self, record_types: Sequence[str]) -> None:
        """Has these swept from their first record on, before anything that is in hand."""
        for publication in self._record_types:
            if publication.source.record_type in record_types:
                restart_sweep(self._engine, publication)
                others = [each for each in self._sweeping if each is not publication]
                self._sweeping, self._chunk_at = [publication, *others], float("-inf")

    def _sweep_next(self, publication: Publication) -> bool:
        """Sweeps a chunk, and tells whether the record type is through; one that is paused is left out."""
        record_type = publication.source.record_type
        if record_type in self._cycle.paused:
            return True
        try:
            return sweep_authority(self._engine, publication).finished
        except ConfigurationError as error:
            self._cycle.hold_back(record_type, str(error))
            return True

    def _bury(self) -> bool:
        """Sends the null that follows a delete which every live subscription has attested."""
        # Where a topic is away, so are its graves; they wait with its streams.
        views = [view for view in self._views if view not in self.waiting_streams()]
        with reading(self._engine) as connection:
            due = due_graves(connection, views)
            ending = streams_ending_in_graves(connection, views)
        owes = self._cycle.owe(ending)
        if not due:
            return owes
        try:
            self._topics.bury(due)
        except ConfigurationError as error:
            # One topic is missing or closed, and the error need not say which: all that were written to are looked at.
            for stream_id in {(grave.view, grave.partition) for grave in due}:
                self._cycle.wait(stream_id, str(error))
            return owes
        with writing(self._engine) as connection:
            note_buried(connection, due)
        return True
