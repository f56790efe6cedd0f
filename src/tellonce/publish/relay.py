"""The relay: publishes what waits in one authority's database, answers for its ledger and carries out orders."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import Engine, update

from tellonce.control.messages import Answer, Inquiry, Mark, Order
from tellonce.publish.answers import answer_inquiry
from tellonce.publish.cycle import PublishingCycle, Turn
from tellonce.publish.images import Publication
from tellonce.publish.log_check import LogReader
from tellonce.publish.orders import carry_out, due_tombstones
from tellonce.publish.streams import PublishedView
from tellonce.publish.sweep import sweep_authority
from tellonce.storage.database import reading, writing
from tellonce.storage.lease import LeaseLostError, hold_lease
from tellonce.storage.progress import save_cursor
from tellonce.storage.tables import own_tables

__all__ = ["ORDERS_TASK", "GivenOrder", "Relay", "RelayPorts", "RelaySettings"]

_log = structlog.get_logger()

ORDERS_TASK = "orders"
_CHUNK_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenOrder:
    """An order with its place in the topic of orders; `order` is None for a message that is none."""

    partition: int
    offset: int
    order: Order | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayPorts:
    """What a relay says and is told, besides the events themselves."""

    mark: Callable[[Mark], None]
    answer: Callable[[Answer], None]
    tombstones: Callable[[Sequence[Mapping[str, object]]], None]
    flush: Callable[[], None]
    orders: Callable[[], Sequence[GivenOrder]]
    has_read_orders: Callable[[], bool]
    inquiries: Callable[[], Sequence[Inquiry]]
    read_log_ends: LogReader


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
        ports: RelayPorts,
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
        self._ports = ports
        self._on_turn = on_turn
        self._monotonic = monotonic
        self._swept_at = self._chunk_at = float("-inf")
        self._sweeping: list[Publication] = []
        self._is_idle = False
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
                self._ports.mark(mark)
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
        self._ports.flush()
        self._is_idle = not did
        self._say(turn)
        return did

    def is_done(self) -> bool:
        """Tells whether nothing is left to do or to say, all orders were read, and a sweep has been through."""
        has_swept = not self._sweeping and self.sweeps > 0
        return self._is_idle and not self._cycle.owes_markers and has_swept and self._ports.has_read_orders()

    @property
    def holds_lease(self) -> bool:
        """Whether it may publish; else it waits for another's lease to end."""
        return self._cycle.lease is not None

    def pause(self) -> None:
        """Lets go of everything in hand: what is staged is read again from the database."""
        self._cycle.forget()

    def close(self) -> None:
        """Gives the lease back."""
        self._cycle.release()

    def _take_over(self) -> bool:
        marks = self._cycle.take_over(self._ports.read_log_ends)
        for mark in marks or ():
            self._ports.mark(mark)
        return marks is not None

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
        given = self._ports.orders()
        for item in given:
            with writing(self._engine) as connection:
                if self._cycle.lease is not None:
                    hold_lease(connection, self._cycle.lease)
                order = item.order
                if order is not None and order.view in self._views:
                    publication = self._publications[order.view]
                    records = carry_out(connection, publication, self._views[order.view], order)
                    if order.action != "tombstones":
                        self._log.info(
                            "order_carried_out",
                            order=order.order_id,
                            view=order.view,
                            action=order.action,
                            records=records,
                        )
                save_cursor(connection, f"{ORDERS_TASK}:{item.partition}", str(item.offset + 1))
        return bool(given)

    def _answer(self) -> bool:
        inquiries = self._ports.inquiries()
        for inquiry in inquiries:
            view = self._views.get(inquiry.view)
            if view is None or self._settings.department not in inquiry.departments:
                continue
            with reading(self._engine) as connection:
                answer = answer_inquiry(connection, self._settings.department, view, inquiry)
            if answer is not None:
                self._ports.answer(answer)
        return bool(inquiries)

    def _sweep(self) -> bool:
        if not self._sweeping:
            if self._monotonic() - self._swept_at < self._settings.sweep_interval_seconds:
                return False
            self._sweeping = list(self._record_types)
        if sweep_authority(self._engine, self._sweeping[0]).finished:
            self._sweeping.pop(0)
            if not self._sweeping:
                self._swept_at = self._monotonic()
                self.sweeps += 1
        return True

    def _bury(self) -> bool:
        """Sends the null that follows a delete which every live subscription has attested."""
        with reading(self._engine) as connection:
            due = due_tombstones(connection, list(self._views))
        if not due:
            return False
        self._ports.tombstones(due)
        table = own_tables(self._engine.dialect.name).published
        with writing(self._engine) as connection:
            for grave in due:
                of_record = (table.c.view == grave["view"], table.c.pseudonym == grave["pseudonym"])
                connection.execute(update(table).where(*of_record).values(tombstone=False))
        return True
