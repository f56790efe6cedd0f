"""Guarantee 6, the canary, by the commands: nothing that processes say, write, keep or show has a personal value."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, select, text, update
from sqlalchemy.pool import NullPool

from contract.canaries import Canaries, Resident
from contract.city import City, MakeCity, drive
from contract.processes import Processes
from tellonce.kafka.reading import read_to_end
from tellonce.storage.database import reading, writing
from tellonce.storage.tables import own_tables
from tellonce.topology import load_topology, topics_of
from tellonce.topology.topics import OPERATOR, RECONCILER, divergences, orders
from waiting import wait_until

PATIENCE_SECONDS = 40.0
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
PARKED = {"cannot_hold", "collision", "refused_by_table", "undecodable"}


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

    def reasons(self) -> set[str]:
        """The reasons for which records are parked."""
        return {one.reason for department in self.city.subscribers for one in self.city.parked(department).values()}

    def differences(self) -> set[str]:
        """The kinds of all divergences so far, and how each has ended."""
        events = self.city.every_divergence()
        return {str(event.kind) for event in events} | {str(event.state) for event in events}

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
    town.collide()
    town.meddle()
    wait_until(lambda: town.reasons() >= PARKED, PATIENCE_SECONDS, what=f"parked: {PARKED}")
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


def kept(city: City) -> dict[str, bytes]:
    """What our own tables say of trouble, which operators are shown."""
    wanted = {
        "parked": ("reason", "detail"),
        "unpublished": ("reason", "detail"),
        "stream": ("stopped", "settings"),
        "position": ("stopped", "attestation", "missing"),
        "snapshot": ("reason",),
    }
    found: dict[str, bytes] = {}
    for department in city.departments:
        with reading(city.engines[department]) as connection:
            own = own_tables(connection.dialect.name)
            for name, columns in wanted.items():
                table = getattr(own, name)
                rows = connection.execute(select(*(table.c[column] for column in columns)))
                found[f"{name} at {department}"] = repr([tuple(row) for row in rows]).encode()
    return found


def written(city: City) -> dict[str, bytes]:
    """Whole messages of the control topics, and keys and headers of the view's."""
    names = city.names
    topology = load_topology(city.settings(names.registry).topology)
    controls = [spec.name for spec in topics_of(topology) if spec.name != city.topic]
    found: dict[str, bytes] = {}
    for topic in (*controls, city.topic):
        parts: list[bytes] = []
        for message in read_to_end(city.kafka, topic):
            value = message.value() if topic in controls else None
            headers = list(message.headers() or [])
            parts += [message.key() or b"", value or b"", *(_bytes(header[1]) for header in headers)]
        found[topic] = b"\n".join(parts)
    return found


def _bytes(content: str | bytes | None) -> bytes:
    return content.encode() if isinstance(content, str) else content or b""


def files(folder: Path) -> dict[str, bytes]:
    """What lies in the folder but databases and keys: logs, what commands said, and the contract."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".db" not in path.name and path.suffix != ".key"
    }


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
