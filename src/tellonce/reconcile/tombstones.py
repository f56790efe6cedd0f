"""When deleted records may be forgotten by the log: once every live subscription has attested past their delete."""

from collections.abc import Callable, Iterable

from tellonce.control.messages import Order
from tellonce.reconcile.compare import Comparisons, StreamId
from tellonce.topology import View
from tellonce.topology.topics import RECONCILER

__all__ = ["TombstoneOrders"]


class TombstoneOrders:
    """Says how far tombstones may follow, seldom and only when it is further than before. Not thread-safe."""

    def __init__(self, pause_seconds: float, new_id: Callable[[], str]) -> None:
        self._pause_ms = int(pause_seconds * 1000)
        self._new_id = new_id
        self._given: dict[StreamId, tuple[tuple[int, int], int]] = {}

    def due(self, views: Iterable[View], comparisons: Comparisons, now_ms: int) -> tuple[Order, ...]:
        """Gives the orders that may be given now, and counts them as given."""
        orders: list[Order] = []
        for view in views:
            for partition in range(view.partitions):
                stream = StreamId(view.name, partition)
                place = _attested_by_all(view, stream, comparisons)
                if place is None or not self._is_due(stream, place, now_ms):
                    continue
                self._given[stream] = (place, now_ms)
                orders.append(self._order(stream, place, now_ms))
        return tuple(orders)

    def _is_due(self, stream: StreamId, place: tuple[int, int], now_ms: int) -> bool:
        if stream not in self._given:
            return True
        before, at_ms = self._given[stream]
        return place > before and now_ms - at_ms >= self._pause_ms

    def _order(self, stream: StreamId, place: tuple[int, int], now_ms: int) -> Order:
        return Order(
            view=stream.view,
            partition=stream.partition,
            order_id=self._new_id(),
            action="tombstones",
            epoch=place[0],
            up_to_sequence=place[1],
            by=RECONCILER,
            reason="every live subscription has attested up to here",
            at_ms=now_ms,
        )


def _attested_by_all(view: View, stream: StreamId, comparisons: Comparisons) -> tuple[int, int] | None:
    """The place that every subscriber has attested; None if there is none, or one is not in the newest epoch."""
    places: list[tuple[int, int]] = []
    newest_epoch = 0
    for department in view.subscriptions:
        reached = comparisons.reached(department, stream)
        if reached.attestation is None:
            return None
        newest_epoch = max(newest_epoch, 0 if reached.mark is None else reached.mark.epoch)
        places.append(reached.attestation.place)
    if not places:
        return None
    place = min(places)
    # A department of an earlier epoch has not seen the deletes of the newest one.
    is_of_newest = all(epoch == place[0] for epoch, _ in places) and place[0] == newest_epoch
    return place if is_of_newest and place[1] else None
