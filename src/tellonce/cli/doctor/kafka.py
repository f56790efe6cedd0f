"""Kafka as this host sees it: names, ports, login, advertised addresses, topics and rights; nothing is written."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from tellonce.cli.doctor.checks import Check, Finding, fail, joined, ok, warn
from tellonce.cli.doctor.host import Host, addresses_of
from tellonce.cli.doctor.probes import Broker, Budget, Probes
from tellonce.kafka.admin import Absence, Metadata, TopicFacts
from tellonce.kafka.plan import Action, Step
from tellonce.kafka.topic_differences import topic_differences
from tellonce.model.errors import ConfigurationError, RetryableError
from tellonce.topology import TopicSpec, topics_of
from tellonce.topology.topics import group_of

__all__ = ["NETWORK_SECONDS", "KafkaChecks"]

NETWORK_SECONDS = {
    "broker name": 1.0,
    "broker port": 1.0,
    "broker login": 2.0,
    "broker addresses": 1.0,
    "topics": 2.0,
    "topic settings": 2.0,
    "groups": 2.0,
}
"""The longest that each step waits, for all of its addresses together."""

_USUAL_REPLICAS = 3
_SERVERS = "TELLONCE_KAFKA__BOOTSTRAP_SERVERS"
_APPLY = "tellonce topics apply"
_PLAN = "tellonce topics plan"


class KafkaChecks:
    """The checks of the broker, for a department or for the whole topology."""

    def __init__(self, host: Host, probes: Probes, budget: Budget) -> None:
        """Look at nothing yet."""
        self._host = host
        self._probes = probes
        self._budget = budget

    @cached_property
    def _broker(self) -> Broker:
        return self._probes.open_broker(self._host.settings.kafka)

    @cached_property
    def _metadata(self) -> Metadata:
        return self._broker.metadata(self._limit("broker login"))

    @cached_property
    def _specs(self) -> Sequence[TopicSpec]:
        specs, department = topics_of(self._host.topology), self._host.department
        return [spec for spec in specs if department is None or department in {*spec.writers, *spec.readers}]

    @cached_property
    def _topics(self) -> dict[str, TopicFacts | Absence]:
        names = [spec.name for spec in self._specs]
        if self._metadata.has_controller:
            return dict(self._broker.topics(names, self._limit("topics")))
        # The embedded broker knows no requests of administrators.
        return {name: Absence.MISSING for name in names if name not in self._metadata.topics}

    def checks(self) -> list[Check]:
        """Gives the checks of the broker, in order."""
        named = [] if self._host.department is None else ["department"]
        found = [
            Check(name="broker name", run=self._check_names, remedy=_SERVERS, needs=("settings",)),
            Check(name="broker port", run=self._check_ports, remedy=_SERVERS, needs=("broker name",)),
            Check(name="broker login", run=self._check_login, remedy=_SERVERS, needs=("broker port",)),
            Check(name="broker addresses", run=self._check_addresses, remedy=_SERVERS, needs=("broker login",)),
            Check(
                name="broker version",
                run=self._check_version,
                remedy="TELLONCE_KAFKA__GROUP_PROTOCOL=classic",
                needs=("broker login",),
            ),
            Check(name="topics", run=self._check_topics, remedy=_PLAN, needs=("broker addresses", "topology", *named)),
        ]
        if named:
            needs = ("broker addresses", "topology", *named)
            found.append(Check(name="rights", run=self._check_rights, remedy=_APPLY, needs=needs))
        return found

    def _limit(self, step: str) -> float:
        return self._budget.limit(NETWORK_SECONDS[step])

    def _unreachable(
        self, step: str, addresses: Sequence[tuple[str, int]], probe: Callable[[str, int, float], None]
    ) -> list[str]:
        limit = self._limit(step) / max(len(addresses), 1)
        found: list[str] = []
        for host, port in addresses:
            try:
                probe(host, port, limit)
            except OSError as error:
                found.append(f"{_address(host, port)} ({error.strerror or 'no answer in time'})")
        return found

    def _check_names(self) -> Finding:
        addresses = addresses_of(self._host.settings.kafka.bootstrap_servers)
        lost = self._unreachable("broker name", addresses, self._probes.resolve)
        if len(lost) == len(addresses):
            raise RetryableError(f"expected the brokers' names to have an address here, found none for {joined(lost)}")
        if lost:
            return warn(f"no address is known for {joined(lost)}; one of the others will do", _SERVERS)
        return ok(f"every host of {self._host.settings.kafka.bootstrap_servers} has an address")

    def _check_ports(self) -> Finding:
        addresses = addresses_of(self._host.settings.kafka.bootstrap_servers)
        lost = self._unreachable("broker port", addresses, self._probes.connect)
        if len(lost) == len(addresses):
            msg = f"expected a broker to listen, found nobody at {joined(lost)}; start it, or correct {_SERVERS}"
            raise RetryableError(msg)
        if lost:
            return warn(f"nobody listens at {joined(lost)}; one of the others will do", _SERVERS)
        return ok("somebody listens there")

    def _check_login(self) -> Finding:
        metadata, kafka = self._metadata, self._host.settings.kafka
        return ok(f"{kafka.identity} is let in by {kafka.security_protocol} and sees {len(metadata.topics)} topics")

    def _check_addresses(self) -> Finding:
        """A broker that is asked at one address tells clients to go on at another: the likeliest mistake of all."""
        told = self._metadata.brokers
        addresses = addresses_of(",".join(told))
        unknown = self._unreachable("broker addresses", addresses, self._probes.resolve)
        lost = unknown or self._unreachable("broker addresses", addresses, self._probes.connect)
        if not lost:
            return ok(f"clients are told to connect to {', '.join(told)}, which can be reached from here")
        why = "which this machine cannot resolve" if unknown else "where nothing answers this machine"
        msg = (
            f"the broker at {self._host.settings.kafka.bootstrap_servers} answered, but tells clients to connect to "
            f"{joined(lost)}, {why}: set advertised.listeners at the broker to an address that can be reached from "
            f"here, or {_SERVERS} to its listener for this network"
        )
        raise RetryableError(msg)

    def _check_version(self) -> Finding:
        has_protocol, wanted = self._broker.has_group_protocol(), self._host.settings.kafka.group_protocol
        if has_protocol is None:
            return warn("the Kafka client does not tell what the broker knows", "TELLONCE_KAFKA__GROUP_PROTOCOL")
        if wanted == "consumer" and not has_protocol:
            return fail(
                "expected a broker with the group protocol `consumer` (Kafka 4.0 or newer), found one without",
                "TELLONCE_KAFKA__GROUP_PROTOCOL=classic",
            )
        if not self._metadata.has_controller and wanted == "consumer":
            return fail(
                "the embedded broker shares partitions by the group protocol `classic` only",
                "TELLONCE_KAFKA__GROUP_PROTOCOL=classic",
            )
        return ok(f"the broker knows the group protocol {wanted}" + (", of Kafka 4.0 or newer" if has_protocol else ""))

    def _check_topics(self) -> Finding:
        missing = [name for name, found in self._topics.items() if found is Absence.MISSING]
        if missing:
            msg = f"expected {len(self._specs)} topics, found {len(missing)} of them missing: {joined(missing)}"
            return fail(msg, _APPLY)
        if not self._metadata.has_controller:
            return ok(f"{len(self._specs)} topics are there; an embedded broker has no settings to compare")
        hidden = [name for name, found in self._topics.items() if found is Absence.HIDDEN]
        if hidden and self._host.department is None:
            identity = self._host.settings.kafka.identity
            msg = f"{len(hidden)} of {len(self._specs)} topics are hidden from {identity}: {joined(hidden)}"
            return warn(msg, "name the department, or log in as an administrator")
        return self._compared()

    def _compared(self) -> Finding:
        """The topics that can be seen, against the topology."""
        there = {name: found for name, found in self._topics.items() if isinstance(found, TopicFacts)}
        specs = [spec for spec in self._specs if spec.name in there]
        try:
            in_force = self._broker.topic_settings(there, self._limit("topic settings"))
        except ConfigurationError:
            # How many copies there ought to be is not known without the cluster's size, which may be hidden as well.
            counted = {spec: topic_differences(spec, there[spec.name], None, 0) for spec in specs}
            if any(counted.values()):
                return _judged(counted)
            identity = self._host.settings.kafka.identity
            return ok(f"topics with their partitions: {len(specs)}; their settings are not shown to {identity}")
        replicas = min(_USUAL_REPLICAS, self._broker.cluster(self._limit("topics")).brokers)
        return _judged(
            {spec: topic_differences(spec, there[spec.name], in_force[spec.name], replicas) for spec in specs}
        )

    def _check_rights(self) -> Finding:
        if not self._metadata.has_controller:
            return ok("an embedded broker lets everybody do everything")
        department, identity = self._host.department or "", self._host.settings.kafka.identity
        lacking = [
            f"{operation.lower()} {spec.name}"
            for spec in self._specs
            for operation, principals in (("READ", spec.readers), ("WRITE", spec.writers))
            if department in principals and _is_denied(self._topics[spec.name], operation)
        ]
        if self._host.subscribed and not self._may_read_as(group_of(department)):
            lacking.append(f"read as group {group_of(department)}")
        opaque = [spec.name for spec in self._specs if _is_denied(self._topics[spec.name], "DESCRIBE_CONFIGS")]
        if lacking:
            return fail(f"{identity} may not {joined(lacking)}: an administrator allows it", _APPLY)
        if opaque:
            # Services run without it, so a host whose rules are of an older release is not said to be broken.
            msg = (
                f"{identity} may not see the settings of {joined(opaque)}: tellonce_topology_drift stays unknown until "
                "an administrator allows DESCRIBE_CONFIGS"
            )
            return warn(msg, _APPLY)
        return ok(f"the rights of {department} are given on its topics: {len(self._specs)}")

    def _may_read_as(self, group: str) -> bool:
        try:
            return "READ" in self._broker.group_operations(group, self._limit("groups"))
        except ConfigurationError:
            return False


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _judged(differing: Mapping[TopicSpec, Sequence[Step]]) -> Finding:
    """What loses records, or parts a record's versions, is a failure; other drift is a warning."""
    steps = [step for some in differing.values() for step in some]
    if not steps:
        return ok(f"topics that are as the topology says: {len(differing)}")
    # Without sign and action, which are those of a plan.
    told = [str(step).partition(f" {step.resource} ")[2].strip() for step in sorted(steps, key=_is_light)]
    remedy = _APPLY if all(step.action is Action.CHANGE for step in steps) else _PLAN
    return warn(joined(told), remedy) if all(map(_is_light, steps)) else fail(joined(told), remedy)


def _is_light(step: Step) -> bool:
    reason = step.reason or ""
    return "cleanup.policy" not in {*step.settings, reason.partition(" ")[0]} and " partitions, " not in reason


def _is_denied(facts: TopicFacts | Absence, operation: str) -> bool:
    if isinstance(facts, TopicFacts):
        return operation not in facts.operations
    # One that is missing is told by the check of topics.
    return facts is Absence.HIDDEN
