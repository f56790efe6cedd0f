"""What each department can reach on a broker with TLS, SCRAM and ACLs that apply made, and what it is refused."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition

from kafka_brokers import settings_of, unique
from tellonce.kafka.admin import Acl, Admin, TopicFacts
from tellonce.kafka.clients import make_consumer, make_producer, make_reader
from tellonce.kafka.connection import check_connection
from tellonce.kafka.control import ControlReader, ControlWriter
from tellonce.kafka.drift import Drift, read_drift
from tellonce.kafka.errors import is_end_of_partition, message_error
from tellonce.kafka.group import GroupReader
from tellonce.kafka.plan import Action, TopicsPlan
from tellonce.kafka.reading import first_and_end_offsets, read_last_event, read_to_end
from tellonce.kafka.settings import KafkaSettings
from tellonce.kafka.topics import PlanOptions, apply_plan, plan_topics
from tellonce.model.errors import ConfigurationError
from tellonce.testing.kafka_server import KafkaServer
from tellonce.topology.load import load_topology
from tellonce.topology.topics import (
    OPERATOR,
    RECONCILER,
    AclRule,
    TopicSpec,
    acls_of,
    answers,
    attestations,
    group_of,
    marks,
    topics_of,
)
from waiting import wait_until

EXAMPLE = Path(__file__).parents[1] / "topology" / "example.yaml"
IDENTITY, RESIDENCE = "citizen.identity.v1", "citizen.residence.v1"
SECONDS = 10.0

pytestmark = pytest.mark.kafka


@dataclass(frozen=True, slots=True, kw_only=True)
class City:
    """The example topology on a broker; its topics, groups and users have a prefix that no other test has."""

    server: KafkaServer
    prefix: str
    specs: tuple[TopicSpec, ...]
    rules: tuple[AclRule, ...]
    users: dict[str, str]

    def named(self, name: str) -> str:
        """A topic's or group's name on the broker."""
        return f"{self.prefix}.{name}"

    def settings(self, principal: str) -> KafkaSettings:
        """The settings of a department, the reconciler or the operators."""
        return settings_of(self.server, self.users[principal])

    def plan(self) -> TopicsPlan:
        """An administrator's plan."""
        principals = {name: f"User:{user}" for name, user in self.users.items()}
        return plan_topics(settings_of(self.server), self.specs, self.rules, PlanOptions(principals=principals))


@pytest.fixture(scope="module")
def city(secure_kafka: KafkaServer) -> City:
    """The example topology as `plan_topics` and `apply_plan` make it."""
    topology = load_topology(EXAMPLE)
    prefix = uuid4().hex[:8]
    users = {name: f"{prefix}-{name}" for name in (*topology.departments, RECONCILER, OPERATOR)}
    for user in users.values():
        secure_kafka.add_user(user, f"word-of-{user}")
    made = City(
        server=secure_kafka,
        prefix=prefix,
        specs=tuple(replace(one, name=f"{prefix}.{one.name}") for one in topics_of(topology)),
        rules=tuple(replace(one, name=f"{prefix}.{one.name}") for one in acls_of(topology)),
        users=users,
    )
    apply_plan(settings_of(secure_kafka), made.plan())
    return made


@pytest.fixture
def changed_by_hand(city: City) -> Iterator[Callable[[str], None]]:
    """A function that gives a topic another compression than the topology says; it is set right after the test."""
    admin, changed = Admin(settings_of(city.server), "test-admin"), list[str]()

    def change(name: str) -> None:
        changed.append(name)
        admin.change_settings(name, {"compression.type": "zstd"})

    yield change
    for name in changed:
        admin.change_settings(name, {"compression.type": "uncompressed"})
    wait_until(lambda: not city.plan().pending, what="the topics are as before")


def write(city: City, principal: str, topic: str) -> None:
    """Write one message and wait for its acknowledgement."""
    with ControlWriter(city.settings(principal), "test-writer") as writer:
        writer.write(city.named(topic), b"key", b"value")


def read_by_group(city: City, principal: str, topic: str, group: str, protocol: str = "consumer") -> Message:
    """The first message, or error, that a member of a group gets."""
    settings = city.settings(principal).model_copy(update={"group_protocol": protocol})
    consumer = make_consumer(settings, "test-applier", city.named(group))
    found: list[Message] = []

    def has_answer() -> bool:
        message = consumer.poll(0.2)
        if message is not None and not is_end_of_partition(message):
            found.append(message)
        return bool(found)

    consumer.subscribe([city.named(topic)], on_assign=_from_the_beginning)
    try:
        wait_until(has_answer, 20, what="a message or a refusal")
    finally:
        consumer.close()
    return found[0]


def _from_the_beginning(consumer: Consumer, partitions: list[TopicPartition]) -> None:
    for partition in partitions:
        partition.offset = OFFSET_BEGINNING
    consumer.incremental_assign(partitions)


def test_applied_city_needs_nothing_more(city: City) -> None:
    """A second plan has nothing to do and nothing to object to: every right is as the topology says."""
    plan = city.plan()

    assert plan.pending == ()
    assert plan.refused == ()
    assert plan.count(Action.SAME) == len(city.specs) + len(city.rules)


def test_every_principal_may_do_with_every_topic_just_what_the_topology_says(city: City) -> None:
    """The whole table: for each department and each topic, reading and writing are allowed if, and only if, given."""
    expected = {(rule.principal, rule.name, rule.operation) for rule in city.rules if rule.operation != "DESCRIBE"}
    names = [spec.name for spec in city.specs]

    allowed = {
        (principal, name, operation)
        for principal in city.users
        for name, facts in Admin(city.settings(principal), "test-rights").topics(names).items()
        if isinstance(facts, TopicFacts)
        for operation in facts.operations
        & {"READ", "WRITE", "CREATE", "ALTER", "DELETE", "DESCRIBE_CONFIGS", "ALTER_CONFIGS"}
    }

    assert allowed == {one for one in expected if one[1] in names}
    assert len(allowed) > len(city.users)


@pytest.mark.parametrize("principal", ["civil-affairs", "healthcare", "public-security", RECONCILER])
def test_each_service_sees_the_drift_of_its_own_topics(
    city: City, principal: str, changed_by_hand: Callable[[str], None]
) -> None:
    """Relay, applier, a department with both, and reconciler: a topic that it reads or writes is seen to differ."""
    own = [spec for spec in city.specs if principal in {*spec.writers, *spec.readers}]
    admin = Admin(city.settings(principal), "test-drift")
    before = read_drift(admin, own, SECONDS)

    for spec in own:
        changed_by_hand(spec.name)

    assert before == Drift(by_topic={}, is_complete=True)
    wait_until(lambda: read_drift(admin, own, SECONDS).by_topic == {spec.name: 1 for spec in own}, what="the drift")


def test_operators_see_no_settings(city: City) -> None:
    """They run no service, so what they see stays as narrow as before: drift is for each service to tell."""
    own = [spec for spec in city.specs if OPERATOR in {*spec.writers, *spec.readers}]

    assert read_drift(Admin(city.settings(OPERATOR), "test-drift"), own, SECONDS).differences is None


def test_principal_who_writes_to_every_topic_gets_through_where_it_may_speak(city: City) -> None:
    """Tried, one by one, and not asked: each topic takes the message of its one writer, and refuses all others'."""
    expected = {(principal, spec.name) for spec in city.specs for principal in spec.writers}
    refusals = {KafkaError.TOPIC_AUTHORIZATION_FAILED}

    outcomes = {
        (principal, name): code for principal in city.users for name, code in tried_writes(city, principal).items()
    }

    assert len(outcomes) == len(city.users) * len(city.specs)
    assert {pair for pair, code in outcomes.items() if code is None} == expected
    assert {code for pair, code in outcomes.items() if pair not in expected} == refusals


def tried_writes(city: City, principal: str) -> dict[str, int | None]:
    """What a topic says to a principal's message: the error's code, or None where it was taken."""
    codes: dict[str, int | None] = {}
    producer = make_producer(city.settings(principal), "test-intruder")

    def note(error: KafkaError | None, message: Message) -> None:
        codes[str(message.topic())] = None if error is None else error.code()

    for spec in city.specs:
        producer.produce(spec.name, b"value", b"key", on_delivery=note)
    producer.flush(30)
    return codes


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
@pytest.mark.parametrize("subscriber", ["provident-fund", "healthcare"])
def test_subscriber_reads_its_view_and_its_authority_writes_it(city: City, subscriber: str, protocol: str) -> None:
    """The rights that apply made are enough for the path of an event, with both group protocols."""
    write(city, "public-security", IDENTITY)
    check_connection(city.settings(subscriber), reads=[city.named(IDENTITY)])

    message = read_by_group(city, subscriber, IDENTITY, group_of(subscriber), protocol)

    assert message_error(message) is None
    assert message.value() == b"value"


def test_authority_reads_the_last_event_of_its_own_stream(city: City) -> None:
    """The relay asks at its start whether the log is ahead of its ledger; it needs no group for that."""
    write(city, "civil-affairs", "marriage.status.v1")
    reader = make_reader(city.settings("civil-affairs"), "test-relay")

    found = [read_last_event(reader, city.named("marriage.status.v1"), partition, SECONDS) for partition in range(2)]

    assert {one.value() for one in found if one is not None} == {b"value"}


def test_reconciler_reads_marks_attestations_and_answers_and_no_view(city: City) -> None:
    """The reconciler compares without ever being able to see a value."""
    write(city, "public-security", marks("public-security"))
    write(city, "healthcare", attestations("healthcare"))
    write(city, "healthcare", answers("healthcare"))
    names = (marks("public-security"), attestations("healthcare"), answers("healthcare"))
    topics = [city.named(name) for name in names]

    with ControlReader(city.settings(RECONCILER), "test-reconciler", topics) as reader:
        found = set()
        while not reader.has_caught_up:
            found |= {one.topic for one in reader.poll(1.0)}

    assert found == set(topics)
    for view in (IDENTITY, RESIDENCE, "marriage.status.v1"):
        with pytest.raises(ConfigurationError):
            check_connection(city.settings(RECONCILER), reads=[city.named(view)])


def test_department_is_refused_a_view_without_a_subscription(city: City) -> None:
    """Without a legal basis a view cannot be read, by group or without, nor its offsets, nor can it be written."""
    write(city, "public-security", RESIDENCE)
    settings = city.settings("provident-fund")
    name = city.named(RESIDENCE)
    reader = make_reader(settings, "test-reader")

    refusal = message_error(read_by_group(city, "provident-fund", RESIDENCE, group_of("provident-fund")))

    assert isinstance(refusal, ConfigurationError)
    with pytest.raises(ConfigurationError, match=f"sees no topic {name}"):
        check_connection(settings, reads=[name])
    with pytest.raises(ConfigurationError):
        list(read_to_end(settings, name))
    with pytest.raises(ConfigurationError):
        first_and_end_offsets(reader, name, 0, SECONDS)
    with pytest.raises(ConfigurationError):
        write(city, "provident-fund", RESIDENCE)


def test_subscriber_may_not_write_the_view_it_reads(city: City) -> None:
    """Only the authority says what is true of its records."""
    name = city.named(IDENTITY)

    with pytest.raises(ConfigurationError, match="may not write topic"):
        check_connection(city.settings("provident-fund"), reads=[name], writes=[name])
    with pytest.raises(ConfigurationError):
        write(city, "provident-fund", IDENTITY)


def test_department_may_write_its_own_attestations_and_no_one_elses(city: City) -> None:
    """A department cannot state for another that it agrees, nor read what another states."""
    write(city, "provident-fund", attestations("provident-fund"))
    others = attestations("social-security")

    with pytest.raises(ConfigurationError):
        write(city, "provident-fund", others)
    with pytest.raises(ConfigurationError):
        ControlReader(city.settings("provident-fund"), "test-reader", [city.named(others)])


def test_writer_may_not_read_what_it_writes(city: City) -> None:
    """A topic that can be seen but not read would be silent for ever, so the right itself is asked for."""
    name = city.named(attestations("provident-fund"))
    check_connection(city.settings("provident-fund"), writes=[name])

    with pytest.raises(ConfigurationError, match=f"may not read topic {name}"):
        check_connection(city.settings("provident-fund"), reads=[name])


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_applier_ends_where_its_group_is_closed_to_it(city: City, protocol: str) -> None:
    """A group that the department may not join is told by the reader, and not waited for without a word."""
    settings = city.settings("provident-fund").model_copy(update={"group_protocol": protocol})
    reader = GroupReader(
        make_consumer(settings, "test-applier", city.named(group_of("healthcare"))),
        [city.named(IDENTITY)],
        start_of=lambda _place: (0, -1),
        forget=lambda _place: None,
        trouble_with=lambda _place, _sentence: None,
    )

    def poll_for_long() -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            reader.poll()

    try:
        with pytest.raises(ConfigurationError):
            poll_for_long()
    finally:
        reader.close()


def test_department_is_refused_the_group_of_another(city: City) -> None:
    """A department cannot join another's group and take its partitions away."""
    refusal = message_error(read_by_group(city, "provident-fund", IDENTITY, group_of("healthcare")))

    assert isinstance(refusal, ConfigurationError)
    assert refusal.facts["kafka_error"] in {"GROUP_AUTHORIZATION_FAILED", "_FATAL"}


def test_right_that_the_topology_does_not_give_is_shown_and_stays(city: City) -> None:
    """A rule made by hand that opens a topic is shown with the command that removes it; apply keeps it."""
    admin = Admin(settings_of(city.server), "test-admin")
    spec = TopicSpec(name=unique("topic"), partitions=1, cleanup_policy="delete", configs={}, writers=(), readers=())
    rule = AclRule(principal="fund", resource_type="topic", name=spec.name, operation="READ")
    stray = Acl(principal="User:stranger", operation="READ", resource_type="topic", name=spec.name)
    admin.create_acl(stray)
    wait_until(lambda: stray in admin.acls(), what="the rule")

    apply_plan(settings_of(city.server), plan_topics(settings_of(city.server), [spec], [rule]))

    plan = plan_topics(settings_of(city.server), [spec], [rule])
    assert plan.pending == ()
    assert [step.acl for step in plan.refused] == [stray]
    assert "kafka-acls.sh --remove --allow-principal 'User:stranger'" in plan.render()
    assert stray in admin.acls()


def test_user_without_the_right_to_make_rules_is_told_before_anything_is_done(city: City) -> None:
    """A plan made by an administrator and applied by somebody else changes nothing, and says which right is missing."""
    name = unique("topic")
    spec = TopicSpec(name=name, partitions=1, cleanup_policy="delete", configs={}, writers=(), readers=())
    rule = AclRule(principal="fund", resource_type="topic", name=name, operation="READ")
    plan = plan_topics(settings_of(city.server), [spec], [rule])

    with pytest.raises(ConfigurationError, match=r"may not make access rules.*nothing was changed"):
        apply_plan(city.settings("provident-fund"), plan)

    assert outcome_of(city, spec, rule) == [Action.CREATE, Action.CREATE]


def outcome_of(city: City, spec: TopicSpec, rule: AclRule) -> list[Action]:
    """The actions of a plan for one topic and one rule."""
    return [step.action for step in plan_topics(settings_of(city.server), [spec], [rule]).steps]
