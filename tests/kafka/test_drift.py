"""How many differences there are between a service's topics and the topology, and when nobody can say."""

from collections.abc import Mapping

import pytest
from confluent_kafka.admin import AdminClient, NewPartitions

from kafka_brokers import Broker, settings_of, unique
from tellonce.kafka.admin import Absence, Acl, Admin, TopicFacts
from tellonce.kafka.drift import Drift, compare_topics, read_drift
from tellonce.kafka.topic_differences import durability_settings
from tellonce.kafka.topics import apply_plan, plan_topics
from tellonce.testing.kafka_server import KafkaServer
from tellonce.topology.topics import TopicSpec
from waiting import wait_until

LIMIT = 10.0
CONFIGS = {"cleanup.policy": "compact", "min.compaction.lag.ms": "86400000", "compression.type": "uncompressed"}


def spec(name: str = "view") -> TopicSpec:
    """A compacted topic of four partitions."""
    return TopicSpec(name=name, partitions=4, cleanup_policy="compact", configs=CONFIGS, writers=(), readers=())


def facts(name: str = "view", *, partitions: int = 4, replicas: int = 1) -> TopicFacts:
    """It on the broker."""
    return TopicFacts(name=name, partitions=partitions, replication_factor=replicas, operations=frozenset())


def in_force(**changed: str | None) -> dict[str, str]:
    """Its settings there; one that is None is not shown, and `_` stands for a dot."""
    settings: Mapping[str, str | None] = {
        **durability_settings(1),
        **CONFIGS,
        "segment.ms": "5",
        **{name.replace("_", "."): value for name, value in changed.items()},
    }
    return {name: value for name, value in settings.items() if value is not None}


def drift(found: TopicFacts | Absence, settings: dict[str, str] | None) -> Drift:
    """What is found of the one topic."""
    return compare_topics([spec()], {"view": found}, None if settings is None else {"view": settings})


def test_topic_as_the_topology_says_has_no_difference() -> None:
    """What the topology does not state is nobody's business, and more copies than one are the installation's."""
    assert drift(facts(), in_force()).differences == 0
    assert drift(facts(replicas=2), in_force()).differences == 0


@pytest.mark.parametrize(
    ("found", "settings", "differences"),
    [
        (facts(partitions=3), in_force(), 1),
        (facts(partitions=5), in_force(), 1),
        (facts(), in_force(cleanup_policy="delete"), 1),
        (facts(), in_force(cleanup_policy="compact,delete"), 1),
        (facts(), in_force(compression_type="producer"), 1),
        (facts(), in_force(compression_type="zstd"), 1),
        (facts(), in_force(compression_type=None), 1),
        (facts(), in_force(min_compaction_lag_ms="0"), 1),
        # One that tellonce does not lower by itself is a difference as well.
        (facts(), in_force(min_compaction_lag_ms="86400001"), 1),
        (facts(), in_force(unclean_leader_election_enable="true"), 1),
        (facts(), in_force(cleanup_policy="delete", compression_type="lz4"), 2),
        (facts(partitions=1), in_force(compression_type="lz4", min_compaction_lag_ms="86400001"), 3),
        (Absence.MISSING, in_force(), 1),
    ],
)
def test_each_kind_of_difference_is_counted(
    found: TopicFacts | Absence, settings: dict[str, str], differences: int
) -> None:
    """Partitions, policy, compression, each further setting and a topic that is missing count one each."""
    assert drift(found, settings).differences == differences


def test_differences_are_told_by_topic() -> None:
    """All topics are summed, and those that are right are not named."""
    specs = [spec(name) for name in ("a", "b", "c")]
    settings = {"a": in_force(), "b": in_force(cleanup_policy="delete"), "c": in_force(compression_type="gzip")}
    found = {"a": facts("a"), "b": facts("b", partitions=1), "c": facts("c")}

    compared = compare_topics(specs, found, settings)

    assert compared == Drift(by_topic={"b": 2, "c": 1}, is_complete=True)
    assert compared.differences == 3


@pytest.mark.parametrize(("found", "settings"), [(facts(), None), (Absence.HIDDEN, in_force())])
def test_what_is_not_shown_is_unknown_and_not_none(
    found: TopicFacts | Absence, settings: dict[str, str] | None
) -> None:
    """A 0 would say that all was compared."""
    assert drift(found, settings).differences is None


def test_topic_of_which_nothing_was_told_is_unknown() -> None:
    """An answer that leaves out a topic, or its settings, says nothing of it."""
    assert compare_topics([spec()], {}, {}).differences is None
    assert compare_topics([spec()], {"view": facts()}, {}).differences is None


def test_what_is_seen_counts_where_other_things_are_hidden() -> None:
    """Wrong partitions are told to a user who may not see settings."""
    assert drift(facts(partitions=3), None).differences == 1


def test_embedded_broker_is_unknown(embedded: Broker) -> None:
    """It has no settings to compare."""
    assert read_drift(Admin(embedded.settings, "test-drift"), [spec()], LIMIT).differences is None


@pytest.mark.kafka
def test_drift_on_a_real_broker_is_counted(real: Broker) -> None:
    """What was applied has no drift; then each thing that a person changes by hand is one difference more."""
    wanted, missing = spec(unique("drift")), spec(unique("missing"))
    apply_plan(real.settings, plan_topics(real.settings, [wanted]))
    admin = Admin(real.settings, "test-drift")

    def differences(*specs: TopicSpec) -> int | None:
        return read_drift(admin, specs, LIMIT).differences

    assert differences(wanted) == 0
    assert differences(wanted, missing) == 1
    admin.change_settings(wanted.name, {"compression.type": "zstd", "cleanup.policy": "delete"})
    assert differences(wanted) == 2
    client = AdminClient({"bootstrap.servers": real.settings.bootstrap_servers})
    client.create_partitions([NewPartitions(wanted.name, 5)])[wanted.name].result()
    assert differences(wanted) == 3


@pytest.mark.kafka
def test_user_who_may_not_see_settings_knows_no_drift_until_it_may(secure_kafka: KafkaServer) -> None:
    """Reading shows partitions only, which is why the topology gives the right to see settings by itself."""
    wanted, user = spec(unique("drift")), unique("user")
    secure_kafka.add_user(user, "word")
    apply_plan(settings_of(secure_kafka), plan_topics(settings_of(secure_kafka), [wanted]))
    administrator, own = Admin(settings_of(secure_kafka), "test-admin"), Admin(settings_of(secure_kafka, user), "own")

    def allow(operation: str) -> None:
        administrator.create_acl(
            Acl(principal=f"User:{user}", operation=operation, resource_type="topic", name=wanted.name)
        )

    def is_told(differences: int | None) -> bool:
        return read_drift(own, [wanted], LIMIT).differences == differences

    assert is_told(None)
    allow("READ")
    wait_until(lambda: "READ" in own_rights(own, wanted.name))
    assert is_told(None)
    allow("DESCRIBE_CONFIGS")
    wait_until(lambda: is_told(0))


def own_rights(admin: Admin, name: str) -> frozenset[str]:
    """What a user may do with a topic, as the broker tells it."""
    found = admin.topics([name])[name]
    return found.operations if isinstance(found, TopicFacts) else frozenset()
