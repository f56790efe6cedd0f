"""Edits behind the services' backs, planted so that the demonstration can see each one found."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from sqlalchemy import Connection, CursorResult, Engine, delete, text, update

from tellonce.demo.generation import City
from tellonce.demo.people import Resident
from tellonce.demo.tables import FUND_NAME_BYTES, Row, tables_of
from tellonce.model.errors import ConfigurationError, RetryableError

__all__ = ["Fault", "FaultPlan", "Planted", "plan_faults"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """What a planted edit makes untrue, and what ought to become of it."""

    department: str
    view: str
    record_key: str
    kind: Literal["altered", "missing", "unseen"]
    """As the reconciler names the divergence; `unseen` is a change at the authority that its capture did not see."""
    policy: Literal["repair", "flag", "sweep"]
    """What the subscription says; `sweep` where the authority's own sweep has to notice."""
    heals: bool
    """Whether the services can make it true again without a person.

    Not where the subscription flags, nor where a fund would have to open an account again that is gone.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One edit that can be planted, once."""

    title: str
    """What happens, in a few words without personal data, for the demonstration's table."""
    planted: Planted
    edit: Callable[[Connection], int]
    """Makes the edit and gives how many rows it met."""

    def plant(self, engines: Mapping[str, Engine]) -> Planted:
        """Makes the edit in one transaction of its own at the department.

        Raises:
            RetryableError: the row is not there yet as the services ought to have left it; nothing was edited.
        """
        with engines[self.planted.department].begin() as connection:
            if self.edit(connection) != 1:
                where = self.planted.department
                msg = (
                    f"expected one row at {where} as its applier leaves it ({self.title}), found none; try again later"
                )
                raise RetryableError(msg, department=where)
        return self.planted


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPlan:
    """The faults of a run and the residents they concern, whom the live load has to leave alone."""

    faults: tuple[Fault, ...]
    avoid: frozenset[int]


def plan_faults(city: City, seed: int) -> FaultPlan:
    """Chooses whom each fault concerns; the same for the same arguments, and nobody twice.

    Each edit looks for its row as it is once the department has applied the snapshot.

    Raises:
        ConfigurationError: the city is too small to have somebody for each fault.
    """
    victims = _Victims(city, Random(f"faults {seed}"))
    chosen: list[tuple[Resident, Fault]] = [
        _address_altered(victims.mirrored()),
        _insured_person_deleted(victims.mirrored()),
        _old_number_put_back(*victims.account_holder_upgraded()),
        _account_deleted(*victims.account_holder()),
        _birth_date_altered(victims.mirrored()),
        _changed_without_triggers(victims.mirrored()),
    ]
    return FaultPlan(
        faults=tuple(fault for _, fault in chosen), avoid=frozenset(person.resident_id for person, _ in chosen)
    )


class _Victims:
    """Draws people whose rows are beyond doubt: alive, an upgraded number, a name that every column holds."""

    def __init__(self, city: City, rng: Random) -> None:
        doubtful = city.population.shared_short_numbers
        people = [
            person
            for person in city.population.residents
            if person.alive and len(person.former_id_numbers) == 1 and person.former_id_numbers[0] not in doubtful
            if len(person.name.encode()) <= FUND_NAME_BYTES
        ]
        rng.shuffle(people)
        self._people = people
        owners = city.ownership["provident-fund"].owners
        self._accounts = {owners[str(row["zhbh"])]: row for row in _rows(city, "provident-fund", "fund_account")}

    def mirrored(self) -> Resident:
        return self._take(lambda _: True)

    def account_holder(self) -> tuple[Resident, Row]:
        person = self._take(self._account_is_open)
        return person, self._accounts[person.resident_id]

    def account_holder_upgraded(self) -> tuple[Resident, Row]:
        def fits(person: Resident) -> bool:
            return self._account_is_open(person) and self._accounts[person.resident_id]["gmsfhm"] != person.id_number

        person = self._take(fits)
        return person, self._accounts[person.resident_id]

    def _account_is_open(self, person: Resident) -> bool:
        account = self._accounts.get(person.resident_id)
        return account is not None and account["zhzt"] != "9"

    def _take(self, fits: Callable[[Resident], bool]) -> Resident:
        for position, person in enumerate(self._people):
            if fits(person):
                return self._people.pop(position)
        msg = "the city is too small to plant a fault of each kind; ask for more residents"
        raise ConfigurationError(msg)


def _rows(city: City, department: str, table: str) -> Sequence[Row]:
    return city.rows[department][table]


def _address_altered(person: Resident) -> tuple[Resident, Fault]:
    table = tables_of("social-security")["insured_person"]
    statement = update(table).where(table.c.sfzhm == person.id_number).values(jzdz="误改路1号")
    return person, Fault(
        title="an address is altered",
        planted=Planted(
            department="social-security",
            view="citizen.residence",
            record_key=str(person.resident_id),
            kind="altered",
            policy="repair",
            heals=True,
        ),
        edit=lambda connection: _met(connection.execute(statement)),
    )


def _insured_person_deleted(person: Resident) -> tuple[Resident, Fault]:
    table = tables_of("social-security")["insured_person"]
    statement = delete(table).where(table.c.sfzhm == person.id_number)
    return person, Fault(
        title="a row of a mirror is deleted",
        planted=Planted(
            department="social-security",
            view="citizen.residence",
            record_key=str(person.resident_id),
            kind="missing",
            policy="repair",
            heals=True,
        ),
        edit=lambda connection: _met(connection.execute(statement)),
    )


def _old_number_put_back(person: Resident, account: Row) -> tuple[Resident, Fault]:
    table = tables_of("provident-fund")["fund_account"]
    statement = (
        update(table)
        .where(table.c.zhbh == account["zhbh"], table.c.gmsfhm == person.id_number)
        .values(gmsfhm=account["gmsfhm"])
    )
    return person, Fault(
        title="the old number is put back",
        planted=Planted(
            department="provident-fund",
            view="citizen.identity",
            record_key=str(person.resident_id),
            kind="altered",
            policy="repair",
            heals=True,
        ),
        edit=lambda connection: _met(connection.execute(statement)),
    )


def _account_deleted(person: Resident, account: Row) -> tuple[Resident, Fault]:
    table = tables_of("provident-fund")["fund_account"]
    statement = delete(table).where(table.c.zhbh == account["zhbh"], table.c.gmsfhm == person.id_number)
    return person, Fault(
        title="an account is deleted",
        planted=Planted(
            department="provident-fund",
            view="citizen.identity",
            record_key=str(person.resident_id),
            kind="missing",
            policy="repair",
            heals=False,
        ),
        edit=lambda connection: _met(connection.execute(statement)),
    )


def _birth_date_altered(person: Resident) -> tuple[Resident, Fault]:
    table = tables_of("healthcare")["patient_index"]
    wrong = person.birth_date.replace(year=person.birth_date.year - 1, day=1)
    statement = (
        update(table).where(table.c.id_card_no == person.id_number, table.c.dob == person.birth_date).values(dob=wrong)
    )
    return person, Fault(
        title="a birth date is altered",
        planted=Planted(
            department="healthcare",
            view="citizen.identity",
            record_key=str(person.resident_id),
            kind="altered",
            policy="flag",
            heals=False,
        ),
        edit=lambda connection: _met(connection.execute(statement)),
    )


def _changed_without_triggers(person: Resident) -> tuple[Resident, Fault]:
    table = tables_of("public-security")["resident"]
    statement = update(table).where(table.c.resident_id == person.resident_id).values(name=f"{person.name[0]}改名")

    def edit(connection: Connection) -> int:
        with_triggers_off = _with_triggers_off_sqlite if connection.dialect.name == "sqlite" else _with_triggers_off
        return with_triggers_off(connection, "resident", lambda: _met(connection.execute(statement)))

    return person, Fault(
        title="a name is changed at the authority with its triggers off",
        planted=Planted(
            department="public-security",
            view="citizen.identity",
            record_key=str(person.resident_id),
            kind="unseen",
            policy="sweep",
            heals=True,
        ),
        edit=edit,
    )


def _with_triggers_off(connection: Connection, table: str, edit: Callable[[], int]) -> int:
    # ENABLE ALWAYS triggers fire even as a replica, so each is disabled by name and put back as it was.
    enabling = {"O": "ENABLE TRIGGER", "A": "ENABLE ALWAYS TRIGGER", "R": "ENABLE REPLICA TRIGGER"}
    found = connection.execute(
        text(
            "SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = CAST(:table AS regclass) AND NOT tgisinternal "
            "AND tgenabled <> 'D'"
        ),
        {"table": table},
    ).all()
    triggers = [(str(name), _text(state)) for name, state in found]
    quoted = connection.dialect.identifier_preparer.quote
    _run_all(connection, (f"ALTER TABLE {quoted(table)} DISABLE TRIGGER {quoted(name)}" for name, _ in triggers))
    met = edit()
    _run_all(connection, (f"ALTER TABLE {quoted(table)} {enabling[how]} {quoted(name)}" for name, how in triggers))
    return met


def _with_triggers_off_sqlite(connection: Connection, table: str, edit: Callable[[], int]) -> int:
    found = connection.execute(
        text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :table"), {"table": table}
    ).all()
    quoted = connection.dialect.identifier_preparer.quote
    _run_all(connection, (f"DROP TRIGGER {quoted(str(name))}" for name, _ in found))
    met = edit()
    _run_all(connection, (str(sql) for _, sql in found))
    return met


def _run_all(connection: Connection, statements: Iterable[str]) -> None:
    for statement in statements:
        connection.exec_driver_sql(statement)


def _text(raw: object) -> str:
    # PostgreSQL's type "char" comes as bytes through psycopg's binary results and as text otherwise.
    return raw.decode() if isinstance(raw, bytes) else str(raw)


def _met(result: CursorResult[tuple[()]]) -> int:
    return result.rowcount
