"""Each fault of Kafka that `tellonce doctor` looks for, planted in a broker and a network that are none."""

from typing import Any

import pytest

from cli.planting import DEPARTMENT, FakeBroker, World, assert_finding, facts, look, states
from tellonce.cli.doctor.checks import State
from tellonce.cli.doctor.host import addresses_of
from tellonce.kafka.admin import Absence
from tellonce.model.errors import ConfigurationError, RetryableError


@pytest.mark.parametrize(
    ("world", "check", "sentence"),
    [
        (World(unknown=frozenset({"kafka.example"})), "broker name", "none for kafka.example:9092 (Name or service"),
        (World(silent=frozenset({"kafka.example"})), "broker port", "nobody at kafka.example:9092 (no answer in time)"),
        (World(broker=FakeBroker(refusal=RetryableError("login refused"))), "broker login", "login refused"),
    ],
)
def test_broker_that_is_away_fails_at_the_first_step_that_shows_it(
    given: dict[str, Any], world: World, check: str, sentence: str
) -> None:
    """Name, port and login are told apart, and what comes after is skipped."""
    found = look(given, world)

    assert_finding(found[check], State.FAIL, sentence, "TELLONCE_KAFKA__BOOTSTRAP_SERVERS")
    assert found[check].exit_code == 4
    assert states(found, State.FAIL) == {check}
    assert {"topics", "rights"} <= states(found, State.SKIPPED)


def test_one_broker_of_several_that_is_away_is_a_warning(given: dict[str, Any]) -> None:
    """One of the list is enough to begin."""
    given["kafka"] |= {"bootstrap_servers": "kafka.example:9092,gone.example"}

    unknown = look(given, World(unknown=frozenset({"gone.example"})))
    silent = look(given, World(silent=frozenset({"gone.example"})))

    assert_finding(unknown["broker name"], State.WARN, "gone.example:9092", "BOOTSTRAP_SERVERS")
    assert_finding(silent["broker port"], State.WARN, "gone.example:9092", "BOOTSTRAP_SERVERS")
    assert not states(unknown, State.FAIL) | states(silent, State.FAIL)


@pytest.mark.parametrize(
    ("world", "why"),
    [
        (World(unknown=frozenset({"inner"})), "which this machine cannot resolve"),
        (World(silent=frozenset({"inner"})), "where nothing answers this machine"),
    ],
)
def test_advertised_address_that_cannot_be_reached_is_named(given: dict[str, Any], world: World, why: str) -> None:
    """The classic mistake: the broker answers, but tells clients to go on where they cannot."""
    world.broker.brokers = ("kafka.example:9092", "inner:9092")

    finding = look(given, world)["broker addresses"]

    assert_finding(finding, State.FAIL, "the broker at kafka.example:9092 answered, but tells clients to connect", "")
    assert "inner:9092" in finding.sentence
    assert why in finding.sentence
    assert "advertised.listeners" in finding.sentence


@pytest.mark.parametrize(
    ("broker", "state"),
    [
        (FakeBroker(protocol=False), State.FAIL),
        (FakeBroker(protocol=None), State.WARN),
        (FakeBroker(is_embedded=True), State.FAIL),
    ],
)
def test_broker_without_the_group_protocol_is_told(given: dict[str, Any], broker: FakeBroker, state: State) -> None:
    """An applier would wait for its partitions for ever; the setting that mends it is named."""
    found = look(given, World(broker=broker))["broker version"]

    assert_finding(found, state, "", "TELLONCE_KAFKA__GROUP_PROTOCOL")


VIEW_TOPIC = "citizen.identity.v1"
MARKS = "tellonce.marks.civil-affairs"


@pytest.mark.parametrize(
    ("broker", "state", "sentence", "remedy"),
    [
        (FakeBroker(changed={MARKS: Absence.MISSING}), State.FAIL, MARKS, "topics apply"),
        (FakeBroker(changed={MARKS: Absence.MISSING}, is_embedded=True), State.FAIL, MARKS, "topics apply"),
        (FakeBroker(changed={VIEW_TOPIC: facts(VIEW_TOPIC, 1)}), State.FAIL, "it has 1 partitions", "topics plan"),
        (
            FakeBroker(changed={VIEW_TOPIC: facts(VIEW_TOPIC, 1)}, shows_settings=False),
            State.FAIL,
            "has 1 partitions",
            "topics plan",
        ),
        (
            FakeBroker(overrides={VIEW_TOPIC: {"cleanup.policy": "delete"}}),
            State.FAIL,
            "cleanup.policy delete -> compact",
            "topics apply",
        ),
        (
            FakeBroker(overrides={MARKS: {"cleanup.policy": "compact"}}),
            State.FAIL,
            "cleanup.policy is compact",
            "topics plan",
        ),
        (FakeBroker(overrides={MARKS: {"retention.ms": "5"}}), State.WARN, "retention.ms 5 -> ", "topics apply"),
        (
            FakeBroker(overrides={MARKS: {"min.insync.replicas": "2"}}),
            State.WARN,
            "min.insync.replicas is 2",
            "topics plan",
        ),
    ],
)
def test_topic_that_is_not_as_the_topology_says_is_told(
    given: dict[str, Any], broker: FakeBroker, state: State, sentence: str, remedy: str
) -> None:
    """What loses records or parts their versions fails; other drift is a warning."""
    given["kafka"] |= {"group_protocol": "classic"}

    assert_finding(look(given, World(broker=broker))["topics"], state, sentence, remedy)


def test_topics_of_other_departments_are_not_this_ones_business(given: dict[str, Any]) -> None:
    """A department is not told of topics that it neither reads nor writes."""
    broker = FakeBroker(changed={"citizen.residence.v1": Absence.MISSING})

    assert look(given, World(broker=broker))["topics"].state is State.OK
    assert look(given, World(broker=broker), None)["topics"].state is State.FAIL


def test_topics_that_are_hidden_without_a_department_are_a_warning(given: dict[str, Any]) -> None:
    """A department's user sees only its own; that is as it should be."""
    broker = FakeBroker(changed={MARKS: Absence.HIDDEN})

    assert_finding(look(given, World(broker=broker), None)["topics"], State.WARN, MARKS, "administrator")


@pytest.mark.parametrize(
    ("broker", "sentence"),
    [
        (FakeBroker(changed={MARKS: Absence.HIDDEN}), f"write {MARKS}"),
        (FakeBroker(changed={VIEW_TOPIC: facts(VIEW_TOPIC, 4, frozenset({"WRITE"}))}), f"read {VIEW_TOPIC}"),
        (FakeBroker(changed={MARKS: facts(MARKS, 1, frozenset({"READ"}))}), f"write {MARKS}"),
        (FakeBroker(group=None), f"read as group tellonce.{DEPARTMENT}"),
        (FakeBroker(group=frozenset({"DESCRIBE"})), f"read as group tellonce.{DEPARTMENT}"),
    ],
)
def test_right_that_is_missing_is_named(given: dict[str, Any], broker: FakeBroker, sentence: str) -> None:
    """Reading without a right gives neither messages nor an error."""
    found = look(given, World(broker=broker))

    assert_finding(found["rights"], State.FAIL, sentence, "tellonce topics apply")
    assert states(found, State.FAIL) == {"rights"}


def test_right_to_see_settings_is_asked_for_and_not_required(given: dict[str, Any]) -> None:
    """Without it services run and their drift is unknown, so it is a warning; what stops a service comes first."""
    view, own = facts(VIEW_TOPIC, 4, frozenset({"READ", "WRITE"})), facts(MARKS, 1, frozenset({"WRITE"}))
    closed = facts(MARKS, 1, frozenset({"READ"}))

    opaque = look(given, World(broker=FakeBroker(changed={VIEW_TOPIC: view, MARKS: own}, shows_settings=False)))
    lacking = look(given, World(broker=FakeBroker(changed={VIEW_TOPIC: view, MARKS: closed})))

    sentence = f"may not see the settings of {VIEW_TOPIC}; {MARKS}: tellonce_topology_drift stays unknown"
    assert_finding(opaque["rights"], State.WARN, sentence, "tellonce topics apply")
    assert not states(opaque, State.FAIL)
    assert_finding(lacking["rights"], State.FAIL, f"may not write {MARKS}:", "tellonce topics apply")


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("a:1,b:2", [("a", 1), ("b", 2)]),
        ("a", [("a", 9092)]),
        ("SASL_SSL://a:1", [("a", 1)]),
        ("[::1]:1", [("::1", 1)]),
    ],
)
def test_addresses_are_read_as_the_client_reads_them(text: str, addresses: list[tuple[str, int]]) -> None:
    """What is looked up is what the Kafka client will look up."""
    assert addresses_of(text) == addresses


@pytest.mark.parametrize("text", ["a:b", "a:0", "a:70000", "a:1,"])
def test_address_without_a_usable_port_is_refused(text: str) -> None:
    """A malformed address is a setting to correct, not a broker that is away."""
    with pytest.raises(ConfigurationError, match="TELLONCE_KAFKA__BOOTSTRAP_SERVERS"):
        addresses_of(text)
