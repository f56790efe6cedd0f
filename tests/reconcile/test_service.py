"""The service loop: what it reads, what it writes, and how it bears an absent broker and a wrong message."""

from collections import Counter
from collections.abc import Callable
from itertools import count
from threading import Event

import pytest
import structlog
from pydantic import BaseModel
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
from reconcile.memory import Broker
from tellonce.control.messages import (
    DivergenceEvent,
    Evidence,
    Inquiry,
    Order,
    decode_message,
    encode_message,
    stream_key,
)
from tellonce.kafka.control import ControlReader, ControlWriter
from tellonce.kafka.embedded import EmbeddedBroker
from tellonce.kafka.settings import KafkaSettings
from tellonce.model.divergence import DivergenceKind, DivergenceState
from tellonce.reconcile.core import Core
from tellonce.reconcile.policy import ReconciliationPolicy
from tellonce.reconcile.service import Reconciler, epoch_ms
from tellonce.reconcile.status import StreamState
from tellonce.reconcile.transitions import accepted
from tellonce.reconcile.wires import Wires, connect, render_output
from tellonce.topology import Topology
from tellonce.topology.topics import DIVERGENCES, EVIDENCE, INQUIRIES, MARKS, ORDERS, answers, attestations, topics_of
from waiting import wait_until

POLICY = ReconciliationPolicy(undecided_pause_seconds=0.05, drill_pause_seconds=0.1)
HELD = {"0" * 31 + "1": "a" * 32}


class Impatient(Event):
    """A stop that nobody sets, and on which no pause is waited for."""

    def wait(self, timeout: float | None = None) -> bool:
        """Return at once."""
        assert timeout
        return False


def broker(edited: object = "edited") -> Broker:
    made = Broker(
        [
            side(AUTHORITY, {1: "same", 2: "same"}),
            side(FUND, {1: "same", 2: edited}),
            side(HEALTH, {1: "same", 2: "same"}),
        ]
    )
    state_all(made.statements.put, made.sides)
    return made


def state_all(
    put: Callable[[str, BaseModel], None], sides: dict[str, Side], *, sequence: int = 5, at_ms: int = 0
) -> None:
    """Writes the mark and the attestations that follow from what the sides hold."""
    held = {name: {key: each.digest for key, each in one.records.items() if each.digest} for name, one in sides.items()}
    put(MARKS, mark(sequence, held[AUTHORITY]))
    for name in (FUND, HEALTH):
        put(attestations(name), attestation(sequence, held[name], department=name, at_ms=at_ms))


def reconciler(
    wired: Broker, topology: Topology | None = None, clock_ms: Callable[[], int] | None = None
) -> Reconciler:
    of = topology or city(fund="flag")
    core = Core(of, POLICY, new_id=ids())
    wires = Wires(statements=wired.statements, answers=wired.answers, writer=wired)
    ticks = count(1_000_000, 50)
    return Reconciler(core, of, wires, clock_ms=clock_ms or (lambda: next(ticks)))


@pytest.fixture(autouse=True)
def _plain_logs() -> None:
    structlog.reset_defaults()


def test_once_ends_when_all_is_settled_and_written() -> None:
    """`--once` finds the record, writes what it found, says how each stream stands, and ends."""
    wired = broker()
    service = reconciler(wired)

    settled = service.run(Event(), once=True)

    assert settled
    (event,) = (decode_message(DivergenceEvent, value) for value in wired.of(DIVERGENCES))
    assert (event.department, event.kind, event.state) == (FUND, DivergenceKind.ALTERED, DivergenceState.OPEN)
    assert {(each.department, each.state) for each in service.statuses} == {
        (FUND, StreamState.DIVERGED),
        (HEALTH, StreamState.PROVED),
    }
    assert service.divergences == (event,)
    assert {decode_message(Evidence, value).kind for value in wired.of(EVIDENCE)} == {"divergence", "stream_state"}


def test_once_ends_at_its_deadline() -> None:
    """A department that does not answer holds `--once` up until its deadline at most, which is not called settled."""
    wired = broker()
    del wired.sides[FUND]

    settled = reconciler(wired).run(Event(), once=True, deadline_seconds=5)

    assert not settled
    assert wired.of(DIVERGENCES) == []


def test_stop_ends_the_loop() -> None:
    """The service ends soon after it is told to."""
    stop = Event()
    stop.set()

    assert not reconciler(broker()).run(stop)


def test_nothing_is_decided_before_the_topics_are_read() -> None:
    """An old difference, followed by equality further on in the topic, is no difference."""
    wired = broker(edited="same")
    wired.statements.waiting.clear()
    wired.statements.batch = 1
    edited = side(FUND, {1: "same", 2: "edited"})
    for _ in range(50):
        state_all(wired.statements.put, wired.sides | {FUND: edited}, sequence=5)
    state_all(wired.statements.put, wired.sides, sequence=6)

    settled = reconciler(wired).run(Event(), once=True)

    assert settled
    assert wired.of(INQUIRIES) == []


def test_absent_broker_is_waited_for() -> None:
    """A broker that is away pauses the service, and what it could not write is written again."""
    calm = broker()
    reconciler(calm).run(Event(), once=True)
    wired = broker()
    wired.statements.failures = 1
    wired.failures = 1

    with capture_logs() as logs:
        settled = reconciler(wired).run(Impatient(), once=True, deadline_seconds=600)

    assert settled
    assert Counter(topic for topic, _ in wired.written) == Counter(topic for topic, _ in calm.written)
    assert [line["event"] for line in logs].count("reconciler_paused") == 2


@pytest.mark.parametrize(
    ("topic", "message"),
    [
        (MARKS, b"{}"),
        (MARKS, b"\xff not json"),
        (attestations(FUND), b'{"format": 2}'),
        (DIVERGENCES, b"[]"),
    ],
)
def test_message_that_is_none_is_skipped(topic: str, message: bytes) -> None:
    """One bad message on a control topic stops neither the service nor the streams."""
    wired = broker()
    wired.statements.put(topic, message)

    with capture_logs() as logs:
        settled = reconciler(wired).run(Event(), once=True)

    assert settled
    (line,) = [line for line in logs if line["event"] == "control_message_skipped"]
    assert line["topic"] == topic


def test_department_cannot_speak_for_another() -> None:
    """Who says something follows from the topic, which the broker guards, not from the message."""
    wired = broker(edited="same")
    forged = attestation(5, HELD, department=HEALTH, at_ms=99)
    wired.statements.put(attestations(FUND), forged)

    with capture_logs() as logs:
        reconciler(wired).run(Event(), once=True)

    assert [line["event"] for line in logs].count("control_message_refused") == 1
    assert wired.of(DIVERGENCES) == []


def test_forged_answer_is_refused() -> None:
    """A department cannot answer for the authority."""
    wired = broker()
    lie = wired.sides[AUTHORITY].answer
    wired.sides[FUND].answer = lie  # type: ignore[method-assign]  # it answers on its own topic in the authority's name

    with capture_logs() as logs:
        settled = reconciler(wired).run(Event(), once=True, deadline_seconds=5)

    assert not settled
    assert "control_message_refused" in [line["event"] for line in logs]


def test_restart_takes_up_what_the_topic_holds() -> None:
    """A second run knows the divergence, and neither asks nor writes again."""
    first = broker()
    reconciler(first).run(Event(), once=True)
    second = broker()
    for value in first.of(DIVERGENCES):
        second.statements.put(DIVERGENCES, value)

    settled = reconciler(second).run(Event(), once=True)

    assert settled
    assert second.of(INQUIRIES) == []
    assert second.of(DIVERGENCES) == []


def test_persons_decision_is_heard_while_running() -> None:
    """An acceptance written to the topic takes effect without a restart."""
    wired = broker()
    service = reconciler(wired)
    service.run(Event(), once=True)
    (event,) = service.divergences

    wired.statements.put(DIVERGENCES, accepted(event, by="Li", reason="closed", now_ms=1))
    service.run(Event(), once=True)

    assert [each.state for each in service.divergences] == [DivergenceState.ACCEPTED]


def test_contradictory_mark_is_logged_as_an_error() -> None:
    """An authority that contradicts itself is seen."""
    wired = broker(edited="same")
    wired.statements.put(MARKS, mark(5, HELD))

    with capture_logs() as logs:
        reconciler(wired).run(Event(), once=True, deadline_seconds=5)

    assert ("mark_contradicted", "error") in [(line["event"], line["log_level"]) for line in logs]


def test_no_log_line_holds_more_than_names_and_numbers() -> None:
    """Logs name divergences by id and streams by name, never a digest, nor a pseudonym at info."""
    with capture_logs() as logs:
        reconciler(broker(), city(fund="repair")).run(Event(), once=True, deadline_seconds=5)

    text = " ".join(str(value) for line in logs for value in line.values())
    assert divergence(2).divergence_id in text
    assert pseudonym(2) not in text
    assert digest("edited") not in text


def test_each_message_has_its_topic_and_key() -> None:
    """Messages about a stream keep their order by its key, and the newest of a divergence is found by its id."""
    inquiry = Inquiry(view="v", partition=3, inquiry_id="i", departments=(), ask="buckets", at_ms=0)
    order = Order(view="v", partition=3, order_id="o", action="repair", by="x", reason="y", at_ms=0)
    evidence = Evidence(source="reconciler", kind="k", facts={}, at_ms=0)

    rendered = [render_output(each)[:2] for each in (inquiry, order, divergence(1), evidence)]

    assert rendered == [
        (INQUIRIES, stream_key("v", 3)),
        (ORDERS, stream_key("v", 3)),
        (DIVERGENCES, divergence(1).divergence_id.encode()),
        (EVIDENCE, b"reconciler"),
    ]


@pytest.mark.server
def test_over_a_broker_the_divergence_is_found_repaired_and_resolved() -> None:
    """The whole exchange over Kafka's protocol: statements, inquiries, answers, an order, and the end of it."""
    topology = city(fund="repair")
    same = {1: "same", 2: "same"}
    sides = {AUTHORITY: side(AUTHORITY, same), HEALTH: side(HEALTH, same), FUND: side(FUND, {1: "same", 2: "edited"})}
    with EmbeddedBroker() as embedded:
        for spec in topics_of(topology):
            embedded.create_topic(spec.name, partitions=spec.partitions)
        settings = KafkaSettings(bootstrap_servers=embedded.bootstrap_servers)
        with (
            ControlWriter(settings, "sides") as writer,
            ControlReader(settings, "asked", [INQUIRIES]) as asked,
            ControlReader(settings, "relay", [ORDERS]) as ordered,
            connect(settings, topology) as wires,
        ):

            def put(topic: str, message: BaseModel) -> None:
                writer.write(topic, stream_key("citizen.identity", 0), encode_message(message))
                writer.flush()

            service = Reconciler(Core(topology, POLICY, new_id=ids()), topology, wires)
            state_all(put, sides)
            wait_until(lambda: _turn(service, asked, sides, put) and service.divergences, what="a finding")
            orders = _repairs(ordered)
            sides[FUND] = side(FUND, same)
            # By the department's clock, which is this machine's here, it states this after it answered.
            state_all(put, sides, sequence=6, at_ms=epoch_ms() + 1)
            wait_until(lambda: _turn(service, asked, sides, put) and not service.divergences, what="its end")

    assert [order.departments for order in orders] == [(FUND,)]
    assert {status.state for status in service.statuses} == {StreamState.PROVED}


def _turn(
    service: Reconciler, asked: ControlReader, sides: dict[str, Side], put: Callable[[str, BaseModel], None]
) -> bool:
    """Lets the service work for a moment, and the sides answer what it has asked."""
    service.run(Event(), once=True, deadline_seconds=0.3)
    for message in asked.poll(0.1):
        inquiry = decode_message(Inquiry, message.value or b"")
        for name in inquiry.departments:
            put(answers(name), sides[name].answer(inquiry, epoch_ms()))
    return bool(service.statuses)


def _repairs(reader: ControlReader) -> list[Order]:
    found: list[Order] = []

    def has_come() -> bool:
        found.extend(decode_message(Order, message.value or b"") for message in reader.poll(0.1))
        return any(order.action == "repair" for order in found)

    wait_until(has_come, what="an order")
    return [order for order in found if order.action == "repair"]
