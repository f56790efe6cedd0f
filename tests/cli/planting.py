"""A host, a broker and a network in which a test of `tellonce doctor` plants one fault; by default all is well."""

import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from tellonce.cli.doctor.checks import Finding, State
from tellonce.cli.doctor.examination import examine
from tellonce.cli.doctor.probes import Budget, Listener, Probes, real_probes
from tellonce.cli.settings import Settings
from tellonce.kafka.admin import Absence, ClusterFacts, Metadata, TopicFacts
from tellonce.kafka.settings import KafkaSettings
from tellonce.kafka.topic_differences import durability_settings
from tellonce.model.errors import ConfigurationError
from tellonce.storage.database import open_database
from tellonce.topology import load_topology, topics_of

__all__ = ["DEPARTMENT", "ROOT", "FakeBroker", "World", "assert_finding", "facts", "look", "states"]

ROOT = Path(__file__).parents[2]
DEPARTMENT = "civil-affairs"
EVERYTHING = frozenset({"READ", "WRITE", "DESCRIBE", "DESCRIBE_CONFIGS"})
SPECS = topics_of(load_topology(ROOT / "topology.yaml"))


def facts(name: str, partitions: int, operations: frozenset[str] = EVERYTHING) -> TopicFacts:
    """A topic as it is."""
    return TopicFacts(name=name, partitions=partitions, replication_factor=1, operations=operations)


@dataclass(slots=True, kw_only=True)
class FakeBroker:
    """A broker as its tests want it; by default it is as the topology says."""

    brokers: tuple[str, ...] = ("kafka.example:9092",)
    refusal: Exception | None = None
    protocol: bool | None = True
    is_embedded: bool = False
    changed: Mapping[str, TopicFacts | Absence] = field(default_factory=dict[str, TopicFacts | Absence])
    overrides: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])
    shows_settings: bool = True
    group: frozenset[str] | None = EVERYTHING
    limits: list[float] = field(default_factory=list[float])

    def metadata(self, limit: float) -> Metadata:
        self.limits.append(limit)
        if self.refusal is not None:
            raise self.refusal
        names = frozenset(spec.name for spec in SPECS) - {n for n, f in self.changed.items() if isinstance(f, Absence)}
        return Metadata(topics=names, has_controller=not self.is_embedded, brokers=self.brokers)

    def has_group_protocol(self) -> bool | None:
        return self.protocol

    def cluster(self, limit: float) -> ClusterFacts:
        self.limits.append(limit)
        return ClusterFacts(brokers=1, operations=EVERYTHING, has_authorizer=True)

    def topics(self, names: Iterable[str], limit: float) -> Mapping[str, TopicFacts | Absence]:
        self.limits.append(limit)
        wanted = {spec.name: facts(spec.name, spec.partitions) for spec in SPECS} | dict(self.changed)
        return {name: wanted[name] for name in names}

    def topic_settings(self, names: Iterable[str], limit: float) -> Mapping[str, Mapping[str, str]]:
        self.limits.append(limit)
        if not self.shows_settings:
            msg = "hidden"
            raise ConfigurationError(msg)
        wanted = {spec.name: durability_settings(1) | spec.configs for spec in SPECS}
        return {name: wanted[name] | dict(self.overrides.get(name, {})) for name in names}

    def group_operations(self, group: str, limit: float) -> frozenset[str]:
        self.limits.append(limit)
        assert group == f"tellonce.{DEPARTMENT}"
        if self.group is None:
            msg = "closed"
            raise ConfigurationError(msg)
        return self.group


@dataclass(slots=True, kw_only=True)
class World:
    """All that is outside the process; `limits` are those that each probe was given, by its name."""

    broker: FakeBroker = field(default_factory=FakeBroker)
    unknown: frozenset[str] = frozenset()
    silent: frozenset[str] = frozenset()
    listener: Listener = Listener.NOBODY
    ahead_ms: int = 0
    limits: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    def _note(self, probe: str, limit: float) -> None:
        self.limits.setdefault(probe, []).append(limit)

    def probes(self) -> Probes:
        """The probes that meet this world."""

        def resolve(name: str, _port: int, limit: float) -> None:
            self._note("resolve", limit)
            if name in self.unknown:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        def connect(name: str, _port: int, limit: float) -> None:
            self._note("connect", limit)
            if name in self.silent:
                raise TimeoutError

        def open_broker(_settings: KafkaSettings) -> FakeBroker:
            return self.broker

        def database(url: str, limit: float) -> Engine:
            self._note("database", limit)
            return open_database(url, connect_seconds=2)

        def listener_at(_host: str, _port: int, limit: float) -> Listener:
            self._note("listener", limit)
            return self.listener

        real = real_probes()
        return Probes(
            resolve=resolve,
            connect=connect,
            open_broker=open_broker,
            open_database=database,
            listener_at=listener_at,
            now_ms=lambda: real.now_ms() + self.ahead_ms,
        )


def look(
    given: Mapping[str, Any], world: World | None = None, department: str | None = DEPARTMENT
) -> dict[str, Finding]:
    """The findings by check."""
    probes = (world or World()).probes()
    return {
        one.name: one.finding for one in examine(lambda: Settings.model_validate(given), department, probes, Budget(60))
    }


def states(found: Mapping[str, Finding], state: State) -> set[str]:
    """The checks that ended so."""
    return {name for name, finding in found.items() if finding.state is state}


def assert_finding(finding: Finding, state: State, sentence: str, remedy: str) -> None:
    """Asserts how a check ended, and that one line says what was found and another what mends it."""
    assert finding.state is state, finding
    assert sentence in finding.sentence, finding
    assert remedy in (finding.remedy or ""), finding
    assert "\n" not in finding.sentence
