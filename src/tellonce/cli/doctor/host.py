"""What this host has: the software, the settings, the contract, the department's declarations and its keys.

Each thing is got once, by the check that looks at it, and is there for those that need that check.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import confluent_kafka

from tellonce.avro.catalogue import Catalogue
from tellonce.avro.check import check_schemas
from tellonce.cli.doctor.checks import Check, Finding, fail, joined, ok, warn
from tellonce.cli.settings import Settings
from tellonce.control.signing import Signatures
from tellonce.declare import Binding, Source, load_bindings, load_source
from tellonce.declare.check import check_binding, check_source
from tellonce.keyring import load_signing_key, load_view_keys
from tellonce.model.errors import ConfigurationError
from tellonce.topology import CheckedTopology, Topology, View, check_topology

__all__ = ["LEAST_CLIENT", "LEAST_PYTHON", "Host", "addresses_of", "is_local"]

LEAST_PYTHON = (3, 11)
LEAST_CLIENT = (2, 14, 2)
"""The oldest confluent-kafka that pyproject.toml allows."""

_DEFAULT_KAFKA_PORT = 9092
_HIGHEST_PORT = 65_535


class Host:
    """This host, with the department that it belongs to; without one only what needs none is looked at."""

    def __init__(self, load: Callable[[], Settings], department: str | None) -> None:
        """Look at nothing yet; `load` gives the settings, or raises ConfigurationError."""
        self._load = load
        self.department = department

    @cached_property
    def settings(self) -> Settings:
        """The settings; raises ConfigurationError where they are wrong."""
        return self._load()

    @cached_property
    def _checked(self) -> CheckedTopology:
        return check_topology(self.settings.topology)

    @property
    def topology(self) -> Topology:
        """The contract; raises ConfigurationError where it is wrong."""
        return self._checked.topology

    @cached_property
    def catalogue(self) -> Catalogue:
        """The published schemas; raises ConfigurationError where they are wrong."""
        return Catalogue.load(self.settings.schemas, self.topology)

    @property
    def published(self) -> Sequence[View]:
        """The views that the department publishes."""
        return self.topology.published_by(self.department or "")

    @property
    def subscribed(self) -> Sequence[View]:
        """The views that the department subscribes to."""
        return [self.topology.view(one.view) for one in self.topology.subscribed_by(self.department or "")]

    @cached_property
    def sources(self) -> Sequence[Source]:
        """What the department publishes from; none where it publishes nothing."""
        return load_source(self.settings.producers, self.department or "") if self.published else ()

    @cached_property
    def bindings(self) -> Sequence[Binding]:
        """How the department holds what it subscribes to; none where it subscribes to nothing."""
        names = [view.name for view in self.subscribed]
        return load_bindings(self.settings.consumers, self.department or "", subscribed=names) if names else ()

    def checks(self) -> list[Check]:
        """Gives the checks of this host, in order."""
        found = [
            Check(name="python", run=_check_python, remedy="install Python 3.11 or newer"),
            Check(name="kafka client", run=_check_client, remedy="pip install --upgrade confluent-kafka"),
            Check(name="settings", run=self._check_settings, remedy="docs/operations.md lists the settings"),
            Check(name="safety", run=self._check_safety, remedy="chmod 600", needs=("settings",)),
            Check(name="topology", run=self._check_topology, remedy="tellonce check", needs=("settings",)),
            Check(name="schemas", run=self._check_schemas, remedy="tellonce schemas check", needs=("topology",)),
        ]
        if self.department is not None:
            needs = ("topology",)
            found += [
                Check(name="department", run=self._check_department, remedy="tellonce topology show", needs=needs),
                Check(
                    name="declarations",
                    run=self._check_declarations,
                    remedy="tellonce check",
                    needs=("schemas", "department"),
                ),
                Check(name="keys", run=self._check_keys, remedy="tellonce keys new", needs=("department",)),
                Check(
                    name="signatures",
                    run=self._check_signatures,
                    remedy=f"tellonce keys sign {self.department}",
                    needs=("department",),
                ),
            ]
        return found

    def _check_settings(self) -> Finding:
        given = len(self.settings.model_fields_set)
        return ok(f"settings that are given: {given}; the others have their defaults")

    def _check_safety(self) -> Finding:
        found = list(_unsafe(self.settings))
        if not found:
            return ok(
                "no password is in the environment, nothing is readable by others, nothing crosses a network bare"
            )
        return warn(joined([sentence for sentence, _ in found]), found[0][1])

    def _check_topology(self) -> Finding:
        warnings = [str(finding) for finding in self._checked.warnings]
        if warnings:
            return warn(joined(warnings), "tellonce check")
        views = len(self.topology.views())
        return ok(f"{self.settings.topology} has {len(self.topology.departments)} departments and {views} views")

    def _check_schemas(self) -> Finding:
        problems = [finding.text for finding in check_schemas(self.settings.schemas, self.topology)]
        if problems:
            return fail(joined(problems), "tellonce schemas check")
        return ok(f"the published schemas are those of the lock, fingerprint {self.catalogue.fingerprint()}")

    def _check_department(self) -> Finding:
        name = self.topology.department(self.department or "").name
        if not self.published and not self.subscribed:
            return warn(f"{name} neither publishes nor subscribes, so nothing of it runs", "tellonce topology show")
        return ok(f"views of {name}: {len(self.published)} published, {len(self.subscribed)} subscribed to")

    def _check_declarations(self) -> Finding:
        problems: list[str] = []
        for source in self.sources:
            specs = {
                spec.name: spec
                for view in self.published
                if view.record_type == source.record_type
                for spec in self.catalogue.view_schema(view.name).fields
            }
            sharing = self.topology.fields_of(source.record_type)
            problems += [str(finding) for finding in check_source(source, specs.values(), sharing)]
        missing = {view.record_type for view in self.published} - {source.record_type for source in self.sources}
        problems += [f"no Source is declared for {name}" for name in sorted(missing)]
        for binding in self.bindings:
            schema, view = self.catalogue.view_schema(binding.view), self.topology.view(binding.view)
            problems += [str(found) for found in check_binding(binding, schema, view, department=self.department)]
        if problems:
            return fail(joined(problems), "tellonce check")
        return ok(f"the declarations fit the contract: sources {len(self.sources)}, bindings {len(self.bindings)}")

    def _check_keys(self) -> Finding:
        problems: list[ConfigurationError] = []
        names = [view.name for view in (*self.published, *self.subscribed)]
        for name in names:
            try:
                load_view_keys(self.settings.keys, name)
            except ConfigurationError as error:
                problems.append(error)
        if problems:
            raise ConfigurationError(joined([str(error) for error in problems]))
        return ok(f"keys are there, readable by their owner only: {len(names)} views")

    def _check_signatures(self) -> Finding:
        name = self.department or ""
        signatures = Signatures(self.topology.signing_keys, name, partial(load_signing_key, self.settings.keys, name))
        if signatures.own() is None:
            sentence = f"topology.yaml lists no key of {name}, so that whoever can write to its topics can speak for it"
            return warn(sentence, f"tellonce keys sign {name}, and list what it prints")
        return ok(f"what {name} says is signed, by a key that topology.yaml lists")


def _check_python() -> Finding:
    found = sys.version_info
    if found[:2] < LEAST_PYTHON:
        return fail(f"expected Python 3.11 or newer, found {found.major}.{found.minor}", "install Python 3.11 or newer")
    return ok(f"Python {found.major}.{found.minor}.{found.micro}")


def _check_client() -> Finding:
    client, library = confluent_kafka.version(), confluent_kafka.libversion()[0]
    if _numbers(client) < LEAST_CLIENT or _numbers(library)[:2] < LEAST_CLIENT[:2]:
        wanted = ".".join(map(str, LEAST_CLIENT))
        return fail(
            f"expected confluent-kafka {wanted} or newer with its own librdkafka, found {client} with {library}",
            "pip install --upgrade confluent-kafka",
        )
    return ok(f"confluent-kafka {client} with librdkafka {library}")


def _numbers(version: object) -> tuple[int, ...]:
    text = str(version).partition("-")[0].partition("rc")[0]
    return tuple(int(part) for part in text.split(".") if part.isdecimal())


def _unsafe(settings: Settings) -> Iterator[tuple[str, str]]:
    """Gives what works and should not be so, each with its remedy."""
    kafka = settings.kafka
    if not kafka.uses_tls:
        hosts = [host for host, _ in addresses_of(kafka.bootstrap_servers) if not is_local(host)]
        if hosts:
            yield (
                f"{kafka.security_protocol} to {hosts[0]}, which is another machine, sends every record readable",
                "TELLONCE_KAFKA__SECURITY_PROTOCOL=sasl_ssl",
            )
    if not is_local(settings.metrics_host):
        yield (
            f"metrics are served at {settings.metrics_host}, beyond this machine, without a login",
            "TELLONCE_METRICS_HOST=127.0.0.1, and a proxy before it",
        )
    if settings.database_url is not None and _has_password(settings.database_url.get_secret_value()):
        yield (
            "TELLONCE_DATABASE_URL holds a password, which the environment shows to every child process",
            "TELLONCE_DATABASE_URL_FILE",
        )
    for path in _secret_files(settings):
        try:
            is_open = path.stat().st_mode & 0o077
        except OSError:
            continue
        if is_open:
            yield f"{path} may be read by others; expected mode 0600", f"chmod 600 {path}"


def _secret_files(settings: Settings) -> Iterator[Path]:
    kafka = settings.kafka
    named = (
        settings.database_url_file,
        kafka.sasl_password_file,
        kafka.ssl_key_location,
        kafka.ssl_key_password_file,
    )
    yield from (path for path in named if path is not None)
    yield from sorted((*settings.keys.glob("*.key"), *settings.keys.glob("*.sign")))


def _has_password(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.password) or any("password" in name for name in parse_qs(parts.query))
    except ValueError:
        return False


def addresses_of(bootstrap_servers: str) -> list[tuple[str, int]]:
    """Gives host and port of each address, as librdkafka takes them: a protocol before it counts for nothing.

    Raises:
        ConfigurationError: a port is no number of 1 to 65535.
    """
    found: list[tuple[str, int]] = []
    for server in bootstrap_servers.split(","):
        host, colon, port = server.strip().rpartition("://")[2].rpartition(":")
        if not colon or (":" in host and not host.endswith("]")):
            host, port = server.strip().rpartition("://")[2], str(_DEFAULT_KAFKA_PORT)
        if not host or not port.isdecimal() or not 1 <= int(port) <= _HIGHEST_PORT:
            msg = f"expected host:port in TELLONCE_KAFKA__BOOTSTRAP_SERVERS, found {server.strip() or 'nothing'}"
            raise ConfigurationError(msg)
        found.append((host.strip("[]"), int(port)))
    return found


def is_local(host: str) -> bool:
    """Tells whether a host's name or address is this machine itself, without looking it up."""
    return host in {"localhost", "::1"} or host.startswith("127.")
