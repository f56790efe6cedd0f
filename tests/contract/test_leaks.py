"""The canary can fail: what leaks on purpose is found, in the place where it leaks, by the search that it goes by."""

import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import structlog
from confluent_kafka import Producer
from prometheus_client import generate_latest
from sqlalchemy.exc import DBAPIError

from contract.city import MakeCity, drive
from contract.places import kept, written
from contract.processes import Processes
from contract.town import Town
from tellonce.avro.catalogue import Catalogue
from tellonce.cli.wiring import open_applier, open_relay
from tellonce.control.messages import DivergenceEvent
from tellonce.model.change import ChangeEvent
from tellonce.observability.logs import configure_logs
from tellonce.observability.meters import Meters
from tellonce.observability.metrics import Metric
from tellonce.reconcile.lifecycle import DivergenceBook
from tellonce.storage.sqlite.rows import SqliteRows
from tellonce.storage.subscriber.decisions import Why
from tellonce.topology.topics import CONTROL_PREFIX, RECONCILER, divergences

Plant = Callable[[pytest.MonkeyPatch, str], None]
"""Makes the services leak; it is given the name of somebody who is registered, for where no record is at hand."""

# The search is the same on the other site, and what it costs is the city.
# They test the canary's own search, which `make long` relies on: a city each.
pytestmark = [pytest.mark.parametrize("site", ["embedded-sqlite"], indirect=True), pytest.mark.long]

WHO = ("registry", "fund", "clinic")

_log = structlog.get_logger()


@pytest.fixture
def town(make_city: MakeCity) -> Town:
    """People with canaries, some of whom a department cannot hold, refuses, or has otherwise."""
    made = Town(make_city(on_divergence="repair"))
    made.furnish()
    return made


def lived(town: Town, capsys: pytest.CaptureFixture[str]) -> dict[str, bytes]:
    """What the services of the town log, count, write and keep while they publish, apply, park, differ and repair."""
    before = structlog.get_config()
    configure_logs("json", "debug")
    try:
        metrics = served(town)
        town.meddle()
        town.city.reconcile()
    finally:
        structlog.configure(**before)
    logs = {"logs": capsys.readouterr().err.encode()}
    return logs | metrics | kept(town.city) | written(town.city)


def served(town: Town) -> dict[str, bytes]:
    """Publish and apply everything, and give what relay and appliers would show of it to Prometheus."""
    city, registry = town.city, town.city.names.registry
    city.begin_epoch()
    with ExitStack() as stack:
        relay, watching = open_relay(city.settings(registry), registry, stack)
        opened = {name: open_applier(city.settings(name), name, stack) for name in city.subscribers}
        drive(relay)
        drive(*(applier for applier, _ in opened.values()))
        monitors = {registry: watching} | {name: monitor for name, (_, monitor) in opened.items()}
        for monitor in monitors.values():
            monitor.turned(0.1)
        return {f"metrics of {name}": generate_latest(one.meters.registry) for name, one in monitors.items()}


def plant_nothing(_patch: pytest.MonkeyPatch, _name: str) -> None:
    """Leave the services as they are: what is found otherwise was planted."""


def plant_in_log(patch: pytest.MonkeyPatch, _name: str) -> None:
    """Log each event with what it says of its record."""
    encode = Catalogue.encode

    def encode_aloud(catalogue: Catalogue, view: str, event: ChangeEvent) -> bytes:
        _log.debug("event_encoded", after=event.after)
        return encode(catalogue, view, event)

    patch.setattr(Catalogue, "encode", encode_aloud)


def plant_in_metric(patch: pytest.MonkeyPatch, name: str) -> None:
    """Label a gauge by a person."""
    set_gauge = Meters.set

    def set_by_person(meters: Meters, metric: Metric, value: float | None, **labels: str) -> None:
        set_gauge(meters, metric, value, **labels | ({"view": name} if "view" in labels else {}))

    patch.setattr(Meters, "set", set_by_person)


def plant_in_message(patch: pytest.MonkeyPatch, more: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Send each event of the view once more, with other parts: appliers refuse it, or know it already, and go on."""

    class Talkative(Producer):
        """A client that says more than it was given."""

        def produce(self, topic: str, *parts: Any, **given: Any) -> None:
            """Send a message, and an event with what is more."""
            super().produce(topic, *parts, **given)
            if not topic.startswith(f"{CONTROL_PREFIX}."):
                super().produce(topic, **given | more(given) | {"on_delivery": None})

    patch.setattr("tellonce.kafka.clients.Producer", Talkative)


def plant_in_key(patch: pytest.MonkeyPatch, name: str) -> None:
    """Key an event of the view by a person."""
    plant_in_message(patch, lambda _given: {"key": name.encode()})


def plant_in_header(patch: pytest.MonkeyPatch, name: str) -> None:
    """Send an event of the view with a person in a header beside the seal."""
    plant_in_message(patch, lambda given: {"headers": [*given["headers"], ("of", name.encode())]})


def plant_in_parked(patch: pytest.MonkeyPatch, _name: str) -> None:
    """Keep a database's words of what it refused."""
    why = SqliteRows.why

    def why_by_its_words(rows: SqliteRows, error: DBAPIError) -> Why | None:
        found = why(rows, error)
        return found and Why(reason=found.reason, detail=str(error))

    patch.setattr(SqliteRows, "why", why_by_its_words)


def plant_in_divergence(patch: pytest.MonkeyPatch, name: str) -> None:
    """Note with each divergence who it is about."""
    note = DivergenceBook.note

    def note_whom(book: DivergenceBook, *given: Any) -> tuple[DivergenceEvent, ...]:
        return tuple(event.model_copy(update={"note": name}) for event in note(book, *given))

    patch.setattr(DivergenceBook, "note", note_whom)


@pytest.mark.parametrize(
    ("plant", "places"),
    [
        (plant_nothing, set[str]()),
        (plant_in_log, {"logs"}),
        # What a service shows to Prometheus it also tells of itself to whoever watches.
        (plant_in_metric, {f"{place}{{{who}}}" for place in ("metrics of ", "tellonce.heartbeats.") for who in WHO}),
        (plant_in_key, {"{view}.v1"}),
        (plant_in_header, {"{view}.v1"}),
        (plant_in_parked, {"parked at {clinic}"}),
        (plant_in_divergence, {divergences(RECONCILER)}),
    ],
)
def test_leak_is_found_where_it_was_planted_and_nowhere_else(
    town: Town, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, plant: Plant, places: set[str]
) -> None:
    """A value in a log, a label, a key, a header, a parked record's detail or a divergence is named with its place."""
    plant(monkeypatch, town.people["plain"].name)

    names = {name: getattr(town.city.names, name) for name in (*WHO, "view")}
    secrets = {f"{value!r} as utf-8" for one in town.people.values() for value in (one.name, one.number)}

    found = town.canaries.found_in(lived(town, capsys))

    assert found.keys() == {place.format(**names) for place in places}
    assert all(words & secrets for words in found.values())


def test_leak_in_the_arguments_of_a_process_is_found(
    town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the system tells everybody on the machine of each process is searched as well."""
    name, popen = town.people["plain"].name, subprocess.Popen

    def popen_aloud(command: Sequence[str], **given: Any) -> "subprocess.Popen[bytes]":
        return popen([command[0], "-X", f"person={name}", *command[1:]], **given)

    monkeypatch.setattr("contract.processes.subprocess.Popen", popen_aloud)
    with Processes(town.city, tmp_path / "said") as processes:
        services = (processes.relay, *processes.appliers.values(), processes.reconciler)
        shown = processes.shown()

    found = town.canaries.found_in(shown)

    assert found == {f"cmdline of {' '.join(service)}": {f"{name!r} as utf-8"} for service in services}
