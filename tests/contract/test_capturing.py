"""What an authority's department may do to its tables: nothing is lost, and no other record waits."""

import pytest
from structlog.testing import capture_logs

from contract import forms
from contract.city import City, drive
from tellonce.cli.contract import load_contract
from tellonce.cli.wiring import authority_of, declared_sources
from tellonce.model.change import Operation, Origin
from tellonce.publish.relay import Relay
from tellonce.storage.capture import install
from tellonce.storage.database import writing


def told(city: City) -> list[tuple[Operation, int, object]]:
    """Operation, version and name of every event about a record."""
    events = [one.event for one in city.log() if not one.is_marker]
    return [(event.op, event.version, event.after and event.after["name"]) for event in events if event]


def begun(city: City) -> City:
    """A city whose first epoch is through, with one resident."""
    city.begin_epoch()
    city.publish()
    city.add(1, name="Zhao One")
    city.publish()
    return city


def test_many_changes_are_one_event_of_the_newest_state(city: City) -> None:
    """What a record was in between is nobody's business; its event tells of the oldest change's time."""
    begun(city)
    for name in ("Zhao Two", "Zhao Three", "Zhao Four"):
        city.rename(1, name)

    city.publish()

    assert told(city) == [(Operation.CREATE, 1, "Zhao One"), (Operation.UPDATE, 2, "Zhao Four")]


def test_changes_that_come_to_nothing_are_not_told(city: City) -> None:
    """A record that is again as it was told takes no version, and one that came and went is never heard of."""
    begun(city)
    city.rename(1, "Zhao Two")
    city.rename(1, "Zhao One")
    city.add(2)
    city.execute(city.names.registry, "DELETE FROM resident WHERE resident_id = 2")

    city.publish()

    assert told(city) == [(Operation.CREATE, 1, "Zhao One")]


def test_record_that_is_saved_by_delete_and_insert_is_updated(city: City) -> None:
    """An application that replaces its rows does not make its records vanish for others."""
    begun(city)
    for name in ("Zhao Two", "Zhao Three"):
        city.execute(city.names.registry, "DELETE FROM resident WHERE resident_id = 1")
        city.add(1, name=name)

    city.publish()

    assert told(city)[1:] == [(Operation.UPDATE, 2, "Zhao Three")]


def test_former_number_alone_is_a_change(city: City) -> None:
    """A history row that is written later is told, though it changes no field that anybody compares."""
    begun(city)
    city.execute(city.names.registry, "INSERT INTO id_history (resident_id, id_number) VALUES (1, '110105491231002')")

    with city.relay() as relay:
        drive(relay)

    events = [one.event for one in city.log() if one.event and not one.is_marker]
    assert [(event.version, event.origin) for event in events] == [(1, Origin.CAPTURE), (2, Origin.CAPTURE)]
    assert events[-1].after is not None
    assert "110105491231002" in str(events[-1].after)


def test_order_tells_the_same_version_again(city: City) -> None:
    """A record that is ordered comes at the version that it has, and with news it comes to all as a change."""
    begun(city)
    orders = [row["record_key"] for row in city.own_rows(city.names.registry, "published")]
    note(city, *orders)
    city.publish()
    city.rename(1, "Zhao Two")
    note(city, *orders)

    city.publish()

    events = [one.event for one in city.log() if one.event and not one.is_marker]
    assert [(event.version, event.origin) for event in events[1:]] == [(1, Origin.REPAIR), (2, Origin.CAPTURE)]


def note(city: City, *keys: str) -> None:
    """Note records in the outbox as an order does."""
    settings, registry = city.settings(city.names.registry), city.names.registry
    authority = authority_of(settings, load_contract(settings), registry, city.engines[registry])
    with writing(city.engines[registry]) as connection:
        authority.publications[0].outbox.mark(connection, keys, Origin.REPAIR, 1)


@pytest.mark.parametrize("alteration", ["RENAME COLUMN name TO full_name", "RENAME COLUMN resident_id TO number"])
def test_record_type_that_is_not_as_declared_pauses_and_goes_on(city: City, alteration: str) -> None:
    """A renamed column neither fails the department nor ends the relay: there is one sentence, until it is back."""
    begun(city)
    old, _, new = alteration.removeprefix("RENAME COLUMN ").partition(" TO ")

    with city.relay() as relay, capture_logs() as logs:
        drive(relay)
        city.execute(city.names.registry, f"ALTER TABLE resident {alteration}")
        city.execute(city.names.registry, "UPDATE resident SET id_number = '11010519700101123X'")
        drive(relay, until=lambda: bool(relay.waiting_streams()))
        for _ in range(3):
            relay.turn()
        is_done = relay.is_done()
        city.execute(city.names.registry, f"ALTER TABLE resident RENAME COLUMN {new} TO {old}")
        reinstall(city)
        drive(relay)

    paused = [line for line in logs if line["event"] == "record_type_paused"]
    assert not is_done
    assert len(paused) == 1
    assert old in str(paused[0]["why"])
    assert [line["event"] for line in logs if line["event"] == "record_type_resumed"] == ["record_type_resumed"]
    numbers = [one.event.after["id_number"] for one in city.log() if one.event and one.event.after]
    assert numbers == [forms.id_number(1), "11010519700101123X"]


def test_record_type_that_a_sweep_finds_altered_stays_paused(city: City) -> None:
    """What is found with nothing to publish is told once, and holds until the table can be read again."""
    begun(city)
    registry = city.names.registry

    with city.relay() as relay, capture_logs() as logs:
        drive(relay)
        city.execute(registry, "ALTER TABLE resident RENAME COLUMN name TO full_name")
        relay._swept_at = float("-inf")
        drive(relay, until=lambda: bool(relay.waiting_streams()))
        waiting = []
        for _ in range(5):
            relay._swept_at = float("-inf")
            relay.turn()
            waiting.append(bool(relay.waiting_streams()))
        city.execute(registry, "ALTER TABLE resident RENAME COLUMN full_name TO name")
        drive(relay)

    events = [line["event"] for line in logs if str(line["event"]).startswith("record_type_")]
    assert waiting == [True] * 5
    assert events == ["record_type_paused", "record_type_resumed"]


def reinstall(city: City) -> None:
    """Install the capture again, as an operator does whom the relay asked to."""
    settings, registry = city.settings(city.names.registry), city.names.registry
    install(city.engines[registry], declared_sources(settings, load_contract(settings), registry))


def test_altered_capture_is_told_and_what_went_unseen_is_found(city: City) -> None:
    """A trigger that somebody dropped is told with the next sweep, which finds what went past it; so is its return."""
    begun(city)
    registry = city.names.registry
    name = f"tellonce_capture_{city.names.record_type}"
    is_postgres = city.engines[registry].dialect.name == "postgresql"
    drop = f"DROP TRIGGER {name}_update" + (" ON resident" if is_postgres else "")

    with city.relay() as relay, capture_logs() as logs:
        drive(relay)
        sound = dict(relay.capture_findings)
        city.execute(registry, drop)
        city.rename(1, "Zhao Unseen")
        sweep(relay)
        altered = dict(relay.capture_findings)
        reinstall(city)
        sweep(relay)
        mended = dict(relay.capture_findings)

    told_of = [(line["event"], line.get("findings")) for line in logs if str(line["event"]).startswith("capture_")]
    assert told_of == [("capture_altered", 1), ("capture_restored", None)]
    assert list(map(len, (*sound.values(), *altered.values(), *mended.values()))) == [0, 1, 0]
    assert "is missing" in altered[city.names.record_type][0]
    assert city.names_in_log()[-1] == "Zhao Unseen"


def sweep(relay: Relay) -> None:
    """Let a relay sweep once more, and publish what it found."""
    relay._swept_at, swept = float("-inf"), relay.sweeps
    drive(relay, until=lambda: relay.sweeps > swept)
    drive(relay)
