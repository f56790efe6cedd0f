"""A city with people whose every value is a canary, and with everything wrong that can be."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import create_engine, text, update
from sqlalchemy.pool import NullPool

from contract.canaries import Canaries, Resident
from contract.city import City, drive
from tellonce.kafka.reading import read_to_end
from tellonce.storage.database import writing
from tellonce.storage.tables import own_tables
from tellonce.topology.topics import repairs

__all__ = ["Town"]

LARGE = 1_200_000
# A clinic as many are: triggers that tell whoever is refused what they refused, and a rule at the end of a transaction.
CLINIC = {
    "postgresql": (
        "CREATE TABLE refused (name text)",
        "CREATE TABLE busy (name text)",
        "ALTER TABLE patient ADD CHECK (patient_name <> '{checked}')",
        """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF EXISTS (SELECT 1 FROM public.refused WHERE name = NEW.patient_name) THEN
            RAISE EXCEPTION 'no %% here', NEW.patient_name USING DETAIL = NEW.card_no, HINT = NEW.street;
        END IF;
        RETURN NEW; END $$""",
        "CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON patient FOR EACH ROW EXECUTE FUNCTION refuse()",
        """CREATE FUNCTION postpone() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF EXISTS (SELECT 1 FROM public.busy WHERE name = NEW.patient_name) THEN
            RAISE EXCEPTION 'later, %%', NEW.patient_name USING ERRCODE = '40001', DETAIL = NEW.card_no;
        END IF;
        RETURN NULL; END $$""",
        (
            "CREATE CONSTRAINT TRIGGER postpone AFTER INSERT OR UPDATE ON patient DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW EXECUTE FUNCTION postpone()"
        ),
        "INSERT INTO refused VALUES ('{refused}')",
        "INSERT INTO busy VALUES ('{postponed}')",
    ),
    "sqlite": (
        (
            "CREATE TRIGGER refuse_refused BEFORE INSERT ON patient WHEN NEW.patient_name = '{refused}' BEGIN "
            "SELECT RAISE(ABORT, 'no {refused} here'); END"
        ),
        (
            "CREATE TRIGGER refuse_checked BEFORE INSERT ON patient WHEN NEW.patient_name = '{checked}' BEGIN "
            "SELECT RAISE(FAIL, 'no {checked} here'); END"
        ),
    ),
}


class Town:
    """The city with people whose every value is a canary, and with everything wrong that can be."""

    def __init__(self, city: City) -> None:
        """Nobody is registered yet."""
        self.city = city
        self.canaries = Canaries()
        self.is_postgres = city.engines[city.names.registry].dialect.name == "postgresql"
        self.people: dict[str, Resident] = {}

    def register(self, role: str, *, name: str | bytes | None = "", born: str | None = None) -> Resident:
        """Register a person with a former number; another name or date than their own makes trouble."""
        one = self.people[role] = self.canaries.resident()
        self.city.execute(
            self.city.names.registry,
            "INSERT INTO id_history (resident_id, id_number) VALUES (:id, :former)",
            "INSERT INTO resident (resident_id, id_number, name, born, street) "
            "VALUES (:id, :number, :name, :born, :street)",
            id=one.key,
            former=one.former,
            number=one.number,
            name=one.name if name == "" else name,
            born=born or (one.born if self.is_postgres else one.born.isoformat()),
            street=one.street,
        )
        return one

    def furnish(self) -> None:
        """Prepare the departments' tables, and register everybody."""
        names, city = self.city.names, self.city
        rules = {role: self.register(role) for role in ("checked", "refused", "postponed")}
        for statement in CLINIC["postgresql" if self.is_postgres else "sqlite"]:
            with city.engines[names.clinic].begin() as connection:
                connection.exec_driver_sql(statement.format(**{role: one.name for role, one in rules.items()}))
        for role in ("plain", "formerly", "shortly", "ambiguous", "altered", "missing", "locked", "colliding"):
            self.register(role)
        self.register("long", name=self.canaries.word() * 3)
        self.register("nameless", name=None)
        self.register("large", name=self.canaries.word() * (LARGE // 15))
        if self.is_postgres:
            self.register("strange", born="infinity")
        else:
            self.register("strange", born=self.canaries.word())
            self.register("octets", name=self.canaries.octets())
        of = self.people
        self.open_account("plain", of["plain"].number)
        self.open_account("formerly", of["formerly"].former)
        self.open_account("shortly", of["shortly"].short)
        self.open_account("long", of["long"].number)
        for account in ("one", "other"):
            self.open_account(f"ambiguous {account}", of["ambiguous"].number)
        self.open_account("nobody", self.canaries.resident().number)
        stranger = "INSERT INTO patient (card_no, patient_name, street) VALUES (:number, :name, :street)"
        stranger_name, street = self.canaries.word(), self.canaries.word()
        city.execute(names.clinic, stranger, number=self.canaries.resident().number, name=stranger_name, street=street)

    def open_account(self, account: str, number: str) -> None:
        """Let the fund hold an account with values of its own."""
        self.city.open_account(number, name=self.canaries.word()[:9], account=f"{self.canaries.word()} {account}")

    def spoil(self) -> None:
        """Publish what waits, two of them with bytes that nobody can read and that hold a value."""

        class Crash(Exception):  # noqa: N818 - it stands for the end of a process
            pass

        def crash(*_arguments: object, **_named: object) -> None:
            raise Crash

        city = self.city
        wrong = {
            self.register("unreadable").key: self.canaries.octets() + self.canaries.word().encode(),
            self.register("torn").key: b"\x00\x00\x00\x00\x01" + self.canaries.word().encode(),
        }
        with city.relay() as relay, pytest.MonkeyPatch.context() as patch, pytest.raises(Crash):
            patch.setattr("tellonce.publish.send.Sender.send", crash)
            drive(relay)
        with writing(city.engines[city.names.registry]) as connection:
            table = own_tables(connection.dialect.name).staged
            for key, payload in wrong.items():
                change = update(table).where(table.c.record_key == str(key)).values(payload=payload)
                assert connection.execute(change).rowcount == 1
        city.publish()

    def meddle(self) -> None:
        """Change the departments' rows behind the services' backs."""
        clinic, of = self.city.names.clinic, self.people
        statement = "UPDATE patient SET patient_name = :name, street = :street WHERE card_no = :number"
        name, street = self.canaries.word(), self.canaries.word()
        self.city.execute(clinic, statement, name=name, street=street, number=of["altered"].number)
        self.city.execute(clinic, "DELETE FROM patient WHERE card_no = :number", number=of["missing"].number)
        undecodable = "UPDATE account SET csrq = :value WHERE gmsfhm = :number"
        self.city.execute(self.city.names.fund, undecodable, value=self.canaries.word(5), number=of["plain"].number)

    def collide(self) -> None:
        """Give a person a number that a stranger's row has at the clinic."""
        taken = self.canaries.resident()
        insert = "INSERT INTO patient (card_no, patient_name) VALUES (:number, :name)"
        self.city.execute(self.city.names.clinic, insert, number=taken.number, name=taken.name)
        change = "UPDATE resident SET id_number = :number WHERE resident_id = :id"
        self.city.execute(self.city.names.registry, change, number=taken.number, id=self.people["colliding"].key)

    def rename(self, role: str) -> str:
        """Correct a name at the authority."""
        name = self.canaries.word()
        self.city.rename(self.people[role].key, name)
        return name

    def holds(self, name: str) -> bool:
        """Whether the clinic has a patient of this name."""
        return name in self.city.patients().values()

    def is_written_at_fund(self, name: str) -> bool:
        """Whether the fund has an account of a person of this name."""
        return (name,) in self.city.rows(self.city.names.fund, "SELECT xm FROM account")

    def reasons(self) -> set[str]:
        """The reasons for which records are parked."""
        return {one.reason for department in self.city.subscribers for one in self.city.parked(department).values()}

    def differences(self) -> set[str]:
        """The kinds of all divergences so far, and how each has ended."""
        events = self.city.every_divergence()
        return {str(event.kind) for event in events} | {str(event.state) for event in events}

    def asked(self) -> set[str]:
        """The departments that the reconciler has asked to have records repaired."""
        return {name for name in self.city.subscribers if any(read_to_end(self.city.kafka, repairs(name)))}

    @contextmanager
    def clinic_away(self) -> Iterator[None]:
        """Take the clinic's database away: nobody is let in, or nobody may write."""
        clinic = self.city.names.clinic
        if not self.is_postgres:
            with writing(self.city.engines[clinic]):
                yield
            return
        address, _, name = self.city.urls[clinic].rpartition("/")
        server = create_engine(f"{address}/postgres", isolation_level="AUTOCOMMIT", poolclass=NullPool)
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
        with server.connect() as connection:
            connection.exec_driver_sql(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
            connection.execute(text(end), {"name": name})
            try:
                yield
            finally:
                connection.exec_driver_sql(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
