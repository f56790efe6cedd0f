"""Whose orders an authority carries out, and how many records at a time."""

import pytest

from reconcile.builders import AUTHORITY, FUND, HEALTH, city, pseudonym
from tellonce.control.messages import Order, OrderAction
from tellonce.model.rounds import Rounds
from tellonce.publish.orders import why_refused, within_cap
from tellonce.topology.topics import OPERATOR, RECONCILER

VIEW = next(iter(city().views()))


def order(action: OrderAction = "repair", records: int = 1) -> Order:
    """An order about the only view."""
    return Order(
        view=VIEW.name,
        partition=0,
        order_id="o-1",
        action=action,
        pseudonyms=tuple(map(pseudonym, range(records))),
        by="somebody",
        reason="a reason",
        at_ms=0,
    )


ALLOWED = {("repair", FUND), ("repair", HEALTH), ("tombstones", RECONCILER)}


@pytest.mark.parametrize("action", ["repair", "tombstones"])
@pytest.mark.parametrize("speaker", [FUND, HEALTH, AUTHORITY, RECONCILER, OPERATOR, "civil-affairs"])
def test_each_may_order_what_is_its_own_to_order(speaker: str, action: OrderAction) -> None:
    """A subscriber has records repaired for itself; the reconciler alone knows what may be buried."""
    refused = why_refused(order(action), speaker, VIEW)

    assert (refused is None) == ((action, speaker) in ALLOWED)


def test_department_has_no_more_records_repaired_in_a_round_than_its_cap() -> None:
    """However many orders it gives; the next round begins anew, and another department has its own."""
    view = next(iter(city(repair_cap=10).views()))
    rounds = Rounds(60)

    def granted(department: str, now_ms: int) -> int:
        return len(within_cap(order(records=7), department, view, rounds, now_ms).pseudonyms)

    assert [granted(FUND, now_ms) for now_ms in (0, 1, 2)] == [7, 3, 0]
    assert granted(HEALTH, 2) == 7
    assert granted(FUND, 60_000) == 7


def test_burial_is_no_repair_and_has_no_cap() -> None:
    """It names no records."""
    view = next(iter(city(repair_cap=1).views()))
    given = order("tombstones", records=9)

    assert within_cap(given, RECONCILER, view, Rounds(60), 0) == given
