"""The service loop: what it reads, what it writes, and how it bears an absent broker and a wrong message."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from itertools import count
from threading import Event

import pytest
import structlog
from structlog.testing import capture_logs

from reconcile.builders import (
    AUTHORITY,
    FUND,
    HEALTH,
    Side,
    attestation,
    city,
    digest,
    divergence,
    ids,
    mark,
    pseudonym,
    side,
)
from reconcile.memory import Town, statements_of
from reconcile.running import run_once
from tellonce.control.channel import Channel
from tellonce.control.messages import DivergenceEvent, Evidence, Inquiry, RepairRequest
from tellonce.kafka.channel import KafkaChannel
from tellonce.kafka.embedded import EmbeddedBroker
from tellonce.kafka.settings import KafkaSettings
from tellonce.model.divergence import DivergenceKind, DivergenceState
from tellonce.reconcile.core import Core
from tellonce.reconcile.policy import ReconciliationPolicy
from tellonce.reconcile.service import Reconciler, epoch_ms
from tellonce.reconcile.status import StreamState
from tellonce.reconcile.transitions import accepted
from tellonce.testing.channel import unsigned
from tellonce.topology import Topology
from tellonce.topology.topics import OPERATOR, RECONCILER, attestations, divergences, evidence, marks, topics_of
from waiting import wait_until

POLICY = ReconciliationPolicy(undecided_pause_seconds=0.05, drill_pause_seconds=0.1)
FOUND = divergences(RECONCILER)
HELD = {"0" * 31 + "1": "a" * 32}


class Impatient(Event):
    """A stop that nobody sets, and on which no pause is waited for."""

    def wait(self, timeout: float | None = None) -> bool:
        """Return at once."""
        assert timeout
        return False


def broker(edited: object = "edited") -> Town:
    made = Town(
        [
            side(AUTHORITY, {1: "same", 2: "same"}),
            side(FUND, {1: "same", 2: edited}),
            side(HEALTH, {1: "same", 2: "same"}),
        ]
    )
    made.state_all()
    return made


def reconciler(town: Town, topology: Topology | None = None, clock_ms: Callable[[], int] | None = None) -> Reconciler:
    of = topology or city(fund="flag")
    core = Core(of, POLICY, new_id=ids())
    ticks = count(1_000_000, 50)
    return Reconciler(core, of, town.reconciler(), clock_ms=clock_ms or (lambda: next(ticks)))


@pytest.fixture(autouse=True)
def _plain_logs() -> None:
    structlog.reset_defaults()


def test_once_ends_when_all_is_settled_and_written() -> None:
    """`--once` finds the record, writes what it found, says how each stream stands, and ends."""
    wired = broker()
    service = reconciler(wired)

    settled = run_once(service)

    assert settled
    (event,) = wired.read(FOUND, DivergenceEvent)
    assert (event.department, event.kind, event.state) == (FUND, DivergenceKind.ALTERED, DivergenceState.OPEN)
    assert {(each.department, each.state) for each in service.statuses} == {
        (FUND, StreamState.DIVERGED),
        (HEALTH, StreamState.PROVED),
    }
    assert service.divergences == (event,)
    assert {each.kind for each in wired.read(evidence(RECONCILER), Evidence)} == {"divergence", "stream_state"}


def test_once_ends_at_its_deadline() -> None:
    """A department that does not answer holds `--once` up until its deadline at most, which is not called settled."""
    wired = broker()
    del wired.sides[FUND]

    settled = run_once(reconciler(wired), deadline_seconds=5)

    assert not settled
    assert wired.of(FOUND) == ()


def test_stop_ends_the_loop() -> None:
    """The service ends soon after it is told to."""
    stop = Event()
    stop.set()

    assert not run_once(reconciler(broker()), stop=stop)


def test_nothing_is_decided_before_the_topics_are_read() -> None:
    """An old difference, followed by equality further on in the topic, is no difference."""
    wired = broker()
    for _ in range(50):
        wired.state_all(sequence=5)
    wired.sides[FUND] = side(FUND, {1: "same", 2: "same"})
    wired.state_all(sequence=6)
    channel = wired.reconciler()
    channel.batch = 1
    of, ticks = city(fund="flag"), count(1_000_000, 50)

    settled = run_once(Reconciler(Core(of, POLICY, new_id=ids()), of, channel, clock_ms=lambda: next(ticks)))

    assert settled
    assert wired.asked() == []


def test_absent_broker_is_waited_for() -> None:
    """A broker that is away pauses the service, and what it could not write is written again."""
    calm = broker()
    run_once(reconciler(calm))
    wired = broker()
    wired.failures = 2

    with capture_logs() as logs:
        settled = run_once(reconciler(wired), stop=Impatient(), deadline_seconds=600)

    assert settled
    topics = [spec.name for spec in topics_of(city())]
    assert [len(wired.of(topic)) for topic in topics] == [len(calm.of(topic)) for topic in topics]
    assert [line["event"] for line in logs].count("service_paused") == 2


@pytest.mark.parametrize(
    ("topic", "message"),
    [
        (marks(AUTHORITY), b"{}"),
        (marks(AUTHORITY), b"\xff not json"),
        (attestations(FUND), b'{"format": 2}'),
        (FOUND, b"[]"),
        (divergences(OPERATOR), b"[" * 100_000),
    ],
)
def test_message_that_is_none_is_skipped(topic: str, message: bytes) -> None:
    """One bad message on a control topic stops neither the service nor the streams."""
    wired = broker()
    wired.put(topic, message)

    with capture_logs() as logs:
        settled = run_once(reconciler(wired))

    assert settled
    (line,) = [line for line in logs if line["event"] == "control_message_skipped"]
    assert line["topic"] == topic


def test_department_cannot_speak_for_another() -> None:
    """Who says something follows from the topic, which the broker guards, not from the message."""
    wired = broker(edited="same")
    forged = attestation(5, HELD, department=HEALTH, at_ms=99)
    wired.put(attestations(FUND), forged)

    with capture_logs() as logs:
        run_once(reconciler(wired))

    assert [line["event"] for line in logs].count("control_message_refused") == 1
    assert wired.of(FOUND) == ()


def test_forged_answer_is_refused() -> None:
    """A department cannot answer for the authority."""
    wired = broker()
    lie = wired.sides[AUTHORITY].answer
    wired.sides[FUND].answer = lie  # type: ignore[method-assign]  # it answers on its own topic in the authority's name

    with capture_logs() as logs:
        settled = run_once(reconciler(wired), deadline_seconds=5)

    assert not settled
    assert "control_message_refused" in [line["event"] for line in logs]


def test_restart_takes_up_what_the_topic_holds() -> None:
    """A second run knows the divergence, and neither asks nor writes again."""
    first = broker()
    run_once(reconciler(first))
    second = broker()
    for value in first.of(FOUND):
        second.put(FOUND, value)

    settled = run_once(reconciler(second))

    assert settled
    assert second.asked() == []
    assert len(second.of(FOUND)) == len(first.of(FOUND))


def test_persons_decision_is_heard_while_running() -> None:
    """An acceptance written to the topic takes effect without a restart."""
    wired = broker()
    service = reconciler(wired)
    run_once(service)
    (event,) = service.divergences

    wired.say(OPERATOR, accepted(event, by="Li", reason="closed", decision_id="d-1", now_ms=1))
    run_once(service)

    assert [each.state for each in service.divergences] == [DivergenceState.ACCEPTED]


def test_contradictory_mark_is_logged_as_an_error() -> None:
    """An authority that contradicts itself is seen."""
    wired = broker(edited="same")
    wired.put(marks(AUTHORITY), mark(5, HELD))

    with capture_logs() as logs:
        run_once(reconciler(wired), deadline_seconds=5)

    assert ("mark_contradicted", "error") in [(line["event"], line["log_level"]) for line in logs]


def test_no_log_line_holds_more_than_names_and_numbers() -> None:
    """Logs name divergences by id and streams by name, never a digest, nor a pseudonym at info."""
    with capture_logs() as logs:
        run_once(reconciler(broker(), city(fund="repair")), deadline_seconds=5)

    text = " ".join(str(value) for line in logs for value in line.values())
    assert divergence(2).divergence_id in text
    assert pseudonym(2) not in text
    assert digest("edited") not in text


@pytest.mark.server
def test_over_a_broker_the_divergence_is_found_repaired_and_resolved() -> None:
    """The whole exchange over Kafka's protocol: statements, inquiries, answers, an order, and the end of it."""
    topology = city(fund="repair")
    same = {1: "same", 2: "same"}
    sides = {AUTHORITY: side(AUTHORITY, same), HEALTH: side(HEALTH, same), FUND: side(FUND, {1: "same", 2: "edited"})}
    with EmbeddedBroker() as embedded, ExitStack() as stack:
        for spec in topics_of(topology):
            embedded.create_topic(spec.name, partitions=spec.partitions)
        settings = KafkaSettings(bootstrap_servers=embedded.bootstrap_servers)

        def channel(speaker: str) -> KafkaChannel:
            return stack.enter_context(KafkaChannel(settings, speaker, f"test-{speaker}", unsigned()))

        def state(sequence: int, at_ms: int = 0) -> None:
            for _, message in statements_of(sides, sequence=sequence, at_ms=at_ms):
                channels[message.department].say(message)  # type: ignore[attr-defined,arg-type]  # marks and attestations
            for each in channels.values():
                each.flush()

        channels = {name: channel(name) for name in sides}
        for each in channels.values():
            each.listen(Inquiry, (RECONCILER,), "now")
        channels[FUND].listen(RepairRequest, (RECONCILER,), "beginning")
        service = Reconciler(Core(topology, POLICY, new_id=ids()), topology, channel(RECONCILER))
        state(5)
        wait_until(lambda: _turn(service, channels, sides) and service.divergences, what="a finding")
        requests = _requests(channels[FUND])
        sides[FUND] = side(FUND, same)
        # By the department's clock, which is this machine's here, it states this after it answered.
        state(6, epoch_ms() + 1)
        wait_until(lambda: _turn(service, channels, sides) and not service.divergences, what="its end")

    assert [request.department for request in requests] == [FUND]
    assert {status.state for status in service.statuses} == {StreamState.PROVED}


def _turn(service: Reconciler, channels: Mapping[str, Channel], sides: dict[str, Side]) -> bool:
    """Lets the service work for a moment, and the sides answer what they are asked."""
    run_once(service, deadline_seconds=0.3)
    for name, channel in channels.items():
        for heard in channel.hear(Inquiry, 0.05):
            assert heard.message.departments == (name,)
            channel.say(sides[name].answer(heard.message, epoch_ms()))
        channel.flush()
    return bool(service.statuses)


def _requests(channel: Channel) -> list[RepairRequest]:
    found: list[RepairRequest] = []

    def has_come() -> bool:
        found.extend(heard.message for heard in channel.hear(RepairRequest, 0.1))
        return bool(found)

    wait_until(has_come, what="a request")
    return found
