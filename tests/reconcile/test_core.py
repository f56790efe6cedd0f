"""The reconciler's decisions: when it asks, what it writes, and how the streams stand."""

from itertools import pairwise

from reconcile.bench import EDITED, HELD, POLICY, Bench, of
from reconcile.builders import (
    AUTHORITY,
    FUND,
    HEALTH,
    attestation,
    city,
    digest,
    divergence,
    entry,
    ids,
    mark,
    pseudonym,
    side,
)
from tellonce.control.messages import Answer, DivergenceEvent, Evidence, Inquiry, Order, RepairRequest
from tellonce.model.divergence import DivergenceKind, DivergenceState, RecordState
from tellonce.reconcile.core import Core, Taken
from tellonce.reconcile.status import StreamState
from tellonce.reconcile.transitions import accepted


def test_equal_sums_are_proved_without_a_question() -> None:
    """Equal data costs the departments nothing but their attestations."""
    bench = Bench().statements(fund=HELD)

    bench.step()

    assert of(Inquiry, bench.written) == []
    assert bench.status().state is StreamState.PROVED
    assert (bench.status().proved_epoch, bench.status().proved_sequence) == (1, 5)
    assert bench.core.is_settled


def test_difference_is_drilled_down_to_the_record() -> None:
    """From different sums to the one record that differs, and only of the department that differs."""
    bench = Bench().statements()

    bench.step()

    assert bench.changes() == [(FUND, DivergenceKind.ALTERED, DivergenceState.OPEN)]
    assert bench.status().state is StreamState.DIVERGED
    assert bench.status().divergences == {DivergenceState.OPEN: 1}
    assert bench.status(HEALTH).state is StreamState.PROVED
    assert not any(HEALTH in inquiry.departments for inquiry in of(Inquiry, bench.written))
    assert bench.core.is_settled


def test_known_difference_is_not_drilled_down_again() -> None:
    """A flagged divergence that stands for months costs no inquiry at each new mark."""
    bench = Bench().statements()
    bench.step()

    asked = []
    for sequence in range(6, 20):
        bench.statements(sequence=sequence, at_ms=sequence)
        asked += of(Inquiry, bench.step(60_000))

    assert asked == []
    assert bench.status().state is StreamState.DIVERGED
    assert bench.status().is_explained


def test_known_difference_survives_a_restart() -> None:
    """Divergences are read again at a start, so that nothing is asked or reported twice."""
    first = Bench().statements()
    first.step()

    second = Bench(known=of(DivergenceEvent, first.written)).statements()
    second.step()

    assert of(Inquiry, second.written) == []
    assert second.changes() == []
    assert second.status().is_explained


def test_restart_in_the_middle_of_a_drill_down_begins_it_again() -> None:
    """Questions that were open at a crash are asked anew, and old answers are not mistaken for theirs."""
    first = Bench().statements()
    (inquiry,) = of(Inquiry, first.step(answering=False))
    late = first.sides[FUND].answer(inquiry)

    second = Bench().statements()
    second.core = Core(city(fund="flag"), POLICY, new_id=ids("after"))
    second.statements()
    second.step(answering=False)
    taken = second.core.take_answer(late, second.now_ms)
    second.step(POLICY_TIMEOUT_MS)

    assert taken is Taken.LATE
    assert second.changes() == [(FUND, DivergenceKind.ALTERED, DivergenceState.OPEN)]


POLICY_TIMEOUT_MS = int(POLICY.answer_timeout_seconds * 1000)


def test_second_edit_beside_a_known_one_is_drilled_down() -> None:
    """A difference that the known divergences do not add up to is looked into."""
    bench = Bench().statements()
    bench.step()
    bench.sides[FUND].records[pseudonym(1)] = entry("edited too", number=1)

    bench.statements(fund={pseudonym(1): digest("edited too"), pseudonym(2): digest("edited")}, sequence=6, at_ms=1)
    bench.step(60_000)

    assert bench.status().divergences == {DivergenceState.OPEN: 2}


def test_equal_sums_later_resolve_the_divergence() -> None:
    """When the department states the authority's sum again, the divergence is over."""
    bench = Bench().statements()
    bench.step()
    bench.sides[FUND] = side(FUND, {1: "same", 2: "same"})

    bench.statements(fund=HELD, sequence=6, at_ms=bench.now_ms + 1)
    bench.step(1_000)

    assert bench.changes()[-1] == (FUND, DivergenceKind.ALTERED, DivergenceState.RESOLVED)
    assert bench.status().state is StreamState.PROVED


def test_equal_sums_stated_before_the_finding_do_not_hide_it() -> None:
    """An attestation that was on its way while the department answered otherwise is no proof, and is looked into."""
    bench = Bench().statements()
    bench.step()

    bench.statements(fund=HELD, sequence=6, at_ms=5)
    asked = of(Inquiry, bench.step(60_000))

    assert bench.status().state is StreamState.DIVERGED
    assert asked != []


def test_department_behind_the_newest_mark_is_behind() -> None:
    """A department that is on its way is still said to be proved where it was compared last."""
    bench = Bench().statements(fund=HELD)
    bench.core.take_mark(mark(6, HELD))

    bench.step()

    assert bench.status().state is StreamState.BEHIND
    assert bench.status().proved_sequence == 5
    assert bench.status().mark == (1, 6)
    assert not bench.core.is_settled


def test_stream_that_cannot_be_compared_is_unknown() -> None:
    """Before the first pair, and after a new epoch, a department is neither equal nor diverged."""
    fresh = Bench()
    fresh.step()
    renewed = Bench().statements(fund=HELD)
    renewed.core.take_mark(mark(1, HELD, epoch=2))
    renewed.step()

    assert fresh.status().state is StreamState.UNKNOWN
    assert renewed.status().state is StreamState.UNKNOWN
    assert renewed.status().proved_sequence is None


def test_new_epoch_ends_a_running_drill_down() -> None:
    """Questions about an epoch that is over are not asked on."""
    bench = Bench().statements()
    bench.step(answering=False)

    bench.core.take_mark(mark(1, HELD, epoch=2))
    outputs = bench.step(60_000)

    assert of(Inquiry, outputs) == []
    assert not bench.core.is_asking


def test_fruitless_drill_downs_become_rare() -> None:
    """A difference that a drill-down cannot find (it was over already) is not drilled down every few seconds."""
    bench = Bench().statements()
    bench.sides[FUND] = side(FUND, {1: "same", 2: "same"})

    times = [bench.now_ms for _ in range(100) if of(Inquiry, bench.step(1_000))]

    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps == [5_000, 10_000, 20_000, 20_000, 20_000, 20_000]


def test_repair_is_ordered_at_once_and_written_before_its_state() -> None:
    """A crash between the two messages may order a repair twice, but never leave one that was not ordered."""
    bench = Bench(city(fund="repair")).statements()

    bench.step()

    kinds = [
        (type(each).__name__, getattr(each, "state", None))
        for each in bench.written
        if isinstance(each, RepairRequest | DivergenceEvent)
    ]
    assert kinds == [
        ("DivergenceEvent", DivergenceState.OPEN),
        ("RepairRequest", None),
        ("DivergenceEvent", DivergenceState.REPAIRING),
    ]


def test_repair_that_does_not_help_ends_as_explained_without_new_sums() -> None:
    """A repair that reads back the same leaves the sums as they are, so the reconciler must look by itself."""
    bench = Bench(city(fund="repair")).statements()
    bench.step()
    for name in (AUTHORITY, FUND):
        repaired = bench.sides[name].records[pseudonym(2)]
        bench.sides[name].records[pseudonym(2)] = repaired.model_copy(update={"sequence": 6})
    bench.statements(sequence=6, at_ms=1)
    assert of(Inquiry, bench.step(29_000)) == []

    bench.step(1_000)
    requests = of(RepairRequest, bench.step(600_000))

    assert bench.changes()[-1] == (FUND, DivergenceKind.ALTERED, DivergenceState.EXPLAINED)
    assert requests == []
    assert bench.status().is_explained


def test_settled_waits_for_the_look_after_a_repair() -> None:
    """A stream whose difference is known is not settled while the reconciler looks whether the repair helped."""
    bench = Bench(city(fund="repair")).statements()
    bench.step()
    assert bench.core.is_settled

    bench.step(30_000, answering=False)

    assert bench.core.is_asking
    assert not bench.core.is_settled


def test_accepted_divergence_is_not_repaired() -> None:
    """What a person accepted before the order is left as it is."""
    seen = divergence(2, authority_digest=digest("same"), department_digest=digest("edited"))
    known = accepted(seen, by="Li", reason="file is closed", decision_id="d-1", now_ms=1)

    bench = Bench(city(fund="repair"), known=[known]).statements()
    bench.step()

    assert of(RepairRequest, bench.written) == []


def test_acceptance_from_the_topic_is_heard() -> None:
    """A person's decision takes effect while the reconciler runs."""
    bench = Bench().statements()
    bench.step()
    (event,) = of(DivergenceEvent, bench.written)

    decision = accepted(event, by="Li", reason="closed", decision_id="d-1", now_ms=1)
    bench.core.take_decision(decision, bench.now_ms)
    bench.step()

    assert bench.status().divergences == {DivergenceState.ACCEPTED: 1}


def test_ended_subscription_closes_its_divergences_at_the_start() -> None:
    """A divergence of a department that the topology no longer names is not kept open for ever."""
    stranger = divergence(1, department="civil-affairs")

    bench = Bench(known=[stranger])
    bench.step()

    assert bench.changes() == [("civil-affairs", DivergenceKind.ALTERED, DivergenceState.RESOLVED)]


def test_statements_by_those_who_may_not_speak_are_refused() -> None:
    """Only the authority marks, only subscribers attest, and only about streams that there are."""
    core = Bench().core

    assert core.take_mark(mark(1, department=FUND)) is Taken.FOREIGN
    assert core.take_mark(mark(1, view="citizen.residence")) is Taken.FOREIGN
    assert core.take_mark(mark(1, partition=1)) is Taken.FOREIGN
    assert core.take_attestation(attestation(1, department=AUTHORITY)) is Taken.FOREIGN
    assert core.take_answer(_answer("civil-affairs"), 0) is Taken.FOREIGN


def _answer(department: str) -> Answer:
    return Answer(
        view="citizen.identity", partition=0, inquiry_id="x", department=department, epoch=1, position=1, at_ms=0
    )


def test_contradictory_mark_is_told() -> None:
    """Two sums for one position are an authority's error, which somebody must see."""
    core = Bench().statements().core

    assert core.take_mark(mark(5, EDITED)) is Taken.CONTRADICTORY


def test_settled_waits_for_the_newest_mark_and_every_open_question() -> None:
    """`--once` may end only when every stream was compared at its newest mark and nothing is being asked."""
    bench = Bench().statements()
    assert not bench.core.is_settled
    bench.step(answering=False)
    assert bench.core.is_asking
    assert not bench.core.is_settled

    bench.step(POLICY_TIMEOUT_MS)

    assert bench.core.is_settled


def test_stream_without_a_mark_does_not_hold_up_the_end() -> None:
    """What no authority has published yet cannot be compared, and is not waited for."""
    bench = Bench(city(partitions=3)).statements(fund=HELD)

    bench.step()

    assert bench.core.is_settled


def test_evidence_tells_of_each_divergence_and_of_lasting_states_only() -> None:
    """For assessment: each step of a divergence, and when a stream began or ceased to agree, not each moment behind."""
    bench = Bench().statements(fund=HELD)
    bench.step()
    bench.core.take_mark(mark(6, HELD))
    bench.step()
    bench.core.take_attestation(attestation(6, EDITED, at_ms=1))
    bench.core.take_attestation(attestation(6, HELD, department=HEALTH, at_ms=1))
    bench.step()

    kinds = [(each.kind, each.facts["department"], each.facts["state"]) for each in of(Evidence, bench.written)]
    assert kinds == [
        ("stream_state", HEALTH, "proved"),
        ("stream_state", FUND, "proved"),
        ("stream_state", FUND, "diverged"),
        ("divergence", FUND, "open"),
    ]


def test_proof_is_counted_in_held_records() -> None:
    """A status tells how many records a proof speaks of."""
    bench = Bench().statements(fund=HELD)

    bench.step()

    assert bench.status().states == {RecordState.HELD: 2}


def test_since_is_when_the_state_began() -> None:
    """A state keeps its beginning while it lasts, also when statements repeat it; at a start the topics tell it."""
    bench = Bench().statements(fund=HELD, at_ms=777)
    bench.step()
    first = bench.status().since_ms
    bench.statements(fund=HELD, sequence=6, at_ms=888)
    bench.step(1_000)

    assert (first, bench.status().since_ms) == (777, 777)


def test_tombstones_are_ordered_when_all_have_attested() -> None:
    """The reconciler tells the authority how far deletes may be forgotten."""
    bench = Bench().statements(fund=HELD)

    bench.step()

    (order,) = of(Order, bench.written)
    assert (order.action, order.epoch, order.up_to_sequence) == ("tombstones", 1, 5)
