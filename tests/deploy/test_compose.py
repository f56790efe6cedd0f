"""The containers' file is one that Compose takes, and its services are commands and settings that tellonce has.

No Docker engine is needed: the real Compose binary reads the file, and nothing is started.
"""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from tellonce.cli.main import app
from tellonce.cli.settings import Settings
from tellonce.control.signing import public_key_of
from tellonce.kafka.settings import KafkaSettings
from tellonce.keyring import load_signing_key
from tellonce.topology import Topology, load_topology
from tellonce.topology.topics import OPERATOR, RECONCILER

ROOT = Path(__file__).parents[2]
KEY = re.compile(r"^/run/secrets/keys/(.+)\.key$")
SIGNING_KEY = re.compile(r"^/run/secrets/keys/(.+)\.sign$")

WATCH = ("prometheus", "alertmanager", "grafana")

Service = dict[str, Any]


@pytest.fixture(scope="module")
def ours(services: dict[str, Service]) -> dict[str, Service]:
    """The services that run tellonce."""
    return {name: service for name, service in services.items() if "build" in service}


@pytest.fixture(scope="module")
def topology() -> Topology:
    """The demonstration city."""
    return load_topology(ROOT / "topology.yaml")


def keys_of(service: Service) -> set[str]:
    """The views whose keys a service is given."""
    targets = [str(secret.get("target", "")) for secret in service.get("secrets", ())]
    return {match[1] for target in targets if (match := KEY.match(target))}


def test_compose_takes_the_file(compose: Callable[..., "subprocess.CompletedProcess[str]"]) -> None:
    """Compose itself finds nothing wrong with the file."""
    done = compose("config", "--quiet")

    assert (done.returncode, done.stderr) == (0, "")


def test_every_service_runs_a_command_that_exists(ours: dict[str, Service]) -> None:
    """Each service's command, with its arguments and options, is one that the command line takes."""
    assert ours
    for name, service in ours.items():
        command: Any = typer.main.get_command(app)
        first, *arguments = service["command"]
        command = command.commands[first]
        while arguments and arguments[0] in getattr(command, "commands", {}):
            command = command.commands[arguments.pop(0)]
        # Parsing refuses unknown options and arguments, and missing ones; nothing is run.
        command.make_context(name, arguments)


def test_every_variable_is_a_setting(ours: dict[str, Service]) -> None:
    """No service sets a TELLONCE_ variable that would be ignored."""
    known = {f"TELLONCE_{name.upper()}" for name in Settings.model_fields}
    known |= {f"TELLONCE_KAFKA__{name.upper()}" for name in KafkaSettings.model_fields}

    for name, service in ours.items():
        assert service["environment"].keys() <= known, name


def test_every_department_has_its_database_and_services(services: dict[str, Service], topology: Topology) -> None:
    """Each department of the topology has a database, and a relay and an applier where it publishes or subscribes."""
    wanted = {f"{kind}-{name}" for name in topology.departments for kind in ("db", "install")}
    wanted |= {f"relay-{name}" for name in topology.departments if topology.published_by(name)}
    wanted |= {f"snapshot-{name}" for name in topology.departments if topology.published_by(name)}
    wanted |= {f"applier-{name}" for name in topology.departments if topology.subscribed_by(name)}

    assert set(services) == wanted | {"kafka", "topics", "reconciler", "operator", *WATCH}


def test_departments_hold_only_the_keys_of_their_views(ours: dict[str, Service], topology: Topology) -> None:
    """A department is given the keys of what it publishes or subscribes to; reconciler and operators none."""
    for name, service in ours.items():
        department = name.partition("-")[2]
        views: set[str] = set()
        if department in topology.departments:
            views = {view.name for view in topology.published_by(department)}
            views |= {subscription.view for subscription in topology.subscribed_by(department)}
        assert keys_of(service) == views, name


def test_whoever_speaks_is_given_its_own_signing_key(ours: dict[str, Service], topology: Topology) -> None:
    """No department can sign for another; of people's commands one speaks as the reconciler."""
    people = {"reconciler": {"reconciler"}, "operator": {"operator", "reconciler"}}
    for name, service in ours.items():
        department = name.partition("-")[2]
        wanted = {department} if department in topology.departments else people.get(name, set())
        targets = [str(secret.get("target", "")) for secret in service.get("secrets", ())]
        assert {match[1] for target in targets if (match := SIGNING_KEY.match(target))} == wanted, name
        assert not wanted or service["environment"]["TELLONCE_KEYS"] == "/run/secrets/keys", name


def test_prepared_topology_lists_the_public_key_of_everybody_who_signs(
    services: dict[str, Service], topology: Topology, tmp_path: Path
) -> None:
    """What the containers read is the contract with the keys that were made, and running it again makes no others."""
    (tmp_path / "deploy").mkdir()
    for name in ("topology.yaml", "deploy/prepare.sh"):
        shutil.copy(ROOT / name, tmp_path / name)
    script = ["/bin/sh", str(tmp_path / "deploy" / "prepare.sh")]
    mounted = {
        Path(volume["source"]).relative_to(ROOT)
        for service in services.values()
        for volume in service["volumes"]
        if str(volume["target"]).endswith("topology.yaml")
    }

    subprocess.run(script, check=True, timeout=30)
    (place,) = mounted
    prepared = load_topology(tmp_path / place)
    subprocess.run(script, check=True, timeout=30)

    keys = tmp_path / "deploy" / "secrets"
    principals = (*topology.departments, RECONCILER, OPERATOR)
    assert prepared.signing_keys == {name: (public_key_of(load_signing_key(keys, name)),) for name in principals}
    assert prepared.departments == topology.departments
    assert load_topology(tmp_path / place).signing_keys == prepared.signing_keys


def test_ports_are_open_to_this_machine_only(services: dict[str, Service]) -> None:
    """No port is reachable from another machine."""
    ports = [(name, port) for name, service in services.items() for port in service.get("ports", ())]

    assert ports
    for name, port in ports:
        assert port.get("host_ip") == "127.0.0.1", name


def test_passwords_are_in_files_only(services: dict[str, Service]) -> None:
    """No variable holds a password or a database URL; it names a file."""
    for name, service in services.items():
        for variable in service.get("environment") or {}:
            is_secret = "PASSWORD" in variable or "DATABASE_URL" in variable
            assert not is_secret or variable.endswith("_FILE"), (name, variable)


def test_services_have_no_more_rights_than_they_need(ours: dict[str, Service]) -> None:
    """A service of ours is no root, has no capability, and cannot write to its image."""
    for name, service in ours.items():
        assert not service["user"].startswith("0"), name
        assert service["cap_drop"] == ["ALL"], name
        assert service["read_only"] is True, name
        assert "no-new-privileges:true" in service["security_opt"], name


def test_what_watches_has_no_more_rights_than_it_needs(services: dict[str, Service]) -> None:
    """Prometheus, Alertmanager and Grafana run when asked for only, with no capability, and write to volumes only."""
    for name in WATCH:
        service = services[name]
        assert service["profiles"] == ["watch"], name
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert int(service["mem_limit"]) > 0, name
        assert service["healthcheck"]["test"][0] == "CMD", name
        volumes = [volume for volume in service["volumes"] if volume["type"] == "volume"]
        assert len(volumes) == 1, name
        assert all(volume.get("read_only") for volume in service["volumes"] if volume not in volumes), name
        assert all((ROOT / volume["source"]).exists() for volume in service["volumes"] if volume not in volumes), name


def test_servers_are_waited_for_until_they_are_healthy(services: dict[str, Service]) -> None:
    """Kafka and each database have a health check, and keep their data in a volume."""
    for name, service in services.items():
        if name == "kafka" or name.startswith("db-"):
            assert service["healthcheck"]["test"], name
            assert any(volume["type"] == "volume" for volume in service["volumes"]), name


def test_images_are_pinned(services: dict[str, Service]) -> None:
    """Every image names an exact version, in the containers' file and in the Dockerfile."""
    images = [service["image"] for service in services.values()]
    images += re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)

    for image in images:
        assert re.search(r":v?\d+\.\d+(\.\d+)?(-[\w-]+)?$", image), image


def test_kafka_is_the_version_that_the_tests_use(services: dict[str, Service]) -> None:
    """The broker in the container is the one that the tests start."""
    version = re.search(r"<kafka\.version>([\d.]+)<", (ROOT / "deploy" / "kafka" / "pom.xml").read_text())

    assert version is not None
    assert services["kafka"]["image"] == f"apache/kafka:{version[1]}"
