"""A record that is missing is called gone with care: nothing of a nightly job may empty the city."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from structlog.testing import capture_logs

from contract.city import City, drive
from tellonce.cli.contract import load_contract
from tellonce.cli.wiring import authority_of
from tellonce.model.change import Operation, Origin
from tellonce.publish.deletes import HELD, DeleteLimits, count_held, release_deletes
from tellonce.publish.relay import Relay
from tellonce.storage.database import writing

SERIALS = (1, 2, 3, 4, 5, 6)


@contextmanager
def careful(city: City) -> Iterator[Relay]:
    """A relay that lets two records go at a time."""
    with city.relay() as relay:
        limits = DeleteLimits(share=0.0, least=2, most=2)
        stager = relay._cycle._stager
        stager._limits = replace(stager._limits, deletes=limits)
        yield relay


def begun(city: City) -> City:
    """A city whose first epoch is through, with some residents."""
    city.begin_epoch()
    city.publish()
    city.add(*SERIALS)
    city.publish()
    return city


def told(city: City) -> tuple[int, int]:
    """How often the log tells that a record is gone, and that it is back."""
    operations = [one.event.op for one in city.log() if one.event and not one.is_marker]
    return operations.count(Operation.DELETE), operations.count(Operation.CREATE) - len(SERIALS)


def empty(city: City) -> None:
    """Remove every resident, on PostgreSQL in the way that no row trigger sees."""
    is_postgres = city.engines[city.names.registry].dialect.name == "postgresql"
    city.execute(city.names.registry, "TRUNCATE resident" if is_postgres else "DELETE FROM resident")


def listed(city: City) -> list[object]:
    """Why records are not published as they are."""
    return [row["reason"] for row in city.own_rows(city.names.registry, "unpublished")]


def test_table_that_is_emptied_and_loaded_again_empties_no_department(city: City) -> None:
    """Of a table that is empty for a while, a few deletes go and the others wait, until their records are back."""
    begun(city)
    with careful(city) as relay, capture_logs() as logs:
        drive(relay)
        empty(city)
        drive(relay)
        gone, waiting = told(city), listed(city)
        city.add(*SERIALS)
        drive(relay)

    assert gone == (2, 0)
    assert waiting == [HELD] * 4
    assert told(city) == (2, 2)
    assert listed(city) == []
    held = [line for line in logs if line["event"] == "deletes_held"]
    assert sum(line["records"] for line in held) == 4
    # Nor does the sweep accuse anybody of what is waited for; it was a sweep that found what TRUNCATE has removed.
    found = [line["records"] for line in logs if line["event"] == "rows_changed_behind_outbox"]
    assert found in ([], [len(SERIALS)])


def test_deletes_that_wait_go_when_a_person_decides(city: City) -> None:
    """Whatever the relay does by itself, only a person lets the others go, and who has come back stays."""
    begun(city)
    settings, registry = city.settings(city.names.registry), city.names.registry
    authority = authority_of(settings, load_contract(settings), registry, city.engines[registry])
    publication = authority.publications[0]
    with careful(city) as relay:
        city.execute(registry, "DELETE FROM resident")
        drive(relay)
    gone = [str(row["record_key"]) for row in city.own_rows(registry, "unpublished")]
    with writing(city.engines[registry]) as connection:
        publication.outbox.mark(connection, gone, Origin.REPAIR, 1)
    # Nor does a relay that starts anew, or an order.
    with careful(city) as relay:
        drive(relay)
    before = told(city)
    with writing(city.engines[registry]) as connection:
        waiting = count_held(connection, publication.views)
        released = release_deletes(connection, publication.outbox, publication.views)
    back = city.own_rows(registry, "unpublished")[0]["record_key"]
    city.add(int(str(back)))

    with careful(city) as relay:
        drive(relay)

    assert before == (2, 0)
    assert (waiting, released) == (4, 4)
    assert told(city) == (5, 0)
    assert listed(city) == []


def test_departments_delete_that_comes_alone_goes(city: City) -> None:
    """What is gone on an ordinary day is told at once."""
    begun(city)
    with careful(city) as relay:
        city.execute(city.names.registry, "DELETE FROM resident WHERE resident_id = 1")
        drive(relay)

    assert told(city) == (1, 0)


def test_table_that_was_swapped_makes_no_record_gone(city: City) -> None:
    """Another table under the name, with no row yet, pauses the record type; with the old one back nothing was told."""
    begun(city)
    registry = city.names.registry
    is_postgres = city.engines[registry].dialect.name == "postgresql"
    columns = "resident_id integer PRIMARY KEY, id_number text, name text, born date"
    create = "CREATE TABLE resident (LIKE old INCLUDING ALL)" if is_postgres else f"CREATE TABLE resident ({columns})"

    with city.relay() as relay, capture_logs() as logs:
        drive(relay)
        city.execute(registry, "ALTER TABLE resident RENAME TO old", create)
        relay._sweeping, relay._swept_at = [], float("-inf")
        drive(relay, until=lambda: bool(relay.waiting_streams()))
        paused = told(city)
        city.execute(registry, "DROP TABLE resident", "ALTER TABLE old RENAME TO resident")
        drive(relay)

    why = [str(line["why"]) for line in logs if line["event"] == "record_type_paused"]
    assert paused == told(city) == (0, 0)
    assert len(why) == 1
    assert "before any is called gone" in why[0]
