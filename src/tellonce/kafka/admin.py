"""What an administrator asks of a cluster and tells it, in plain types: topics, their settings, access rules.

confluent-kafka answers such requests with untyped futures, and hides two refusals: `describe_acls` gives an empty list
where the right to see rules is missing and where the broker has no authorizer. `ClusterFacts` tells both apart.
"""

# pyright: reportPrivateImportUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# The reason for all four: confluent_kafka.admin names no exports, and its futures carry no type.

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from tellonce.kafka.clients import make_admin
from tellonce.kafka.errors import error_of
from tellonce.kafka.settings import KafkaSettings
from tellonce.model.errors import ConfigurationError

__all__ = ["Absence", "Acl", "Admin", "ClusterFacts", "Metadata", "TopicFacts"]

_REQUEST_SECONDS = 10.0
_EVERY_OPERATION = frozenset(operation.name for operation in AclOperation)


class Absence(Enum):
    """Why a topic is not shown."""

    MISSING = "missing"
    HIDDEN = "hidden"


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicFacts:
    """A topic as it is; `operations` are Kafka's names of what this user may do with it."""

    name: str
    partitions: int
    replication_factor: int
    operations: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterFacts:
    """A cluster as it is: how many brokers, what this user may do with it, whether it knows access rules at all."""

    brokers: int
    operations: frozenset[str]
    has_authorizer: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What any client learns first: the topics that this user may see, and whether the cluster names a controller.

    `brokers` are the addresses, `host:port`, that the cluster tells clients to connect to.
    """

    topics: frozenset[str]
    has_controller: bool
    brokers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Acl:
    """One access rule of the broker; words as Kafka spells them, the resource type in lower case."""

    principal: str
    operation: str
    resource_type: str
    name: str
    pattern: str = "LITERAL"
    permission: str = "ALLOW"
    host: str = "*"

    def __str__(self) -> str:
        """The rule as one reads it: who, what, on what."""
        pattern = "" if self.pattern == "LITERAL" else f" ({self.pattern.lower()})"
        host = "" if self.host == "*" else f" from {self.host}"
        permission = "" if self.permission == "ALLOW" else f"{self.permission} "
        return f"{permission}{self.principal} {self.operation} {self.resource_type} {self.name}{pattern}{host}"


class Admin:
    """A connection for administrators; each request waits at most `timeout` seconds, 10 unless told.

    Raises from every request:
        RetryableError: the cluster did not answer.
        ConfigurationError: it refused.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        client_id: str,
        on_error: Callable[[KafkaError], None] | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        """Make the client; nothing is asked yet. The callbacks are as in `clients.make_admin`."""
        self._servers = settings.bootstrap_servers
        self._client = make_admin(settings, client_id, on_error, on_line)

    def poll(self, timeout: float) -> None:
        """Let the callbacks run that wait."""
        self._client.poll(timeout)

    def metadata(self, timeout: float = _REQUEST_SECONDS) -> Metadata:
        """Gives what any broker tells any client. The embedded broker names no controller."""
        try:
            found = self._client.list_topics(timeout=timeout)
        except KafkaException as error:
            raise error_of(error, f"reach Kafka at {self._servers}") from error
        return Metadata(
            topics=frozenset(found.topics),
            has_controller=found.controller_id in found.brokers,
            brokers=tuple(_address(str(one.host), int(one.port or 0)) for _, one in sorted(found.brokers.items())),
        )

    def cluster(self, timeout: float = _REQUEST_SECONDS) -> ClusterFacts:
        """Gives the cluster's size, this user's rights to it, and whether it has an authorizer."""
        answer = self._ask(
            self._client.describe_cluster(include_authorized_operations=True, request_timeout=timeout),
            "describe the cluster",
        )
        operations = _names(answer.authorized_operations)
        # Without an authorizer everybody may do everything, so whoever may not look at the broker's settings has one.
        has_authorizer = True
        if "DESCRIBE_CONFIGS" in operations:
            broker = ConfigResource(ResourceType.BROKER, str(answer.controller.id))
            asked = self._client.describe_configs([broker], request_timeout=timeout)[broker]
            entry = self._ask(asked, "read the broker's settings").get("authorizer.class.name")
            has_authorizer = entry is None or bool(entry.value)
        return ClusterFacts(brokers=len(answer.nodes), operations=operations, has_authorizer=has_authorizer)

    def topics(self, names: Iterable[str], timeout: float = _REQUEST_SECONDS) -> dict[str, TopicFacts | Absence]:
        """Gives each topic as it is; the broker hides a topic that exists and one that does not in the same way."""
        wanted = sorted(set(names))
        facts: dict[str, TopicFacts | Absence] = {}
        if not wanted:
            return facts
        asked = self._client.describe_topics(
            TopicCollection(wanted), include_authorized_operations=True, request_timeout=timeout
        )
        for name, future in asked.items():
            try:
                answer = future.result()
            except KafkaException as error:
                match error.args[0].name():
                    case "UNKNOWN_TOPIC_OR_PART":
                        facts[name] = Absence.MISSING
                    case "TOPIC_AUTHORIZATION_FAILED":
                        facts[name] = Absence.HIDDEN
                    case _:
                        raise error_of(error, f"look up topic {name} at {self._servers}", topic=name) from error
                continue
            operations = answer.authorized_operations
            facts[name] = TopicFacts(
                name=name,
                partitions=len(answer.partitions),
                replication_factor=min((len(one.replicas) for one in answer.partitions), default=0),
                # A broker that tells nothing has no authorizer of this kind: its own refusals will have to do.
                operations=_EVERY_OPERATION if operations is None else _names(operations),
            )
        return facts

    def group_operations(self, group: str, timeout: float = _REQUEST_SECONDS) -> frozenset[str]:
        """Gives what this user may do with a consumer group, be it there or not; without any right it is refused."""
        asked = self._client.describe_consumer_groups(
            [group], include_authorized_operations=True, request_timeout=timeout
        )
        answer = self._ask(asked[group], f"look up consumer group {group}")
        # As of a topic: a broker that tells nothing has no authorizer of this kind.
        return _EVERY_OPERATION if answer.authorized_operations is None else _names(answer.authorized_operations)

    def topic_settings(self, names: Iterable[str], timeout: float = _REQUEST_SECONDS) -> dict[str, dict[str, str]]:
        """Gives each topic's settings in force, the broker's defaults among them."""
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        if not resources:
            return {}
        asked = self._client.describe_configs(resources, request_timeout=timeout)
        found: dict[str, dict[str, str]] = {}
        for resource, future in asked.items():
            entries = self._ask(future, f"read the settings of topic {resource.name}", topic=resource.name)
            found[resource.name] = {name: entry.value for name, entry in entries.items() if entry.value is not None}
        return found

    def acls(self) -> frozenset[Acl]:
        """Gives every access rule. Without the right to see them, or an authorizer, there are none: ask first."""
        # None stands for any name, principal and host; the declared types do not know that.
        anything: Any = None
        everything = AclBindingFilter(
            ResourceType.ANY,
            anything,
            ResourcePatternType.ANY,
            anything,
            anything,
            AclOperation.ANY,
            AclPermissionType.ANY,
        )
        found = self._ask(
            self._client.describe_acls(everything, request_timeout=_REQUEST_SECONDS), "read the access rules"
        )
        return frozenset(
            Acl(
                principal=one.principal,
                operation=one.operation.name,
                resource_type=one.restype.name.lower(),
                name=one.name,
                pattern=one.resource_pattern_type.name,
                permission=one.permission_type.name,
                host=one.host,
            )
            for one in found
        )

    def create_topic(
        self,
        name: str,
        *,
        partitions: int,
        replication_factor: int,
        settings: Mapping[str, str],
        is_trial: bool = False,
    ) -> None:
        """Make a topic, and return when brokers know it; a trial only asks whether it could be made."""
        topic = NewTopic(name, partitions, replication_factor, config=dict(settings))
        asked = self._client.create_topics(
            [topic],
            validate_only=is_trial,
            request_timeout=_REQUEST_SECONDS,
            # With 0 the broker would answer before it has looked.
            operation_timeout=_REQUEST_SECONDS,
        )
        self._ask(asked[name], f"make topic {name}", topic=name)

    def change_settings(self, topic: str, settings: Mapping[str, str]) -> None:
        """Set these settings of a topic and leave its others."""
        entries = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in settings.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
        asked = self._client.incremental_alter_configs([resource], request_timeout=_REQUEST_SECONDS)
        self._ask(asked[resource], f"change the settings of topic {topic}", topic=topic)

    def create_acl(self, acl: Acl) -> None:
        """Make an access rule."""
        binding = AclBinding(
            ResourceType[acl.resource_type.upper()],
            acl.name,
            ResourcePatternType[acl.pattern],
            acl.principal,
            acl.host,
            AclOperation[acl.operation],
            AclPermissionType[acl.permission],
        )
        asked = self._client.create_acls([binding], request_timeout=_REQUEST_SECONDS)
        self._ask(asked[binding], f"make the access rule {acl}")

    def _ask(self, future: Any, doing: str, **facts: str) -> Any:
        try:
            return future.result()
        except KafkaException as error:
            raise error_of(error, f"{doing} at {self._servers}", **facts) from error
        except ValueError as error:
            # confluent-kafka checks some arguments itself, such as a principal without its kind.
            message = f"could not {doing}: {error}"
            raise ConfigurationError(message, **facts) from error


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _names(operations: Iterable[AclOperation] | None) -> frozenset[str]:
    return frozenset(operation.name for operation in operations or ())
