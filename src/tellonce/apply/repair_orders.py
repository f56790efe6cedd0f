"""Having records repaired: what the reconciler or a sweep finds wrong here is ordered of the authority by ourselves.

So each order is a department's own, and no topic that others read tells who has a record wrong.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from uuid import uuid4

import structlog

from tellonce.control.channel import Channel, Heard
from tellonce.control.messages import MAX_PAGE_RECORDS, Order, RepairRequest
from tellonce.model.rounds import Rounds
from tellonce.observability.messages import message_by_itself
from tellonce.storage.subscriber.department import DepartmentStore, StreamId
from tellonce.topology import View
from tellonce.topology.topics import RECONCILER

__all__ = ["RepairOrders"]

_log = structlog.get_logger()

_TASK = "repairs"
_LOOK_SECONDS = 60.0
_LOOK_SOON_SECONDS = 1.0
_ROUND_SECONDS = 75.0
"""Longer than the authority's round, so that an order that was late on its way does not meet a cap that is used up."""


class RepairOrders:
    """Hears requests and gives the orders that follow from them. Not thread-safe."""

    def __init__(
        self,
        department: str,
        store: DepartmentStore,
        views: Mapping[str, View],
        channel: Channel,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`views` are the department's, by name."""
        self._department = department
        self._store = store
        self._views = views
        self._channel = channel
        self._monotonic = monotonic
        self._rounds = Rounds(_ROUND_SECONDS)
        self._looks_at = float("-inf")
        self.listen()

    def listen(self) -> None:
        """Listens from where the database says: at the start, and after trouble, when what was heard may be undone."""
        self._heard = dict(self._store.places(_TASK))
        self._channel.listen(RepairRequest, (RECONCILER,), self._heard)

    def take_requests(self) -> bool:
        """Keeps what the reconciler asks for, and tells whether it asked for anything."""
        given = self._channel.hear(RepairRequest)
        for heard in given:
            with message_by_itself("RepairRequest", order=heard.message.order_id):
                self._take(heard)
        places = self._channel.places(RepairRequest)
        moved = {place: offset for place, offset in places.items() if self._heard.get(place, 0) < offset}
        if moved:
            # What failed, or was no request, is not read again either.
            self._store.save_places(_TASK, moved)
            self._heard |= moved
        return bool(given)

    def _take(self, heard: Heard[RepairRequest]) -> None:
        request = heard.message
        view = self._views.get(request.view)
        if view is None or request.department != self._department:
            return
        _log.info(
            "repair_requested",
            department=self._department,
            view=request.view,
            order=request.order_id,
            records=len(request.pseudonyms),
        )
        self.want(view, request.pseudonyms)

    def want(self, view: View, pseudonyms: Sequence[str]) -> None:
        """Keeps that these records are to be published again for this department."""
        self._store.want(view.name, view.partitions, pseudonyms)
        self._looks_at = float("-inf")

    def give(self, streams: Collection[StreamId]) -> None:
        """Orders what is due of these streams, by view and partition, up to the subscription's cap.

        What was ordered counts as such only when the order has arrived.

        Raises:
            RetryableError: broker or database is away; it is ordered again.
        """
        if not streams or self._monotonic() < self._looks_at:
            return
        due = self._store.due(streams, MAX_PAGE_RECORDS)
        self._looks_at = self._monotonic() + (_LOOK_SOON_SECONDS if due else _LOOK_SECONDS)
        orders = [order for stream, pseudonyms in due.items() if (order := self._order(*stream, pseudonyms))]
        for order in orders:
            self._channel.say(order)
        self._channel.flush()
        if not orders:
            return
        self._store.postpone([(order.view, order.pseudonyms) for order in orders])
        _log.info("repairs_ordered", department=self._department, records=sum(len(one.pseudonyms) for one in orders))

    def _order(self, view: str, partition: int, pseudonyms: Sequence[str]) -> Order | None:
        place, now_ms = (self._department, view), int(self._monotonic() * 1000)
        cap = self._views[view].subscriptions[self._department].repair_cap
        allowed = pseudonyms[: self._rounds.left(place, cap, now_ms)]
        if not allowed:
            return None
        self._rounds.use(place, len(allowed), now_ms)
        return Order(
            view=view,
            partition=partition,
            order_id=uuid4().hex,
            action="repair",
            pseudonyms=tuple(allowed),
            by=self._department,
            reason="this department's rows differ, or have turned up",
            at_ms=int(time.time() * 1000),
        )
