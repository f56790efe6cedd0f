"""How a topic differs from what the topology asks for, and which differences tellonce leaves to a person."""

from collections.abc import Iterable, Mapping

from tellonce.kafka.admin import TopicFacts
from tellonce.kafka.plan import Action, Change, Step
from tellonce.topology.topics import TopicSpec

__all__ = ["count_differences", "durability_settings", "existing_topic_steps", "topic_differences"]

_MAJORITY_FROM = 3
# -1 stands for "without end" in these, 0 or a positive number for a limit.
_MAY_BE_ENDLESS = {"retention.ms", "retention.bytes"}
# A larger value keeps more, or promises more; making it smaller loses what someone may rely on.
_ONLY_GROWS = {
    "retention.ms": "how long messages are kept",
    "retention.bytes": "how much is kept",
    "delete.retention.ms": "how long deletes can be seen",
    "min.compaction.lag.ms": "how long each version is kept",
    "min.insync.replicas": "how many copies a write needs",
    "max.message.bytes": "how large a message may be",
}


def durability_settings(replication_factor: int) -> dict[str, str]:
    """Gives the settings that make an acknowledgement mean something: a majority has it, and only those may lead.

    With one or two replicas one must do, for a second that is away would stop all writing.
    """
    in_sync = replication_factor // 2 + 1 if replication_factor >= _MAJORITY_FROM else 1
    return {"min.insync.replicas": str(in_sync), "unclean.leader.election.enable": "false"}


def topic_differences(
    spec: TopicSpec, facts: TopicFacts, in_force: Mapping[str, str] | None, replication_factor: int
) -> list[Step]:
    """Gives what would have to be done about a topic that is there; nothing where it is as the topology says.

    Without its settings in force, which a broker shows only to those who may see them, it says nothing of settings.
    """
    # By the replicas that it has: two in sync asked of a topic with one would end all writing.
    wanted = {} if in_force is None else durability_settings(facts.replication_factor) | spec.configs
    steps = existing_topic_steps(spec, facts, wanted, in_force or {}, replication_factor)
    return [step for step in steps if step.action is not Action.SAME]


def count_differences(steps: Iterable[Step]) -> int:
    """Gives how many differences these steps are about: each setting is one, and so is each thing left to a person."""
    return sum(len(step.settings) or 1 for step in steps)


def existing_topic_steps(
    spec: TopicSpec, facts: TopicFacts, wanted: Mapping[str, str], found: Mapping[str, str], replication_factor: int
) -> list[Step]:
    """Gives the steps for a topic that is there: one change at most, and a refusal for each thing left to a person."""
    refusals = [*_partitions(spec, facts), *_replicas(facts, replication_factor)]
    changes: dict[str, Change] = {}
    for name, value in sorted(wanted.items()):
        before = found.get(name)
        if before is not None and _is_same(before, value):
            continue
        reason = _why_not(name, before, value)
        if reason is None:
            changes[name] = Change(before=before, after=value)
        else:
            refusals.append(reason)
    steps = [Step(action=Action.REFUSED, resource="topic", name=spec.name, reason=reason) for reason in refusals]
    if changes:
        steps.insert(0, Step(action=Action.CHANGE, resource="topic", name=spec.name, settings=changes))
    return steps or [Step(action=Action.SAME, resource="topic", name=spec.name)]


def _partitions(spec: TopicSpec, facts: TopicFacts) -> list[str]:
    if facts.partitions == spec.partitions:
        return []
    found = f"it has {facts.partitions} partitions, the topology says {spec.partitions}"
    if facts.partitions > spec.partitions:
        return [f"{found}; Kafka cannot take partitions away: write {facts.partitions} into the topology"]
    advice = (
        "more of them would part a record's newer versions from its older ones: stop the authority's relay, add them "
        f"with `kafka-topics.sh --alter --topic {spec.name} --partitions {spec.partitions}`, and begin a new epoch "
        "with `tellonce resync`"
    )
    return [f"{found}; {advice}"]


def _replicas(facts: TopicFacts, replication_factor: int) -> list[str]:
    if facts.replication_factor >= replication_factor:
        return []
    advice = "copying a topic to more brokers is planned by hand: use `kafka-reassign-partitions.sh`"
    return [f"it has {facts.replication_factor} replicas, expected {replication_factor}; {advice}"]


def _is_same(before: str, after: str) -> bool:
    return before == after or sorted(before.split(",")) == sorted(after.split(","))


def _why_not(name: str, before: str | None, after: str) -> str | None:
    """The reason to leave a difference to a person, or None where it may be changed."""
    if before is None:
        return None
    if name == "cleanup.policy" and "compact" in before and after == "delete":
        if "delete" in before:
            return None
        return (
            f"cleanup.policy is {before}, the topology says {after}; then the newest version of each record would go "
            "after its time: see whether this topic has another user, and change it with `kafka-configs.sh`"
        )
    if name in _ONLY_GROWS and _amount(name, after) < _amount(name, before):
        return (
            f"{name} is {before}, the topology says {after}; that is {_ONLY_GROWS[name]}, and tellonce only raises it: "
            "correct the topology, or lower it with `kafka-configs.sh`"
        )
    return None


def _amount(name: str, value: str) -> float:
    try:
        amount = int(value)
    except ValueError:
        return 0.0
    return float("inf") if amount < 0 and name in _MAY_BE_ENDLESS else float(amount)
