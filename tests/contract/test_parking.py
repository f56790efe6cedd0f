"""Guarantee 7, bad data: a record that cannot be applied parks with its reason, and the others flow on."""

from pathlib import Path

import pytest
from sqlalchemy import text, update

from contract.city import City, MakeCity, Site, drive
from contract.forms import Terms, id_number
from tellonce.storage.database import writing
from tellonce.storage.tables import own_tables

TOO_LONG = "N" * 31


class Crash(Exception):  # noqa: N818 - it stands for the process's end, not for an error that anybody handles
    """The relay's process ends here."""


def spoil(city: City, serial: int, payload: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Publish what waits, a record's event with other bytes under its own key, header and sequence."""

    def crash(*_arguments: object, **_named: object) -> None:
        raise Crash

    with city.relay() as relay, monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr("tellonce.publish.send.Sender.send", crash)
        drive(relay)
    with writing(city.engines[city.names.registry]) as connection:
        table = own_tables(connection.dialect.name).staged
        of_record = table.c.record_key == str(serial)
        assert connection.execute(update(table).where(of_record).values(payload=payload)).rowcount == 1
    city.publish()


def reasons(city: City, department: str) -> dict[str, str]:
    """The reason of each parked record of a department, by pseudonym."""
    return {pseudonym: record.reason for pseudonym, record in city.parked(department).items()}


def accounts(city: City) -> dict[object, object]:
    """The fund's names by number."""
    return dict(city.rows(city.names.fund, "SELECT gmsfhm, xm FROM account"))  # type: ignore[arg-type]  # each row is a pair


def test_value_too_long_parks_its_record_alone(city: City) -> None:
    """A name that the column cannot hold leaves that row as it was; the other record is applied."""
    city.add(1, name=TOO_LONG)
    city.add(2, name="Zhao Fine")
    city.open_account(id_number(1), name="before")
    city.open_account(id_number(2), name="before")
    city.begin_epoch()

    city.run()

    assert accounts(city) == {id_number(1): "before", id_number(2): "Zhao Fine"}
    assert reasons(city, city.names.fund) == {city.pseudonym(1): "cannot_hold"}


def test_else_keep_applies_the_other_columns(make_city: MakeCity) -> None:
    """With `else_keep` the column that cannot hold its value stays, and the others are written."""
    city = make_city(else_keep=True)
    city.add(1, name=TOO_LONG)
    city.open_account(id_number(1), name="before")
    city.execute(city.names.fund, "UPDATE account SET csrq = '19991231'")
    city.begin_epoch()

    city.run()

    assert city.rows(city.names.fund, "SELECT xm, csrq FROM account") == [("before", "19700101")]


def test_else_keep_leaves_the_record_listed(make_city: MakeCity) -> None:
    """A record of which one column was kept stays on the list of parked records."""
    city = make_city(else_keep=True)
    city.add(1, name=TOO_LONG)
    city.open_account(id_number(1))
    city.begin_epoch()

    city.run()

    assert reasons(city, city.names.fund) == {city.pseudonym(1): "cannot_hold"}


def test_parked_record_is_applied_with_its_next_version(city: City) -> None:
    """A newer event that the column can hold takes the record off the list."""
    city.add(1, name=TOO_LONG)
    city.open_account(id_number(1), name="before")
    city.begin_epoch()
    city.run()

    city.rename(1, "Zhao Short")
    city.run()

    assert accounts(city) == {id_number(1): "Zhao Short"}
    assert reasons(city, city.names.fund) == {}


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        pytest.param(b"\x00\x7f\xff\xff\xff\x02\x02", "unknown_schema", id="unknown-schema-id"),
        pytest.param(b"\x00\x00\x00\x00\x01\x02\xff\xff\xff", "undecodable", id="undecodable-body"),
        pytest.param(b"not of our framing", "undecodable", id="no-frame"),
    ],
)
def test_bytes_that_cannot_be_read_park_their_record_alone(
    city: City, monkeypatch: pytest.MonkeyPatch, payload: bytes, reason: str
) -> None:
    """Bytes of no schema that the department knows park the record that their key names, and no other."""
    city.begin_epoch()
    city.publish()
    city.add(1, 2)
    spoil(city, 1, payload, monkeypatch)

    city.apply()

    assert list(city.patients()) == [id_number(2)]
    assert reasons(city, city.names.clinic) == {city.pseudonym(1): reason}


def test_event_of_a_future_schema_is_released_when_it_is_known(city: City) -> None:
    """An event of a schema that a department does not know yet parks, and is applied when its catalogue does."""
    city.add(1, 2)
    city.begin_epoch()
    city.run()
    city.publish_newer_contract()
    city.rename(1, "Zhao New")
    city.begin_epoch()
    city.publish()
    city.apply(city.names.clinic)
    before = set(reasons(city, city.names.clinic).values()), city.patients()[id_number(1)]

    city.adopt_newer_contract(city.names.clinic)
    with city.applier(city.names.clinic) as applier:
        drive(applier, until=lambda: not city.parked(city.names.clinic))

    assert before == ({"unknown_schema"}, "Wang Fang")
    assert (reasons(city, city.names.clinic), city.patients()[id_number(1)]) == ({}, "Zhao New")


def test_row_that_a_clerk_holds_parks_as_locked_and_is_applied_after(postgres_only_site: Site, tmp_path: Path) -> None:
    """A locked row delays its own record only, until the clerk lets it go."""
    with City(tmp_path, postgres_only_site, Terms()) as city:
        clinic = city.names.clinic
        city.add(1, 2)
        city.begin_epoch()
        city.run()
        for serial in (1, 2):
            city.rename(serial, "Zhao New")
        city.publish()

        with city.applier(clinic) as applier:
            with city.engines[clinic].begin() as clerk:
                number = {"number": id_number(1)}
                clerk.execute(text("SELECT 1 FROM patient WHERE card_no = :number FOR UPDATE"), number)
                drive(applier, until=lambda: bool(city.parked(clinic)))
                while_locked = reasons(city, clinic), city.patients()
            drive(applier, until=lambda: not city.parked(clinic))

        assert while_locked == (
            {city.pseudonym(1): "locked"},
            {id_number(1): "Wang Fang", id_number(2): "Zhao New"},
        )
        assert city.patients() == {id_number(1): "Zhao New", id_number(2): "Zhao New"}


def test_colliding_value_parks_until_the_other_row_gives_way(city: City) -> None:
    """A number that another row holds under a unique index parks the record; it is tried again and applied."""
    clinic = city.names.clinic
    city.add(1, 2)
    city.begin_epoch()
    city.run()
    city.execute(
        clinic, "INSERT INTO patient (card_no, patient_name) VALUES (:number, 'stranger')", number=id_number(9)
    )
    change = "UPDATE resident SET id_number = :number WHERE resident_id = 1"
    city.execute(city.names.registry, change, number=id_number(9))
    city.rename(2, "Zhao Fine")
    city.run()
    parked, others = reasons(city, clinic), city.patients()[id_number(2)]

    city.execute(clinic, "DELETE FROM patient WHERE patient_name = 'stranger'")
    with city.applier(clinic) as applier:
        drive(applier, until=lambda: not city.parked(clinic), deadline_seconds=20)

    assert (parked, others) == ({city.pseudonym(1): "collision"}, "Zhao Fine")
    assert city.patients() == {id_number(9): "Wang Fang", id_number(2): "Zhao Fine"}
