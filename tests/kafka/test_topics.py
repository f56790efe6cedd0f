"""Plan and apply on a real Kafka: what is made, what is corrected, and that nothing is taken away."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, NewPartitions

from kafka_brokers import Broker, settings_of, unique
from tellonce.kafka.admin import Absence, Admin, TopicFacts
from tellonce.kafka.plan import Action, Step, TopicsPlan
from tellonce.kafka.topics import PlanOptions, apply_plan, plan_topics
from tellonce.model.errors import ConfigurationError
from tellonce.testing.kafka_server import KafkaServer
from tellonce.topology.load import load_topology
from tellonce.topology.topics import AclRule, TopicSpec, topics_of

EXAMPLE = Path(__file__).parents[1] / "topology" / "example.yaml"
DAY_MS = 86_400_000

pytestmark = pytest.mark.kafka


def spec(**given: Any) -> TopicSpec:
    """A compacted topic of two partitions, but for what a test names."""
    name = unique("topic")
    fields: dict[str, Any] = {"partitions": 2, "cleanup_policy": "compact", "writers": (), "readers": ()}
    configs = {"cleanup.policy": "compact", "min.compaction.lag.ms": str(DAY_MS)}
    return TopicSpec(**{"name": name, "configs": configs} | fields | given)


def applied(broker: Broker, *specs: TopicSpec) -> tuple[Step, ...]:
    """Plan and apply."""
    return apply_plan(broker.settings, plan_topics(broker.settings, specs))


def in_force(broker: Broker, name: str) -> dict[str, str]:
    """A topic's settings on the broker."""
    return Admin(broker.settings, "test-admin").topic_settings([name])[name]


def facts(broker: Broker, name: str) -> TopicFacts | Absence:
    """A topic on the broker."""
    return Admin(broker.settings, "test-admin").topics([name])[name]


def outcome(plan: TopicsPlan) -> list[tuple[Action, str]]:
    """Action and resource of each step."""
    return [(step.action, step.resource) for step in plan.steps]


def test_planning_changes_nothing(real: Broker) -> None:
    """A plan is for reading; the topic is there only after the deed."""
    wanted = spec()

    plan = plan_topics(real.settings, [wanted])

    assert outcome(plan) == [(Action.CREATE, "topic")]
    assert facts(real, wanted.name) is Absence.MISSING


def test_topics_of_a_topology_are_made_with_the_settings_it_states(real: Broker) -> None:
    """Views are compacted no sooner than after a day, control topics are kept by their time, and leaders are clean."""
    prefix = unique("city")
    wanted = [replace(one, name=f"{prefix}.{one.name}") for one in topics_of(load_topology(EXAMPLE))]

    applied(real, *wanted)

    for one in wanted:
        found = facts(real, one.name)
        assert isinstance(found, TopicFacts)
        assert (found.partitions, found.replication_factor) == (one.partitions, 1)
        stated = one.configs | {"min.insync.replicas": "1", "unclean.leader.election.enable": "false"}
        assert stated.items() <= in_force(real, one.name).items()
    view = in_force(real, f"{prefix}.citizen.identity.v1")
    assert view["cleanup.policy"] == "compact"
    assert int(view["min.compaction.lag.ms"]) >= DAY_MS
    assert int(in_force(real, f"{prefix}.tellonce.evidence.reconciler")["retention.ms"]) == 800 * DAY_MS


def test_second_plan_is_empty(real: Broker) -> None:
    """What was applied is as it should be, and applying again does nothing."""
    wanted = [spec(), spec(cleanup_policy="delete", configs={"cleanup.policy": "delete", "retention.ms": "1000000"})]
    first = applied(real, *wanted)

    second = plan_topics(real.settings, wanted)

    assert len(first) == 2
    assert outcome(second) == [(Action.SAME, "topic")] * 2
    assert apply_plan(real.settings, second) == ()


def test_setting_that_was_changed_by_hand_is_set_back_and_others_stay(real: Broker) -> None:
    """Only stated settings are ours; what an operator tuned besides stays."""
    wanted = spec()
    name = wanted.name
    Admin(real.settings, "test-admin").create_topic(
        name, partitions=2, replication_factor=1, settings={"cleanup.policy": "delete", "segment.ms": "123456"}
    )

    applied(real, wanted)

    found = in_force(real, name)
    assert (found["cleanup.policy"], found["min.compaction.lag.ms"]) == ("compact", str(DAY_MS))
    assert found["segment.ms"] == "123456"


def test_retention_is_never_shortened(real: Broker) -> None:
    """Messages that someone may still need are not given up by a line in a file."""
    long = spec(cleanup_policy="delete", configs={"cleanup.policy": "delete", "retention.ms": str(9 * DAY_MS)})
    applied(real, long)
    short = replace(long, configs={"cleanup.policy": "delete", "retention.ms": str(DAY_MS)})

    plan = plan_topics(real.settings, [short])
    apply_plan(real.settings, plan)

    assert outcome(plan) == [(Action.REFUSED, "topic")]
    assert in_force(real, long.name)["retention.ms"] == str(9 * DAY_MS)


def test_retention_is_lengthened(real: Broker) -> None:
    """A longer lag allowed by a subscription keeps marks and attestations longer."""
    short = spec(cleanup_policy="delete", configs={"cleanup.policy": "delete", "retention.ms": str(DAY_MS)})
    applied(real, short)

    applied(real, replace(short, configs={"cleanup.policy": "delete", "retention.ms": str(2 * DAY_MS)}))

    assert in_force(real, short.name)["retention.ms"] == str(2 * DAY_MS)


def test_partitions_are_never_added(real: Broker) -> None:
    """More partitions would part a record's versions, so they are a person's decision and a new epoch."""
    wanted = spec(partitions=2)
    applied(real, wanted)

    plan = plan_topics(real.settings, [replace(wanted, partitions=6)])
    apply_plan(real.settings, plan)

    assert outcome(plan) == [(Action.REFUSED, "topic")]
    assert "tellonce resync" in plan.render()
    found = facts(real, wanted.name)
    assert isinstance(found, TopicFacts)
    assert found.partitions == 2


def test_partitions_added_by_hand_are_shown(real: Broker, kafka: KafkaServer) -> None:
    """A topic that has more partitions than the topology says is not as it should be."""
    wanted = spec(partitions=2)
    applied(real, wanted)
    admin = AdminClient({**kafka.client_settings(), "log_level": 0})
    admin.create_partitions([NewPartitions(wanted.name, 3)])[wanted.name].result(10)

    plan = plan_topics(real.settings, [wanted])

    assert outcome(plan) == [(Action.REFUSED, "topic")]


def test_topic_that_left_the_topology_stays(real: Broker) -> None:
    """A topic that nobody states any more is not deleted: it may hold the only copy of something."""
    gone, kept = spec(), spec()
    applied(real, gone, kept)

    plan = plan_topics(real.settings, [kept])
    apply_plan(real.settings, plan)

    assert outcome(plan) == [(Action.SAME, "topic")]
    assert isinstance(facts(real, gone.name), TopicFacts)


def test_replication_that_the_cluster_cannot_give_is_told_by_the_plan(real: Broker) -> None:
    """The broker is asked beforehand, so that nobody learns half-way through applying."""
    wanted = spec()

    plan = plan_topics(real.settings, [wanted], options=PlanOptions(replication_factor=3))

    assert outcome(plan) == [(Action.REFUSED, "topic")]
    assert "replication factor of 3" in plan.render()


def test_setting_that_kafka_does_not_know_is_told_by_the_plan(real: Broker) -> None:
    """So is a setting that the broker refuses."""
    plan = plan_topics(real.settings, [spec(configs={"cleanup.policy": "shred"})])

    assert outcome(plan) == [(Action.REFUSED, "topic")]
    assert "cleanup.policy" in plan.render()


def test_failed_step_leaves_those_before_it_and_says_so(real: Broker) -> None:
    """Half a plan is no disaster: what is done stays, and the next plan holds the rest."""
    first, second = spec(), spec()
    plan = plan_topics(real.settings, [first, second])
    # Somebody else makes the second topic meanwhile.
    applied(real, second)

    with pytest.raises(Exception, match="1 of 2 steps were done and stay, plan again"):
        apply_plan(real.settings, plan)

    assert outcome(plan_topics(real.settings, [first, second])) == [(Action.SAME, "topic")] * 2


def test_steps_are_told_as_they_are_taken(real: Broker) -> None:
    """A person watches the deed."""
    told: list[Step] = []
    plan = plan_topics(real.settings, [spec(), spec()])

    done = apply_plan(real.settings, plan, told.append)

    assert tuple(told) == done == plan.pending


def test_access_rules_without_an_authorizer_are_not_applied_and_it_is_said(real: Broker) -> None:
    """A broker that enforces nothing must not look as if it did."""
    rule = AclRule(principal="fund", resource_type="topic", name="citizen.identity.v1", operation="READ")

    plan = plan_topics(real.settings, [spec()], [rule])

    assert outcome(plan) == [(Action.CREATE, "topic")]
    assert "the broker has no authorizer: every client may read and write every topic" in plan.render()


def test_embedded_broker_is_refused(embedded: Broker) -> None:
    """Topics and rights are a real cluster's; the embedded broker would only time out."""
    with pytest.raises(ConfigurationError, match="embedded broker"):
        plan_topics(embedded.settings, [spec()])


def test_user_who_may_not_see_topics_gets_no_plan(secure_kafka: KafkaServer) -> None:
    """A topic that is only hidden must not be planned as missing."""
    user = unique("stranger")
    secure_kafka.add_user(user, "word")

    with pytest.raises(ConfigurationError, match="may not see topic"):
        plan_topics(settings_of(secure_kafka, user), [spec()])


def test_user_who_may_not_see_access_rules_gets_no_plan_of_them(secure_kafka: KafkaServer) -> None:
    """The broker shows no rules to whom it hides them, which would look as if all were missing."""
    user = unique("stranger")
    secure_kafka.add_user(user, "word")
    rule = AclRule(principal="fund", resource_type="topic", name="citizen.identity.v1", operation="READ")

    with pytest.raises(ConfigurationError, match="may not see access rules"):
        plan_topics(settings_of(secure_kafka, user), [], [rule])
