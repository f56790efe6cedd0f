"""The operator's exercise: from metrics, `status` and `trace` alone, who is in trouble, at which hop, which records.

`plant` does harm at four places; `Operator` is told nothing of it but the addresses of the services' metrics and the
pseudonyms of all residents, and has twenty requests.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from contract.city import City
from contract.forms import id_number
from contract.processes import Processes
from tellonce.cli.main import app
from tellonce.kafka.reading import read_to_end
from tellonce.topology.topics import RECONCILER, heartbeats
from waiting import wait_until

MOST_REQUESTS = 20
RESIDENTS = range(1, 9)
SETTLE_SECONDS = 30.0
NAMED = 4
"""Three of the fund, and the one that the registry keeps back; of a department that says nothing none is known."""

Found = tuple[str, str, frozenset[str]]
"""A department, what it is that stops there, and the records that it stops."""


class Operator:
    """Somebody with a user of the broker, the topology and a browser; counts each request."""

    def __init__(self, record_type: str, pages: Mapping[str, bytes]) -> None:
        self._record_type = record_type
        self._pages = pages
        self.requests = 0

    def status(self) -> Mapping[str, Any]:
        """How the city stands."""
        return self._command("status")

    def trace(self, pseudonym: str) -> Mapping[str, Any]:
        """Where a record is."""
        return self._command("trace", self._record_type, "--pseudonym", pseudonym)

    def metrics(self) -> Iterator[tuple[str, Mapping[str, str], float]]:
        """What all services that still answer tell, each page a request."""
        for page in self._pages.values():
            self.requests += 1
            for family in text_string_to_metric_families(page.decode()):
                for sample in family.samples:
                    yield sample.name, sample.labels, sample.value

    def _command(self, *command: str) -> Mapping[str, Any]:
        self.requests += 1
        result = CliRunner().invoke(app, [*command, "--json", "--timeout", "30"])
        # The command's logs go to a standard error that is closed now.
        structlog.reset_defaults()
        assert result.exit_code == 0, (command, result.exception)
        return dict(json.loads(result.stdout))


@dataclass(frozen=True, slots=True)
class Derived:
    """What the operator found out."""

    troubles: frozenset[Found]
    parked: Mapping[str, float]
    unpublished: float


def derive(operator: Operator, pseudonyms: Sequence[str]) -> Derived:
    """Find the departments, the hops and the records; nothing is known beforehand of what is wrong."""
    status = operator.status()
    silent = {each["department"] for each in status["services"] if each["liveness"] != "running"}
    parked: dict[str, float] = {}
    unpublished = 0.0
    for name, labels, value in operator.metrics():
        if name == "tellonce_parked_records" and value > 0:
            parked[labels["department"]] = parked.get(labels["department"], 0.0) + value
        if name == "tellonce_unpublished_records" and value > 0:
            unpublished += value
    stopped: dict[tuple[str, str], set[str]] = {}
    for pseudonym in pseudonyms:
        for hop in operator.trace(pseudonym)["hops"]:
            if place := _trouble_at(hop, silent):
                stopped.setdefault(place, set()).add(pseudonym)
    troubles = frozenset((department, what, frozenset(some)) for (department, what), some in stopped.items())
    return Derived(troubles=troubles, parked=parked, unpublished=unpublished)


def _trouble_at(hop: Mapping[str, Any], silent: set[str]) -> tuple[str, str] | None:
    """The department whose trouble a hop tells, and the command that it calls for or the service that is away."""
    if hop["stands"] == "passed":
        return None
    command = hop["todo"].split()
    if command[1] == "unpublished":
        return command[2], "unpublished"
    if hop["hop"] == "subscriber" and hop["department"] in silent and hop["stands"] == "missing":
        return hop["department"], "applier is away"
    return (hop["department"], command[1]) if hop["stands"] == "differs" else None


def plant(city: City, processes: Processes) -> frozenset[Found]:
    """Stop the clinic's applier, edit two of the fund's rows and park one there, and keep one back at the registry."""
    names = city.names
    processes.stop(processes.appliers[names.clinic])
    edit = "UPDATE account SET xm = 'Other' WHERE gmsfhm = :number"
    for serial in (2, 5):
        city.execute(names.fund, edit, number=id_number(serial))
    # Longer than the fund's column.
    city.rename(4, "N" * 31)
    city.rename(7, "Wang Renamed")
    city.execute(names.registry, "UPDATE resident SET name = NULL WHERE resident_id = 8")

    def records(*serials: int) -> frozenset[str]:
        return frozenset(map(city.pseudonym, serials))

    return frozenset(
        {
            (names.clinic, "applier is away", records(4, 7)),
            (names.fund, "repair", records(2, 5)),
            (names.fund, "parked", records(4)),
            (names.registry, "unpublished", records(8)),
        }
    )


def beats(city: City) -> list[int]:
    """How many signs of life each place has given whose services still run."""
    places = (city.names.registry, city.names.fund, RECONCILER)
    return [len(list(read_to_end(city.kafka, heartbeats(name)))) for name in places]


def test_operator_finds_what_was_done(city: City, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each trouble is found with its department, its hop and exactly its records, within twenty requests."""
    names = city.names
    city.add(*RESIDENTS)
    for serial in RESIDENTS:
        city.open_account(id_number(serial))
    city.begin_epoch()
    city.run()
    monkeypatch.setenv("TELLONCE_TOPOLOGY", str(city.settings(names.registry).topology))
    monkeypatch.setenv("TELLONCE_KAFKA__BOOTSTRAP_SERVERS", city.kafka.bootstrap_servers)
    monkeypatch.setenv("TELLONCE_KAFKA__GROUP_PROTOCOL", city.kafka.group_protocol)
    with Processes(city, tmp_path / "logs") as processes:
        done = plant(city, processes)

        def is_told() -> bool:
            # That the reconciler has named as many as it can, whichever they are.
            return len({(each.department, each.pseudonym) for each in city.every_divergence()}) >= NAMED

        wait_until(is_told, SETTLE_SECONDS, what="the reconciler has named what it can see")
        before = beats(city)
        # Figures are as old as the last sign of life; the one that was being given meanwhile does not count.
        wait_until(lambda: all(n >= m + 2 for n, m in zip(beats(city), before, strict=True)), SETTLE_SECONDS)
        pages = {name: page for name, page in processes.shown().items() if name.startswith("metrics of")}
        operator = Operator(names.record_type, pages)
        found = derive(operator, [city.pseudonym(serial) for serial in RESIDENTS])

    assert found.troubles == done
    assert (found.parked, found.unpublished) == ({names.fund: 1.0}, 1.0)
    assert operator.requests < MOST_REQUESTS
