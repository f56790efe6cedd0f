"""How a plan reads, for people and for machines."""

import json

from tellonce.kafka.admin import Acl
from tellonce.kafka.plan import Action, Change, NewTopic, Step, TopicsPlan

ACL = Acl(principal="User:fund", operation="READ", resource_type="topic", name="new")


def plan() -> TopicsPlan:
    """A plan with a step of each kind."""
    return TopicsPlan(
        steps=(
            Step(action=Action.CREATE, resource="acl", name=str(ACL), acl=ACL),
            Step(action=Action.SAME, resource="acl", name="User:a READ topic b"),
            Step(action=Action.SAME, resource="acl", name="User:a READ topic c"),
            Step(
                action=Action.CREATE,
                resource="topic",
                name="new",
                new_topic=NewTopic(partitions=12, replication_factor=1),
                settings={"cleanup.policy": Change(before=None, after="compact")},
            ),
            Step(
                action=Action.CHANGE,
                resource="topic",
                name="old",
                settings={"retention.ms": Change(before="1", after="2"), "a": Change(before=None, after="b")},
            ),
            Step(action=Action.SAME, resource="topic", name="kept"),
            Step(action=Action.REFUSED, resource="topic", name="bad", reason="it has 2 partitions"),
        ),
        notes=("something to know",),
    )


def test_plan_is_rendered_with_signs_and_a_summary() -> None:
    """A person sees what would happen before it does, topics first; rules that stay are only counted."""
    assert plan().render().splitlines() == [
        "+ create  topic new: 12 partitions, 1 replica, cleanup.policy=compact",
        "~ change  topic old: a (unset) -> b, retention.ms 1 -> 2",
        "= same    topic kept",
        "! refused topic bad: it has 2 partitions",
        "+ create  acl   User:fund READ topic new",
        "= same    acl   2 rules",
        "Note: something to know",
        "Plan: 2 to create, 1 to change, 3 same, 1 refused.",
    ]


def test_plan_for_machines_says_whether_anything_is_pending() -> None:
    """A pipeline decides by the plan itself, not by an exit code."""
    found = json.loads(json.dumps(plan().as_json()))

    assert found["format_version"] == 1
    assert found["changes_pending"] is True
    assert found["summary"] == {"create": 2, "change": 1, "same": 3, "refused": 1}
    assert found["steps"][3] == {
        "action": "create",
        "resource": "topic",
        "name": "new",
        "partitions": 12,
        "replication_factor": 1,
        "settings": {"cleanup.policy": {"before": None, "after": "compact"}},
    }
    assert found["steps"][0]["acl"]["principal"] == "User:fund"
    assert found["steps"][6]["reason"] == "it has 2 partitions"


def test_refused_and_same_steps_are_not_pending() -> None:
    """What is left to a person leaves nothing to apply."""
    only = TopicsPlan(steps=tuple(step for step in plan().steps if step.action in {Action.SAME, Action.REFUSED}))

    assert only.pending == ()
    assert only.as_json()["changes_pending"] is False
    assert [step.name for step in only.refused] == ["bad"]
