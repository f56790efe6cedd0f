"""Orders by policy and by people."""

import pytest

from reconcile.builders import FUND, HEALTH, city, digest, divergence, ids, pseudonym
from tellonce.control.messages import DivergenceEvent
from tellonce.model.divergence import DivergenceKind, DivergenceState
from tellonce.model.errors import ConfigurationError
from tellonce.model.rounds import Rounds
from tellonce.reconcile.repairs import (
    RepairChoice,
    RepairPlan,
    accept,
    plan_by_person,
    plan_by_policy,
    render_plan,
    why_not_by_policy,
)
from tellonce.topology import Topology

HELPED = [DivergenceKind.MISSING, DivergenceKind.STALE, DivergenceKind.ALTERED, DivergenceKind.ORPHANED]
NOT_HELPED = [DivergenceKind.PARKED, DivergenceKind.AMBIGUOUS, DivergenceKind.UNPUBLISHED]


def by_policy(
    *events: DivergenceEvent, topology: Topology | None = None, rounds: Rounds | None = None, now_ms: int = 0
) -> RepairPlan:
    return plan_by_policy(events, topology or city(), rounds or Rounds(60), new_id=ids("order"), now_ms=now_ms)


def by_person(*events: DivergenceEvent, choice: RepairChoice) -> RepairPlan:
    return plan_by_person(events, city(), choice, new_id=ids("order"), now_ms=7)


@pytest.mark.parametrize("kind", HELPED)
def test_policy_orders_what_a_repair_helps(kind: DivergenceKind) -> None:
    """A subscription that says repair has missing, stale, altered and orphaned records published again."""
    plan = by_policy(divergence(1, kind=kind))

    (request,) = plan.requests
    assert (request.pseudonyms, request.department) == ((pseudonym(1),), FUND)
    assert plan.ordered == {divergence(1).divergence_id: request.order_id}


@pytest.mark.parametrize("kind", NOT_HELPED)
def test_policy_does_not_order_what_a_repair_does_not_help(kind: DivergenceKind) -> None:
    """Parked, ambiguous and unpublished records would end the same way again, and the plan says why."""
    plan = by_policy(divergence(1, kind=kind))

    assert plan.requests == ()
    assert why_not_by_policy(divergence(1, kind=kind), city()) == plan.left_alone[0][1]


def test_policy_flag_orders_nothing() -> None:
    """A subscription that says flag leaves every repair to a person."""
    assert by_policy(divergence(1, department=HEALTH)).requests == ()


@pytest.mark.parametrize(
    "state", [DivergenceState.REPAIRING, DivergenceState.EXPLAINED, DivergenceState.ACCEPTED, DivergenceState.RESOLVED]
)
def test_policy_orders_open_ones_only(state: DivergenceState) -> None:
    """What is ordered, explained or accepted already is not ordered again."""
    assert by_policy(divergence(1, state=state)).requests == ()


def test_round_orders_no_more_than_the_cap() -> None:
    """A cap bounds what one round of orders asks of the authority, over all streams; the rest waits for the next."""
    topology = city(repair_cap=3, partitions=2)
    events = [divergence(number, partition=number % 2) for number in range(5)]
    rounds = Rounds(60)

    first = by_policy(*events, topology=topology, rounds=rounds)
    rest = [event for event in events if event.divergence_id not in first.ordered]
    within = by_policy(*rest, topology=topology, rounds=rounds, now_ms=59_999)
    after = by_policy(*rest, topology=topology, rounds=rounds, now_ms=60_000)

    assert sum(len(request.pseudonyms) for request in first.requests) == 3
    assert len(first.left_alone) == 2
    assert within.requests == ()
    assert sum(len(request.pseudonyms) for request in after.requests) == 2


def test_findings_of_one_round_share_its_cap() -> None:
    """Divergences that are found one after the other do not each get a cap of their own."""
    rounds = Rounds(60)
    topology = city(repair_cap=3)

    plans = [by_policy(divergence(n), topology=topology, rounds=rounds, now_ms=n) for n in range(5)]

    assert [len(plan.requests) for plan in plans] == [1, 1, 1, 0, 0]


def test_oldest_divergences_are_ordered_first() -> None:
    """Under a cap nobody is overtaken for ever by newer findings."""
    old = divergence(1).model_copy(update={"opened_at_ms": 1})
    new = divergence(2).model_copy(update={"opened_at_ms": 2})

    plan = by_policy(new, old, topology=city(repair_cap=1))

    assert plan.divergences == (old,)


def test_each_department_is_told_of_its_own_records_alone() -> None:
    """Nobody learns from a request who else holds a record differently."""
    events = [divergence(n, department=d) for n in (1, 2) for d in (FUND, HEALTH)]

    plan = by_policy(*events, divergence(3), topology=city(health="repair"))

    assert {(each.department, frozenset(each.pseudonyms)) for each in plan.requests} == {
        (HEALTH, frozenset({pseudonym(1), pseudonym(2)})),
        (FUND, frozenset({pseudonym(1), pseudonym(2), pseudonym(3)})),
    }
    assert len(plan.ordered) == 5


def test_large_order_is_split() -> None:
    """No order is larger than a message may be."""
    plan = by_policy(*(divergence(n) for n in range(5_001)), topology=city(repair_cap=10_000))

    assert sorted(len(request.pseudonyms) for request in plan.requests) == [1, 5_000]


def test_person_repairs_by_id_whatever_the_state() -> None:
    """A person who knows that something changed may order what was explained or parked."""
    explained = divergence(1, department=HEALTH, state=DivergenceState.EXPLAINED)
    parked = divergence(2, department=HEALTH, kind=DivergenceKind.PARKED)
    choice = RepairChoice(by="Li", reason="column widened", ids=(explained.divergence_id, parked.divergence_id))

    plan = by_person(explained, parked, divergence(3, department=HEALTH), choice=choice)

    assert {each for request in plan.requests for each in request.pseudonyms} == {pseudonym(1), pseudonym(2)}
    assert {(request.by, request.reason) for request in plan.requests} == {("Li", "column widened")}


def test_persons_messages_are_steps_that_a_divergence_may_take() -> None:
    """An explained divergence is opened again before it is repaired, so its history reads right."""
    explained = divergence(1, state=DivergenceState.EXPLAINED)
    plan = by_person(explained, choice=RepairChoice(by="Li", reason="try", ids=(explained.divergence_id,)))

    events = plan.events(now_ms=9)

    ((event,), (request,)) = (events, plan.requests)
    assert (event.state, event.by) == (DivergenceState.REPAIRING, "Li")
    assert event.order_id == event.decision_id == request.order_id
    assert event.note == "try"


def test_person_cannot_have_an_unpublished_record_repaired() -> None:
    """The authority cannot publish it, and the plan says so instead of ordering."""
    event = divergence(1, kind=DivergenceKind.UNPUBLISHED)

    plan = by_person(event, choice=RepairChoice(by="Li", reason="try", ids=(event.divergence_id,)))

    assert plan.requests == ()
    assert "authority" in plan.left_alone[0][1]


def test_person_repairs_a_whole_department_within_the_cap() -> None:
    """Of a department's divergences the open ones that a repair helps are ordered, up to the cap."""
    events = [
        *(divergence(n, department=HEALTH) for n in range(3)),
        divergence(10, department=HEALTH, kind=DivergenceKind.PARKED),
        divergence(11, department=HEALTH, state=DivergenceState.ACCEPTED),
        divergence(12, department=FUND),
    ]

    plan = by_person(*events, choice=RepairChoice(by="Li", reason="monthly", department=HEALTH, cap=2))

    assert len(plan.ordered) == 2
    assert len(plan.left_alone) == 3
    assert all(event.department == HEALTH for event, _ in plan.left_alone)


@pytest.mark.parametrize(
    "choice",
    [
        RepairChoice(by="Li", reason="?", ids=("0123456789abcdef",)),
        RepairChoice(by="Li", reason="?"),
        RepairChoice(by="Li", reason="?", department="health-care"),
    ],
    ids=["unknown id", "nothing", "unknown department"],
)
def test_request_about_nothing_known_is_refused(choice: RepairChoice) -> None:
    """A person who mistypes is told, and nothing is ordered."""
    with pytest.raises(ConfigurationError, match="expected"):
        by_person(divergence(1), choice=choice)


def test_accept_needs_a_reason_and_a_known_id() -> None:
    """An acceptance is signed, says why, and is about a divergence that is there."""
    event = divergence(1)

    (written,) = accept([event], [event.divergence_id], by="Li", reason="file is closed", new_id=ids(), now_ms=3)

    assert (written.state, written.by, written.note) == (DivergenceState.ACCEPTED, "Li", "file is closed")
    with pytest.raises(ConfigurationError, match="reason"):
        accept([event], [event.divergence_id], by="Li", reason=" ", new_id=ids(), now_ms=3)
    with pytest.raises(ConfigurationError, match="ffff"):
        accept([event], ["ffff"], by="Li", reason="closed", new_id=ids(), now_ms=3)


def test_dry_run_says_what_would_be_ordered_and_why_not() -> None:
    """A person sees counts, orders and reasons, and no record's contents."""
    plan = by_policy(divergence(1), divergence(2), divergence(3, department=HEALTH, department_digest=digest("x")))

    text = render_plan(plan)

    assert "repair 2 altered of citizen.identity for provident-fund" in text
    assert "order order-1: citizen.identity/0, 2 records, for provident-fund" in text
    assert "leave alone 1 altered of citizen.identity at healthcare: the subscription says flag" in text
    assert render_plan(by_policy()) == "nothing to repair"
