"""Tombstone orders."""

from reconcile.builders import AUTHORITY, FUND, HEALTH, attestation, city, ids, mark
from tellonce.reconcile.compare import Comparisons
from tellonce.reconcile.tombstones import TombstoneOrders


class Log:
    """Statements of one stream, and the tombstone orders that follow."""

    def __init__(self) -> None:
        self.comparisons = Comparisons(marks_kept=100, attestations_kept=100)
        self.orders = TombstoneOrders(60, ids())
        self.comparisons.take_mark(mark(100))

    def attest(self, fund: int, health: int, *, epoch: int = 1) -> "Log":
        """Both departments attest."""
        self.comparisons.take_attestation(attestation(fund, department=FUND, epoch=epoch))
        self.comparisons.take_attestation(attestation(health, department=HEALTH, epoch=epoch))
        return self

    def due(self, now_ms: int = 0) -> list[tuple[int, int]]:
        """What is ordered now, as (epoch, up to sequence)."""
        found = self.orders.due(city().views(), self.comparisons, now_ms)
        assert {order.action for order in found} <= {"tombstones"}
        return [(order.epoch, order.up_to_sequence) for order in found]


def test_tombstones_reach_as_far_as_the_slowest_department() -> None:
    """A delete may be forgotten only when every live subscription has attested past it."""
    assert Log().attest(9, 5).due() == [(1, 5)]


def test_nothing_is_forgotten_while_a_department_has_said_nothing() -> None:
    """A department that was never heard of may still need every delete."""
    log = Log()
    log.comparisons.take_attestation(attestation(9, department=FUND))

    assert log.due() == []


def test_nothing_is_forgotten_while_a_department_is_in_an_earlier_epoch() -> None:
    """A department that has not come to the newest epoch has read none of its deletes."""
    log = Log().attest(9, 9)
    log.comparisons.take_mark(mark(3, epoch=2))
    assert log.due() == []

    log.comparisons.take_attestation(attestation(3, department=FUND, epoch=2))

    assert log.due() == []


def test_order_is_given_at_most_once_a_minute_and_only_when_further() -> None:
    """Tombstones are housekeeping: they must not become a load of their own."""
    log = Log()

    given = [
        log.attest(5, 5).due(0),
        log.attest(6, 6).due(59_999),
        log.due(60_000),
        log.due(200_000),
    ]

    assert given == [[(1, 5)], [], [(1, 6)], []]


def test_order_is_signed_by_the_reconciler() -> None:
    """An order says who gave it."""
    (order,) = Log().attest(5, 5).orders.due(city().views(), Log().attest(5, 5).comparisons, 0)

    assert order.by == "reconciler"
    assert order.by != AUTHORITY
