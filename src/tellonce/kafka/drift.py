"""By how much the topics of one service differ from what the topology says, as far as this user can see."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tellonce.kafka.admin import Absence, Metadata, TopicFacts
from tellonce.kafka.topic_differences import count_differences, topic_differences
from tellonce.model.errors import ConfigurationError
from tellonce.topology.topics import TopicSpec

__all__ = ["Drift", "TopicsShown", "compare_topics", "read_drift"]


class TopicsShown(Protocol):
    """What is asked of a broker; each request waits so many seconds at most and raises a TellonceError."""

    def metadata(self, limit: float, /) -> Metadata:
        """Give what any client learns first."""
        ...

    def topics(self, names: Iterable[str], limit: float, /) -> Mapping[str, TopicFacts | Absence]:
        """Give each topic as it is."""
        ...

    def topic_settings(self, names: Iterable[str], limit: float, /) -> Mapping[str, Mapping[str, str]]:
        """Give each topic's settings in force."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How many differences were found, by topic, and whether all that is compared could be seen."""

    by_topic: Mapping[str, int]
    is_complete: bool

    @property
    def differences(self) -> int | None:
        """How many there are; at least so many where not everything was seen, and None where nothing can be said."""
        found = sum(self.by_topic.values())
        return found if found or self.is_complete else None


def compare_topics(
    specs: Sequence[TopicSpec],
    found: Mapping[str, TopicFacts | Absence],
    in_force: Mapping[str, Mapping[str, str]] | None,
) -> Drift:
    """Gives the drift of these topics; `in_force` is None where the broker does not show settings to this user.

    A missing topic is one difference. How many copies there are is left to the installation, as in the topology.
    """
    by_topic: dict[str, int] = {}
    is_complete = True
    for spec in specs:
        facts = found.get(spec.name, Absence.HIDDEN)
        if isinstance(facts, TopicFacts):
            settings = None if in_force is None else in_force.get(spec.name)
            is_complete = is_complete and settings is not None
            by_topic[spec.name] = count_differences(topic_differences(spec, facts, settings, facts.replication_factor))
        elif facts is Absence.MISSING:
            by_topic[spec.name] = 1
        else:
            is_complete = False
    return Drift(by_topic={name: count for name, count in by_topic.items() if count}, is_complete=is_complete)


def read_drift(broker: TopicsShown, specs: Sequence[TopicSpec], limit: float) -> Drift:
    """Asks the broker and compares; each of three requests waits `limit` seconds at most.

    Raises:
        RetryableError: the broker did not answer.
        ConfigurationError: it refused more than to show settings.
    """
    if not broker.metadata(limit).has_controller:
        # The embedded broker knows no requests of administrators.
        return Drift(by_topic={}, is_complete=False)
    found = broker.topics([spec.name for spec in specs], limit)
    try:
        in_force = broker.topic_settings([name for name, one in found.items() if isinstance(one, TopicFacts)], limit)
    except ConfigurationError:
        in_force = None
    return compare_topics(specs, found, in_force)
