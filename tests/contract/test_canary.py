"""Guarantee 6, the canary, by the commands: nothing that processes say, write, keep or show has a personal value."""

from pathlib import Path

import pytest
from sqlalchemy import text

from contract.city import MakeCity
from contract.places import files, kept, written
from contract.processes import Processes
from contract.town import Town
from tellonce.kafka.reading import read_to_end
from tellonce.topology.topics import OPERATOR, RECONCILER, divergences, orders
from waiting import wait_until

PATIENCE_SECONDS = 40.0
PARKED = {"cannot_hold", "collision", "refused_by_table", "undecodable"}


def live(town: Town, processes: Processes) -> None:
    """Let the services meet every trouble, one after the other, and wait until each is seen."""
    city, names = town.city, town.city.names
    applier = processes.appliers[names.clinic]
    if town.is_postgres:
        wait_until(lambda: "service_paused" in processes.said(applier), PATIENCE_SECONDS, what="a commit is refused")
        city.execute(names.clinic, "DELETE FROM busy")
    for role in ("postponed", "plain", "altered", "missing", "locked", "colliding"):
        name = town.people[role].name
        wait_until(lambda name=name: town.holds(name), PATIENCE_SECONDS, what=f"{role} is applied")  # type: ignore[misc]  # mypy infers no lambda with a default
    # The fund's applier may be slower than the clinic's, and would write over what was meddled with before its turn.
    plain = town.people["plain"].name
    wait_until(lambda: town.is_written_at_fund(plain), PATIENCE_SECONDS, what="plain is applied at the fund")
    town.collide()
    town.meddle()
    wait_until(lambda: town.reasons() >= PARKED, PATIENCE_SECONDS, what=f"parked: {PARKED}")
    # What follows corrects the same people at the authority, which would mend the rows before anybody asks for it.
    wait_until(lambda: town.asked() >= set(city.subscribers), PATIENCE_SECONDS, what="each is asked to repair")
    if town.is_postgres:
        with city.engines[names.clinic].begin() as clerk:
            number = {"number": town.people["locked"].number}
            clerk.execute(text("SELECT 1 FROM patient WHERE card_no = :number FOR UPDATE"), number)
            locked = town.rename("locked")
            wait_until(lambda: "locked" in town.reasons(), PATIENCE_SECONDS, what="a row is locked")
        wait_until(lambda: town.holds(locked), PATIENCE_SECONDS, what="the locked row is written")
    before = processes.said(applier).count("service_paused")
    with town.clinic_away():
        town.rename("plain")
        wait_until(
            lambda: processes.said(applier).count("service_paused") > before, PATIENCE_SECONDS, what="it is away"
        )
    wanted = {"altered", "missing", "parked", "unpublished", "ambiguous", "resolved"}
    wait_until(lambda: town.differences() >= wanted, PATIENCE_SECONDS, what="differences are found and mended")


def operate(town: Town, processes: Processes) -> None:
    """Do what operators do, with every command that reads or says something of records."""
    names = town.city.names
    processes.run((names.registry, ("resync", names.record_type)), *[(d, ("doctor", d)) for d in town.city.departments])
    epoch_ends = town.rename("altered")
    wait_until(lambda: town.holds(epoch_ends), PATIENCE_SECONDS, what="the new epoch is applied")
    processes.run(
        (names.fund, ("parked", "list")),
        (names.clinic, ("parked", "list", "--json")),
        (names.registry, ("divergences", "--resolved")),
        (names.registry, ("divergences", "--json")),
        (names.registry, ("tail", names.view, "--from", "beginning", "--limit", "15")),
        (names.registry, ("tail", names.view, "--from", "beginning", "--limit", "15", "--json")),
        (names.registry, ("tail", divergences(RECONCILER), "--from", "beginning", "--limit", "3")),
    )
    processes.run((names.registry, ("repair", "--department", names.clinic, "--dry-run")))
    processes.stop(processes.reconciler)
    processes.run((names.registry, ("reconcile", "--once", "--deadline-seconds", "5", "--json")))


# On the real servers alone: it starts twenty processes, and the other site differs in nothing that speaks.
@pytest.mark.parametrize(
    "site", [pytest.param("kafka-postgres", marks=[pytest.mark.kafka, pytest.mark.postgres])], indirect=True
)
@pytest.mark.long
@pytest.mark.timeout(300)
def test_nothing_that_processes_say_write_keep_or_show_has_a_value(make_city: MakeCity, tmp_path: Path) -> None:
    """Whatever goes wrong, personal values are in the view's events and the departments' tables alone."""
    city = make_city(on_divergence="repair")
    city.publish_newer_contract()
    for department in city.subscribers:
        city.adopt_newer_contract(department)
    town = Town(city)
    town.furnish()
    city.begin_epoch()
    town.spoil()

    with Processes(city, tmp_path / "said") as processes:
        live(town, processes)
        operate(town, processes)
        shown = processes.shown()
    texts = shown | kept(city) | written(city)
    processes.run(*[(department, ("install", department, "--yes")) for department in city.departments])
    processes.run(*[(department, ("uninstall", department, "--yes")) for department in city.departments])
    events = {"events": b"\n".join(message.value() or b"" for message in read_to_end(city.kafka, city.topic))}

    assert town.canaries.found_in(texts | files(tmp_path)) == {}
    # No person decides anything here, and no row turns up that a department would have repaired.
    may_be_silent = {divergences(OPERATOR), *(orders(speaker) for speaker in (OPERATOR, *city.subscribers))}
    assert {name for name, held in texts.items() if not held} <= may_be_silent
    # The search finds the same values where they have to be.
    in_events = town.canaries.found_in(events)["events"]
    one = town.people["plain"]
    for value in (one.number, one.name, one.street, one.former):
        assert f"{value!r} as utf-8" in in_events
