"""Whose orders an authority carries out, and how many records at a time."""

import pytest

from reconcile.builders import AUTHORITY, FUND, HEALTH, city, pseudonym
from tellonce.control.messages import Order, OrderAction
from tellonce.model.rounds import Rounds
from tellonce.publish.orders import why_refused, within_cap
from tellonce.topology.topics import OPERATOR, RECONCILER

VIEW = next(iter(city().views()))


def order(action: OrderAction = "repair", *departments: str, records: int = 1) -> Order:
    """An order about the only view."""
    return Order(
        view=VIEW.name,
        partition=0,
        order_id="o-1",
        action=action,
        pseudonyms=tuple(map(pseudonym, range(records))),
        departments=departments,
        by="somebody",
        reason="a reason",
        at_ms=0,
    )


ACTIONS: tuple[OrderAction, ...] = ("repair", "resync", "tombstones")


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("speaker", [RECONCILER, OPERATOR])
def test_reconciler_and_operators_may_order_everything(speaker: str, action: OrderAction) -> None:
    """They speak for the whole city."""
    assert why_refused(order(action, FUND, HEALTH), speaker, VIEW) is None


def test_department_may_have_records_repaired_for_itself() -> None:
    """A row that turned up needs its record once more."""
    assert why_refused(order("repair", FUND), FUND, VIEW) is None


@pytest.mark.parametrize(
    ("speaker", "given", "why"),
    [
        (FUND, order("resync", FUND), "orders no resync"),
        (FUND, order("tombstones", FUND), "orders no tombstones"),
        (FUND, order("repair", HEALTH), "for itself alone"),
        (FUND, order("repair", FUND, HEALTH), "for itself alone"),
        (FUND, order("repair"), "for itself alone"),
        (FUND, order("repair", FUND, FUND), "for itself alone"),
        (AUTHORITY, order("repair", AUTHORITY), "does not subscribe"),
        ("civil-affairs", order("repair", "civil-affairs"), "does not subscribe"),
    ],
)
def test_what_else_a_department_orders_is_refused(speaker: str, given: Order, why: str) -> None:
    """It would cost all others, overwrite what a person should decide, or bury what somebody still needs."""
    refused = why_refused(given, speaker, VIEW)

    assert refused is not None
    assert why in refused


def test_department_has_no_more_records_repaired_in_a_round_than_its_cap() -> None:
    """However many orders it gives; the next round begins anew, and another department has its own."""
    view = next(iter(city(repair_cap=10).views()))
    rounds = Rounds(60)

    def granted(department: str, now_ms: int) -> int:
        given = order("repair", department, records=7)
        return len(within_cap(given, department, view, rounds, now_ms).pseudonyms)

    assert [granted(FUND, now_ms) for now_ms in (0, 1, 2)] == [7, 3, 0]
    assert granted(HEALTH, 2) == 7
    assert granted(FUND, 60_000) == 7


@pytest.mark.parametrize("speaker", [RECONCILER, OPERATOR])
def test_cap_does_not_bind_the_reconciler_and_operators(speaker: str) -> None:
    """They have caps of their own, where they plan."""
    view = next(iter(city(repair_cap=1).views()))
    given = order("repair", FUND, records=9)

    assert within_cap(given, speaker, view, Rounds(60), 0) == given
