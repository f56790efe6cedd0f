"""Carrying out orders: named records go through the outbox again, in all views of their record type."""

import structlog
from sqlalchemy import Connection

from tellonce.control.messages import Order
from tellonce.model.change import Origin
from tellonce.model.rounds import Rounds
from tellonce.publish.graves import mark_graves
from tellonce.publish.images import Publication
from tellonce.publish.streams import PublishedView, load_published
from tellonce.storage.database import clock_ms
from tellonce.topology import View
from tellonce.topology.topics import RECONCILER

__all__ = ["carry_out", "why_refused", "within_cap"]

_log = structlog.get_logger()


def why_refused(order: Order, speaker: str, view: View) -> str | None:
    """Gives why an order of this speaker is not carried out; nothing if it is.

    Records are published again for a department that subscribes to the view and orders it for itself; only the
    reconciler knows what every department has attested, so that deleted records may be buried.
    """
    if order.action == "repair":
        return None if speaker in view.subscriptions else "it does not subscribe to the view"
    return None if speaker == RECONCILER else f"only the reconciler orders {order.action}"


def within_cap(order: Order, speaker: str, view: View, rounds: Rounds, now_ms: int) -> Order:
    """Gives the order with as many records as a department may still have in this round."""
    if order.action != "repair":
        return order
    place = (speaker, view.name)
    left = rounds.left(place, view.subscriptions[speaker].repair_cap, now_ms)
    pseudonyms = order.pseudonyms[:left]
    rounds.use(place, len(pseudonyms), now_ms)
    return order.model_copy(update={"pseudonyms": pseudonyms})


def carry_out(connection: Connection, publication: Publication, view: PublishedView, order: Order) -> int:
    """Carries one order out in the transaction that also moves the place in the topic of orders.

    Gives how many records were put into the outbox. A record that the authority does not know is left to a person:
    the department holds it as an orphan, and its event could name nothing that the authority has.
    """
    if order.action == "tombstones":
        return mark_graves(connection, order)
    known = load_published(connection, view.name, order.pseudonyms, by_pseudonym=True)
    keys = [entry.record_key for entry in known.values()]
    publication.outbox.mark(connection, keys, Origin.REPAIR, clock_ms(connection))
    if len(keys) < len(order.pseudonyms):
        _log.warning(
            "order_named_unknown_records",
            order=order.order_id,
            view=view.name,
            unknown=len(order.pseudonyms) - len(keys),
        )
    return len(keys)
