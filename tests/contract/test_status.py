"""`tellonce status` tells from the topics alone how the city stands, and changes nothing."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import structlog
from typer.testing import CliRunner

from contract.city import City, drive
from contract.forms import id_number
from reconcile.running import run_once
from tellonce.cli.main import app
from tellonce.cli.monitor import Monitor
from tellonce.cli.wiring import open_applier, open_reconciler, open_relay
from tellonce.kafka.reading import read_to_end
from tellonce.topology import load_topology, topics_of
from tellonce.topology.topics import RECONCILER, heartbeats
from waiting import wait_until


def said(city: City, *more: str) -> int:
    """How many signs of life the city's departments, and others, have given."""
    topics = [heartbeats(name) for name in (*city.departments, *more)]
    return sum(len(list(read_to_end(city.kafka, topic))) for topic in topics)


class Running:
    """The city's relay and appliers, and how each gives a sign of life now."""

    def __init__(self, city: City, stack: ExitStack) -> None:
        self.city = city
        self.monitors: list[Monitor] = []
        names = city.names
        self.relay, monitor = open_relay(city.settings(names.registry), names.registry, stack)
        self.monitors.append(monitor)
        self.appliers = {}
        for name in city.subscribers:
            self.appliers[name], monitor = open_applier(city.settings(name), name, stack)
            self.monitors.append(monitor)

    def run(self) -> None:
        """Let everything be done, and told."""
        drive(self.relay, *self.appliers.values())
        self.beat()

    def beat(self) -> None:
        """Let each give a sign of life."""
        before = said(self.city)
        for monitor in self.monitors:
            monitor.watch.refresh()
            monitor.pulse.beat("running")
        wait_until(lambda: said(self.city) >= before + len(self.monitors))


@contextmanager
def running(city: City) -> Iterator[Running]:
    """The city's services, in this process."""
    with ExitStack() as stack:
        yield Running(city, stack)


class Ask:
    """The command, and its answer by department and by service."""

    def __init__(self, city: City) -> None:
        self.city = city
        self.code = 0
        self.document: dict[str, Any] = {}

    def status(self, *options: str) -> Mapping[str, Mapping[str, Any]]:
        """How each department stands to the view."""
        result = CliRunner().invoke(app, ["status", "--json", "--timeout", "30", *options])
        # The command's logs go to a standard error that is closed now.
        structlog.reset_defaults()
        self.code = result.exit_code
        self.document = json.loads(result.stdout)
        return {each["department"]: each for each in self.document["subscriptions"]}

    def services(self) -> Mapping[tuple[str, str], str]:
        """Whether each service is well."""
        self.status()
        return {(each["service"], each["department"]): each["liveness"] for each in self.document["services"]}


@pytest.fixture
def ask(city: City, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Asks as an operator does, whose host has the topology and a way to the broker, and nothing else."""
    settings = city.settings(city.names.registry)
    monkeypatch.setenv("TELLONCE_TOPOLOGY", str(settings.topology))
    monkeypatch.setenv("TELLONCE_KAFKA__BOOTSTRAP_SERVERS", settings.kafka.bootstrap_servers)
    monkeypatch.setenv("TELLONCE_KAFKA__GROUP_PROTOCOL", settings.kafka.group_protocol)
    return Ask(city)


def test_services_that_were_never_started_are_told(city: City, ask: Ask) -> None:
    """Of a city in which nothing runs it says so, and whose turn it is."""
    found = ask.status("--exit-code")

    assert {each["standing"] for each in found.values()} == {"unknown"}
    assert {each["todo"] for each in found.values()} == {f"tellonce relay {city.names.registry}"}
    assert {each for (_, department), each in ask.services().items() if department in city.departments} == {
        "never heard"
    }
    assert ask.document["complete"]


def test_city_that_is_well_and_then_is_not(city: City, ask: Ask) -> None:
    """Who waits at the authority, who is behind by how many changes, who stopped: each is told as it is."""
    city.begin_epoch()
    with running(city) as services:
        services.run()
        # No reconciler runs in this test, so nobody can say that they are equal.
        well = ask.status()
        city.add(1, 2, 3)
        services.beat()
        waiting = ask.status()

        assert {(each["turn"], each["behind_records"]) for each in well.values()} == {("data office", 0)}
        assert {each["waiting_records"] for each in waiting.values()} == {3}
        assert ask.services()["relay", city.names.registry] == "running"
    assert {each for (_, department), each in ask.services().items() if department in city.departments} == {"stopped"}


def test_parked_record_is_its_departments_turn(city: City, ask: Ask) -> None:
    """The department that cannot hold a record is named, with the command that lists it."""
    city.add(1, name="N" * 40)
    city.open_account(id_number(1))
    city.begin_epoch()
    with running(city) as services:
        services.run()

        fund = ask.status()[city.names.fund]

        assert (fund["parked"], fund["turn"]) == (1, "department")
        assert fund["todo"] == f"tellonce parked list --view {city.names.view}"


def test_reconciler_tells_who_differs_and_since_when(city: City, ask: Ask) -> None:
    """A planted difference is told with its kind, its age and the office's turn; with --exit-code as code 6."""
    city.add(1)
    city.begin_epoch()
    city.run()
    city.execute(city.names.clinic, "UPDATE patient SET patient_name = 'Other'")
    city.reconcile()
    with ExitStack() as stack:
        services = Running(city, stack)
        services.run()
        reconciler, monitor = open_reconciler(city.settings(city.names.registry), stack)
        assert run_once(reconciler, deadline_seconds=20)
        services.run()
        monitor.watch.refresh()
        before = said(city, RECONCILER)
        monitor.pulse.beat("running")
        wait_until(lambda: said(city, RECONCILER) > before)

        clinic = ask.status("--exit-code")[city.names.clinic]

        assert (clinic["standing"], clinic["differing"], clinic["turn"]) == ("differs", {"altered": 1}, "data office")
        assert clinic["todo"] == "tellonce divergences"
        assert 0 <= ask.document["at_ms"] - clinic["since_ms"] < 600_000
        assert ask.code == 6


def test_status_writes_nothing(city: City, ask: Ask) -> None:
    """No topic is longer after it was asked."""
    topology = load_topology(city.settings(city.names.registry).topology)
    topics = [spec.name for spec in topics_of(topology)]

    def lengths() -> list[int]:
        return [len(list(read_to_end(city.kafka, topic))) for topic in topics]

    before = lengths()
    ask.status()

    assert lengths() == before


def test_unpublished_records_are_listed_at_the_authority(city: City, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is named by its pseudonym with the reason; the authority's own key is shown only where it is asked for."""
    registry = city.names.registry
    city.begin_epoch()
    insert = "INSERT INTO resident (resident_id, id_number, name, born) VALUES (71077, '1', NULL, '1970-01-01')"
    city.execute(registry, insert)
    with running(city) as services:
        services.run()
        status = ask.status()
    settings = city.settings(registry)
    for name in ("schemas", "producers", "consumers", "keys"):
        monkeypatch.setenv(f"TELLONCE_{name.upper()}", str(getattr(settings, name)))
    monkeypatch.setenv("TELLONCE_DATABASE_URL", city.urls[registry])

    listed, with_keys = (
        CliRunner().invoke(app, ["unpublished", registry, "--json", *options]).stdout
        for options in ([], ["--show-keys"])
    )

    (record,) = json.loads(listed)["unpublished"]
    assert {each["todo"] for each in status.values()} == {f"tellonce unpublished {registry}"}
    assert (record["view"], record["pseudonym"]) == (city.names.view, city.pseudonym(71077))
    assert ("71077" in listed, "71077" in with_keys) == (False, True)
