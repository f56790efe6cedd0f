"""Which differences of a topic are corrected, and which are left to a person."""

import pytest

from tellonce.kafka.admin import TopicFacts
from tellonce.kafka.plan import Action, Change
from tellonce.kafka.topic_differences import durability_settings, existing_topic_steps
from tellonce.topology.topics import TopicSpec


def steps(
    wanted: dict[str, str] | None = None,
    found: dict[str, str] | None = None,
    *,
    partitions: int = 4,
    replicas: int = 3,
) -> list[tuple[Action, str]]:
    """Action and text of each step for a topic that should have 4 partitions and 3 replicas."""
    spec = TopicSpec(name="t", partitions=4, cleanup_policy="compact", configs=wanted or {}, writers=(), readers=())
    facts = TopicFacts(name="t", partitions=partitions, replication_factor=replicas, operations=frozenset())
    return [
        (step.action, step.reason or str(dict(step.settings)))
        for step in existing_topic_steps(spec, facts, wanted or {}, found or {}, 3)
    ]


def test_topic_as_it_should_be_is_the_same() -> None:
    """Settings that the topology does not state are nobody's business."""
    found = {"cleanup.policy": "compact", "retention.ms": "7", "segment.ms": "5"}

    assert steps({"cleanup.policy": "compact"}, found) == [(Action.SAME, "{}")]


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("retention.ms", "1000", "2000"),
        ("retention.ms", "1000", "-1"),
        ("retention.bytes", "1000", "-1"),
        ("delete.retention.ms", "0", "86400000"),
        ("min.compaction.lag.ms", "0", "86400000"),
        ("min.insync.replicas", "1", "2"),
        ("cleanup.policy", "delete", "compact"),
        ("cleanup.policy", "compact,delete", "compact"),
        ("cleanup.policy", "compact,delete", "delete"),
        ("unclean.leader.election.enable", "true", "false"),
    ],
)
def test_setting_that_keeps_more_is_changed(name: str, before: str, after: str) -> None:
    """What makes a topic keep more, longer or safer is done."""
    assert steps({name: after}, {name: before}) == [(Action.CHANGE, str({name: Change(before=before, after=after)}))]


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("retention.ms", "2000", "1000"),
        ("retention.ms", "-1", "1000"),
        ("retention.bytes", "-1", "1000"),
        ("delete.retention.ms", "86400000", "1"),
        ("min.compaction.lag.ms", "86400000", "0"),
        ("min.insync.replicas", "2", "1"),
        ("max.message.bytes", "2000000", "1000000"),
        ("cleanup.policy", "compact", "delete"),
    ],
)
def test_setting_that_would_lose_something_is_refused(name: str, before: str, after: str) -> None:
    """Nothing is shortened, shrunk or weakened by us; the sentence says how a person would."""
    ((action, reason),) = steps({name: after}, {name: before})

    assert action is Action.REFUSED
    assert before in reason
    assert after in reason
    assert "kafka-configs.sh" in reason


def test_order_of_cleanup_policies_is_no_difference() -> None:
    """Kafka lists policies in any order."""
    assert steps({"cleanup.policy": "compact,delete"}, {"cleanup.policy": "delete,compact"}) == [(Action.SAME, "{}")]


def test_missing_partitions_are_refused_with_what_it_takes() -> None:
    """More partitions break the order of a record's versions, so they begin a new epoch, by hand."""
    ((action, reason),) = steps(partitions=2)

    assert action is Action.REFUSED
    assert "--partitions 4" in reason
    assert "tellonce resync" in reason


def test_surplus_partitions_are_refused() -> None:
    """Kafka cannot take partitions away."""
    ((action, reason),) = steps(partitions=6)

    assert action is Action.REFUSED
    assert "write 6 into the topology" in reason


def test_missing_replicas_are_refused_and_more_are_welcome() -> None:
    """Copies are planned by hand; more of them than asked for harm nobody."""
    assert steps(replicas=1)[0][0] is Action.REFUSED
    assert steps(replicas=5) == [(Action.SAME, "{}")]


def test_refusal_does_not_keep_other_settings_from_being_changed() -> None:
    """One difference that is left to a person does not hold up the others."""
    found = steps(
        {"retention.ms": "1", "min.compaction.lag.ms": "9"}, {"retention.ms": "5", "min.compaction.lag.ms": "0"}
    )

    assert [action for action, _ in found] == [Action.CHANGE, Action.REFUSED]


@pytest.mark.parametrize(("replicas", "in_sync"), [(1, "1"), (2, "1"), (3, "2"), (4, "3"), (5, "3")])
def test_majority_must_have_what_is_acknowledged(replicas: int, in_sync: str) -> None:
    """From three replicas on one may be lost or away without losing an acknowledged event or stopping."""
    assert durability_settings(replicas) == {
        "min.insync.replicas": in_sync,
        "unclean.leader.election.enable": "false",
    }
