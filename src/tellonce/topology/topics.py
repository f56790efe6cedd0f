"""The Kafka topics a topology needs, how each is kept, and who may write and read it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from tellonce.topology.model import Topology, View

__all__ = [
    "CONTROL_PREFIX",
    "OPERATOR",
    "RECONCILER",
    "AclRule",
    "TopicSpec",
    "acls_of",
    "answers",
    "attestations",
    "divergences",
    "evidence",
    "group_of",
    "heartbeats",
    "inquiries",
    "marks",
    "order_speakers",
    "orders",
    "publishers",
    "repairs",
    "subscribers",
    "topics_of",
]

RECONCILER = "reconciler"
"""Principal and group suffix of the reconciler; no department may have this slug."""

OPERATOR = "operator"
"""Principal and group suffix of the people who watch and decide; no department may have this slug."""

CONTROL_PREFIX = "tellonce"
"""First part of every control topic and consumer group; no record type may have this name."""

_MINUTE_MS = 60_000
_HOUR_MS = 60 * _MINUTE_MS
_DAY_MS = 24 * _HOUR_MS

# A week, the longest lag that a subscription without its own allows.
_DEFAULT_LAG_MS = 7 * _DAY_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSpec:
    """One topic as it has to be.

    `configs` are the topic's own settings as Kafka spells them, `cleanup.policy` among them.
    `writers` and `readers` are principals: department slugs, `reconciler`, `operator`.
    The replication factor is left to the installation.
    """

    name: str
    partitions: int
    cleanup_policy: Literal["compact", "delete"]
    configs: dict[str, str] = field(hash=False)
    writers: tuple[str, ...]
    readers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class AclRule:
    """One literal permission; whatever no rule allows is denied."""

    principal: str
    resource_type: Literal["topic", "group"]
    name: str
    operation: Literal["READ", "WRITE", "DESCRIBE", "DESCRIBE_CONFIGS"]


# Each control topic has one writer, so that the topic tells who speaks, whatever a message says of itself: the broker
# lets nobody else write there.


def marks(department: str) -> str:
    """The topic on which this authority states what its streams add up to."""
    return f"{CONTROL_PREFIX}.marks.{department}"


def attestations(department: str) -> str:
    """The topic on which this department states what its own tables hold."""
    return f"{CONTROL_PREFIX}.attestations.{department}"


def inquiries(department: str) -> str:
    """The topic on which the reconciler asks this department."""
    return f"{CONTROL_PREFIX}.inquiries.{department}"


def answers(department: str) -> str:
    """The topic on which this department answers the reconciler's inquiries."""
    return f"{CONTROL_PREFIX}.answers.{department}"


def orders(principal: str) -> str:
    """The topic on which a department or the reconciler gives orders to authorities."""
    return f"{CONTROL_PREFIX}.orders.{principal}"


def repairs(department: str) -> str:
    """The topic on which the reconciler tells this department which of its records are to be published again."""
    return f"{CONTROL_PREFIX}.repairs.{department}"


def divergences(principal: str) -> str:
    """The topic of the reconciler's divergences, or of what operators decide about them."""
    return f"{CONTROL_PREFIX}.divergences.{principal}"


def evidence(source: str) -> str:
    """The topic on which this source records what happened, for assessment."""
    return f"{CONTROL_PREFIX}.evidence.{source}"


def heartbeats(principal: str) -> str:
    """The topic on which the services of a department, or the reconciler, give a sign of life."""
    return f"{CONTROL_PREFIX}.heartbeats.{principal}"


def publishers(topology: Topology) -> tuple[str, ...]:
    """The departments that are the authority of some view."""
    return tuple(slug for slug in topology.departments if topology.published_by(slug))


def subscribers(topology: Topology) -> tuple[str, ...]:
    """The departments that subscribe to some view."""
    return tuple(slug for slug in topology.departments if topology.subscribed_by(slug))


def order_speakers(topology: Topology, authority: str) -> tuple[str, ...]:
    """Who may order something of this authority: the reconciler, and who subscribes to its views."""
    subscribers = {slug for view in topology.published_by(authority) for slug in view.subscriptions}
    return (RECONCILER, *sorted(subscribers))


def group_of(principal: str) -> str:
    """The consumer group of a department's applier, of the reconciler, or of the operators."""
    return f"{CONTROL_PREFIX}.{principal}"


def topics_of(topology: Topology) -> tuple[TopicSpec, ...]:
    """Every topic the topology needs: views first in written order, then control topics.

    A control topic has one partition, which keeps its messages in one order, so that the newest statement about a
    stream is the last one read.
    None has the volume to need more: the busiest, the marks, takes at most one message a second per stream, which is a
    few thousand a second in a city of hundreds of topics, and a partition carries a hundred thousand.
    """
    return (*(_view_topic(view) for view in topology.views()), *_control_topics(topology))


# The broker unpacks what is written, so that the topic's limit holds for what readers will have to unpack: a megabyte
# of zeros packs into a thousand bytes, and librdkafka unpacks without a bound.
_NOT_COMPRESSED = {"compression.type": "uncompressed"}


def _view_topic(view: View) -> TopicSpec:
    # A tombstone is sent once every live subscription has attested past the delete; it outlives the longest lag for the
    # department that was restored from a backup since, and reads the same stretch again.
    longest_lag_ms = _longest_lag_ms(view)
    configs = {
        "cleanup.policy": "compact",
        "min.compaction.lag.ms": str(_DAY_MS),
        "delete.retention.ms": str(longest_lag_ms + _DAY_MS),
        **_NOT_COMPRESSED,
    }
    return TopicSpec(
        name=view.topic,
        partitions=view.partitions,
        cleanup_policy="compact",
        configs=configs,
        writers=(view.authority,),
        # The relay reads the last event of its own streams at start, to see whether the log is ahead of the ledger.
        readers=(view.authority, *view.subscriptions),
    )


def _longest_lag_ms(*views: View) -> int:
    lags = [terms.longest_lag_hours * _HOUR_MS for view in views for terms in view.subscriptions.values()]
    return max(lags, default=_DEFAULT_LAG_MS)


def _control_topics(topology: Topology) -> Iterator[TopicSpec]:
    publishing, subscribing = publishers(topology), subscribers(topology)
    active = tuple(slug for slug in topology.departments if slug in {*publishing, *subscribing})
    # A sum is compared with the mark of the same position, so both outlive the longest absence by a day to catch up.
    statements_ms = _longest_lag_ms(*topology.views()) + _DAY_MS
    week_ms = 7 * _DAY_MS
    watchers = (RECONCILER, OPERATOR)
    for slug in publishing:
        yield _by_time(marks(slug), statements_ms, slug, watchers)
    for slug in subscribing:
        yield _by_time(attestations(slug), statements_ms, slug, watchers)
        # One that a department was away for longer is given again, since its divergence is still open.
        yield _by_time(repairs(slug), max(statements_ms, week_ms), RECONCILER, (slug,))
    for slug in active:
        yield _by_time(inquiries(slug), week_ms, RECONCILER, (slug,))
        yield _by_time(answers(slug), week_ms, slug, (RECONCILER,))
    # An order that a relay was away for longer than this is given again, since its divergence is still open.
    for principal in (RECONCILER, *subscribing):
        obeying = tuple(slug for slug in publishing if principal in order_speakers(topology, slug))
        yield _by_time(orders(principal), max(statements_ms, week_ms), principal, obeying)
    for principal in watchers:
        yield _compacted(divergences(principal), {}, principal)
    for principal in (*active, RECONCILER):
        yield _compacted(heartbeats(principal), _SOON, principal)
    yield _by_time(evidence(RECONCILER), 800 * _DAY_MS, RECONCILER, watchers)


# Only the newest messages count, and whoever asks how things stand waits for all of them: short segments, soon
# compacted, keep the topic below some hundred messages.
_SOON = {"segment.ms": str(10 * _MINUTE_MS), "min.cleanable.dirty.ratio": "0.1"}


def _compacted(name: str, configs: Mapping[str, str], writer: str) -> TopicSpec:
    return TopicSpec(
        name=name,
        partitions=1,
        cleanup_policy="compact",
        configs={"cleanup.policy": "compact", **configs, **_NOT_COMPRESSED},
        writers=(writer,),
        readers=(RECONCILER, OPERATOR),
    )


def _by_time(name: str, retention_ms: int, writer: str, readers: tuple[str, ...]) -> TopicSpec:
    return TopicSpec(
        name=name,
        partitions=1,
        cleanup_policy="delete",
        configs={
            "cleanup.policy": "delete",
            "retention.ms": str(retention_ms),
            "retention.bytes": "-1",
            **_NOT_COMPRESSED,
        },
        writers=(writer,),
        readers=readers,
    )


def acls_of(topology: Topology) -> tuple[AclRule, ...]:
    """Every permission the topology's services need, sorted; all are literal, and nothing else is to be allowed.

    READ and WRITE imply DESCRIBE, so DESCRIBE is named only where it is all that is given: operators see how far groups
    and views have come, and none of the data.
    Neither implies DESCRIBE_CONFIGS, by which each service compares the settings of its own topics with the topology;
    operators run no service.
    An idempotent producer needs no more than WRITE on its topics.
    """
    specs = topics_of(topology)
    rules = {
        AclRule(principal=principal, resource_type="topic", name=spec.name, operation="WRITE")
        for spec in specs
        for principal in spec.writers
    }
    rules |= {
        AclRule(principal=principal, resource_type="topic", name=spec.name, operation="READ")
        for spec in specs
        for principal in spec.readers
    }
    rules |= {
        AclRule(principal=principal, resource_type="topic", name=spec.name, operation="DESCRIBE_CONFIGS")
        for spec in specs
        for principal in {*spec.writers, *spec.readers} - {OPERATOR}
    }
    rules |= {
        AclRule(principal=OPERATOR, resource_type="topic", name=view.topic, operation="DESCRIBE")
        for view in topology.views()
    }
    for principal in {principal for spec in specs for principal in (*spec.writers, *spec.readers)}:
        rules.add(AclRule(principal=principal, resource_type="group", name=group_of(principal), operation="READ"))
        if principal != OPERATOR:
            rules.add(
                AclRule(principal=OPERATOR, resource_type="group", name=group_of(principal), operation="DESCRIBE")
            )
    return tuple(sorted(rules))
