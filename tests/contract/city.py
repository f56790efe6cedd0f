"""A city of three departments for the contract suite: its services are wired as the commands wire them, in-process.

One authority (the registry) and two subscribers: a fund that holds accounts of some residents, and a clinic that
mirrors all of them.
A test changes rows, lets services run to their end, and looks at tables, logs and statements.
"""

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Protocol, Self
from uuid import uuid4

from sqlalchemy import Engine, RowMapping, select, text

from contract import forms
from owntables import make_own_tables
from reconcile.running import run_once
from tellonce.apply.applier import Applier
from tellonce.avro.catalogue import Catalogue
from tellonce.avro.lock import extend_lock
from tellonce.cli.contract import load_contract
from tellonce.cli.settings import Settings
from tellonce.cli.wiring import authority_of, declared_sources, open_applier, open_reconciler, open_relay, signatures_of
from tellonce.control.messages import DivergenceEvent, decode_message
from tellonce.control.signing import Signatures, public_key_of
from tellonce.declare import Raw
from tellonce.kafka.clients import make_producer
from tellonce.kafka.embedded import EmbeddedBroker
from tellonce.kafka.reading import read_to_end
from tellonce.kafka.settings import KafkaSettings
from tellonce.kafka.topics import apply_plan, plan_topics
from tellonce.keyring import load_view_keys, new_signing_key, new_view_keys
from tellonce.model.change import ChangeEvent, Operation
from tellonce.model.digest import pseudonym_of
from tellonce.model.errors import RetryableError
from tellonce.model.position import HEADER_NAME, Header, parse_header
from tellonce.publish.relay import Relay
from tellonce.publish.streams import begin_epoch
from tellonce.reconcile.status import StreamStatus
from tellonce.running import run_turns
from tellonce.storage.capture import install
from tellonce.storage.database import open_database, reading, writing
from tellonce.storage.parked import ParkedRecord, list_parked
from tellonce.storage.tables import own_tables
from tellonce.topology import load_topology
from tellonce.topology.topics import OPERATOR, RECONCILER, divergences, topics_of

__all__ = ["BORN", "City", "Logged", "MakeCity", "Reconciled", "Site", "drive"]

BORN = date(1970, 1, 1)
DEADLINE_SECONDS = 45.0


class Service(Protocol):
    """What relay and applier have in common."""

    def turn(self) -> bool:
        """Do what there is to do once."""
        ...

    def is_done(self) -> bool:
        """Tell whether nothing is left to do."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A broker and databases to run a city on."""

    kafka: KafkaSettings
    new_database: Callable[[str], str]
    copy_database: Callable[[str, str], str]
    embedded: EmbeddedBroker | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """One message of the view's topic."""

    partition: int
    offset: int
    key: str
    payload: bytes
    header: Header
    sealed: bytes
    """The Kafka header as it stood beside the message."""
    event: ChangeEvent | None
    """None where the bytes are of no schema that the authority knows."""

    @property
    def is_marker(self) -> bool:
        """Whether it is about no record."""
        return self.key.startswith("marker:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """What the reconciler says when all is settled."""

    statuses: Sequence[StreamStatus]
    divergences: Sequence[DivergenceEvent]
    settled: bool

    def states(self, department: str) -> set[str]:
        """The states of a department's streams."""
        return {status.state.value for status in self.statuses if status.department == department}


def drive(
    *services: Service, until: Callable[[], bool] | None = None, deadline_seconds: float = DEADLINE_SECONDS
) -> None:
    """Turn services in turn until each is done, or until the condition holds.

    Raises:
        AssertionError: that was not so before the deadline.
    """
    deadline = time.monotonic() + deadline_seconds
    while True:
        busy = [service.turn() for service in services]
        if until() if until else (not any(busy) and all(service.is_done() for service in services)):
            return
        assert time.monotonic() < deadline, f"not done within {deadline_seconds} s: {services}"
        if not any(busy):
            time.sleep(0.01)


class City:
    """The departments with their databases, on one site; `with City(...)` closes what is open."""

    def __init__(self, folder: Path, site: Site, terms: forms.Terms | None = None) -> None:
        """Make contract, keys, topics and databases; nothing runs yet."""
        self.names = forms.Names(uuid4().hex[:10])
        self.site = site
        self.terms = terms or forms.Terms()
        self.kafka = site.kafka
        self._folder = folder
        self.engines: dict[str, Engine] = {}
        self.urls: dict[str, str] = {}
        self.contracts = dict.fromkeys(self.departments, folder / "contract")
        principals = (*self.departments, RECONCILER, OPERATOR) if self.terms.signed else ()
        self._signing_keys = {name: public_key_of(new_signing_key(folder / "keys", name)) for name in principals}
        self._write_contract(folder / "contract", with_street=False)
        new_view_keys(folder / "keys", self.names.view)
        self._make_topics()
        for department in self.departments:
            self._make_database(department)

    def __enter__(self) -> Self:
        """Give the city itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close the tests' own connections."""
        for engine in self.engines.values():
            engine.dispose()

    @property
    def departments(self) -> tuple[str, str, str]:
        """The authority and the two subscribers."""
        return self.names.registry, self.names.fund, self.names.clinic

    @property
    def subscribers(self) -> tuple[str, str]:
        """The fund and the clinic."""
        return self.names.fund, self.names.clinic

    def signatures(self, speaker: str) -> Signatures:
        """What a principal signs with, as its services do."""
        settings = self.settings(self.names.registry)
        return signatures_of(settings, load_topology(settings.topology), speaker)

    @property
    def topic(self) -> str:
        """The view's topic."""
        return f"{self.names.view}.v1"

    def _write_contract(self, folder: Path, *, with_street: bool) -> None:
        names, fields = self.names, ("id_number", "name", "born", *(("street",) if with_street else ()))
        schemas = folder / "schemas"
        for part in (schemas / names.record_type, folder / "producers", folder / "consumers"):
            part.mkdir(parents=True, exist_ok=True)
        (folder / "topology.yaml").write_text(forms.topology_of(names, self.terms, fields, self._signing_keys))
        version = "v002.avsc" if with_street else "v001.avsc"
        (schemas / names.record_type / version).write_text(forms.schema_of(names, with_street=with_street))
        declared = {names.registry: forms.producer_of(names, with_street=with_street)}
        declared |= forms.consumers_of(names, self.terms, with_street=with_street)
        for department, form in declared.items():
            kind = "producers" if department == names.registry else "consumers"
            (folder / kind / f"{department.replace('-', '_')}.py").write_text(form)
        (folder / "consumers" / "reconciliation.py").write_text(forms.POLICY)
        extend_lock(schemas, load_topology(folder / "topology.yaml"))

    def publish_newer_contract(self) -> None:
        """Write the contract's next version, with a street, and let the authority alone know it."""
        newer = self._folder / "newer"
        shutil.copytree(self._folder / "contract", newer)
        self._write_contract(newer, with_street=True)
        registry = self.names.registry
        self.contracts[registry] = newer
        settings = self.settings(registry)
        install(self.engines[registry], declared_sources(settings, load_contract(settings), registry))

    def adopt_newer_contract(self, department: str) -> None:
        """Let a subscriber know the contract's next version, too."""
        self.contracts[department] = self._folder / "newer"

    def _make_topics(self) -> None:
        specs = topics_of(load_topology(self._folder / "contract" / "topology.yaml"))
        if self.site.embedded is None:
            apply_plan(self.kafka, plan_topics(self.kafka, specs))
            return
        for spec in specs:
            try:
                self.site.embedded.create_topic(spec.name, partitions=spec.partitions)
            except RetryableError:
                # The control topics are there since the first city on this broker.
                assert self.names.tag not in spec.name

    def _make_database(self, department: str) -> None:
        self.urls[department] = url = self.site.new_database(department)
        self.engines[department] = engine = open_database(url)
        for statement in forms.tables_of(self.names, engine.dialect.name)[department]:
            with engine.begin() as connection:
                connection.exec_driver_sql(statement)
        make_own_tables(engine)
        settings = self.settings(department)
        if sources := declared_sources(settings, load_contract(settings), department):
            install(engine, sources)

    def use_database(self, department: str, url: str) -> None:
        """Let a department live in another database from now on, as after a restore."""
        self.engines[department].dispose()
        self.urls[department], self.engines[department] = url, open_database(url)

    def settings(self, department: str) -> Settings:
        """The settings of a department's host."""
        contract = self.contracts[department]
        return Settings.model_validate(
            {
                "topology": contract / "topology.yaml",
                "schemas": contract / "schemas",
                "producers": contract / "producers",
                "consumers": contract / "consumers",
                "keys": self._folder / "keys",
                "database_url": self.urls[department],
                "kafka": self.kafka,
            }
        )

    def execute(self, department: str, *statements: str, **values: Raw) -> None:
        """Run statements in one transaction of a department's database."""
        with writing(self.engines[department]) as connection:
            for statement in statements:
                connection.execute(text(statement), values)

    def rows(self, department: str, query: str) -> list[tuple[object, ...]]:
        """What a query over a department's tables gives."""
        with reading(self.engines[department]) as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    def own_rows(self, department: str, table: str) -> list[RowMapping]:
        """All rows of one of our own tables at a department."""
        with reading(self.engines[department]) as connection:
            found = getattr(own_tables(connection.dialect.name), table)
            return list(connection.execute(select(found)).mappings())

    def add(self, *serials: int, former: str | None = None, name: str = "Wang Fang") -> None:
        """Register residents with these serials as record key and in their number, in one transaction each."""
        for serial in serials:
            history = "INSERT INTO id_history (resident_id, id_number) VALUES (:id, :former)"
            self.execute(
                self.names.registry,
                *([history] if former else []),
                "INSERT INTO resident (resident_id, id_number, name, born) VALUES (:id, :number, :name, :born)",
                id=serial,
                number=forms.id_number(serial),
                name=name,
                born=self.date_of(self.names.registry),
                former=former,
            )

    def date_of(self, department: str) -> Raw:
        """The date of birth, as the department's driver takes it in plain SQL."""
        return BORN if self.engines[department].dialect.name == "postgresql" else BORN.isoformat()

    def rename(self, serial: int, name: str) -> None:
        """Correct a resident's name at the authority."""
        statement = "UPDATE resident SET name = :name WHERE resident_id = :id"
        self.execute(self.names.registry, statement, id=serial, name=name)

    def open_account(self, number: str, name: str = "Wang", account: str | None = None, state: str = "0") -> None:
        """Let the fund have an account under a number."""
        statement = (
            "INSERT INTO account (zhbh, gmsfhm, xm, csrq, zt) VALUES (:account, :number, :name, '19700101', :state)"
        )
        values = {"account": account or f"A{number}", "number": number, "name": name, "state": state}
        self.execute(self.names.fund, statement, **values)

    def patients(self) -> dict[object, object]:
        """The clinic's patients' names by number."""
        return dict(self.rows(self.names.clinic, "SELECT card_no, patient_name FROM patient"))  # type: ignore[arg-type]  # each row is a pair

    def change_behind_the_outbox(self, statement: str, **values: Raw) -> None:
        """Change the authority's residents with its triggers off, as a person with rights over the table can."""
        registry = self.names.registry
        if self.engines[registry].dialect.name == "postgresql":
            off = ["ALTER TABLE resident DISABLE TRIGGER ALL"]
            names = self.rows(registry, "SELECT tgname FROM pg_trigger WHERE tgrelid = 'resident'::regclass")
            on = [f"ALTER TABLE resident ENABLE ALWAYS TRIGGER {name}" for (name,) in names]
        else:
            triggers = self.rows(registry, "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
            off, on = [f"DROP TRIGGER {name}" for name, _ in triggers], [str(sql) for _, sql in triggers]
        with self.engines[registry].begin() as connection:
            for each in off:
                connection.exec_driver_sql(each)
            connection.execute(text(statement), values)
            for each in on:
                connection.exec_driver_sql(each)

    def begin_epoch(self) -> int:
        """Begin an epoch at the authority, as `tellonce snapshot` and `tellonce resync` do."""
        settings, registry = self.settings(self.names.registry), self.names.registry
        authority = authority_of(settings, load_contract(settings), registry, self.engines[registry])
        with writing(self.engines[registry]) as connection:
            return begin_epoch(connection, self.names.record_type, authority.views, "a test")

    @contextmanager
    def relay(self) -> Iterator[Relay]:
        """An authority's relay, closed at the end."""
        with ExitStack() as stack:
            yield open_relay(self.settings(self.names.registry), self.names.registry, stack)[0]

    @contextmanager
    def applier(self, department: str) -> Iterator[Applier]:
        """A subscriber's applier, closed at the end."""
        with ExitStack() as stack:
            yield open_applier(self.settings(department), department, stack)[0]

    def publish(self) -> None:
        """Run the relay until it is done."""
        with self.relay() as relay:
            drive(relay)

    def apply(self, *departments: str) -> None:
        """Run the appliers of these subscribers, or of all, until each has read the log to its end and is done."""
        with ExitStack() as stack:
            chosen = departments or self.subscribers
            drive(*(stack.enter_context(self.applier(department)) for department in chosen))

    def run(self) -> None:
        """Publish what waits, then apply it."""
        self.publish()
        self.apply()

    def reconcile(
        self, *departments: str, load: Sequence[Callable[[], None]] = (), deadline_seconds: float = DEADLINE_SECONDS
    ) -> Reconciled:
        """Run the reconciler until all is settled, with the relay and these appliers, or all, to answer it.

        It runs already while `load` is carried out, one step between two turns of the services.
        """
        settings = self.settings(self.names.registry)
        found: list[Reconciled] = []
        loaded, over = threading.Event(), threading.Event()
        with ExitStack() as stack:
            services: list[Service] = [stack.enter_context(self.relay())]
            services += [stack.enter_context(self.applier(name)) for name in departments or self.subscribers]
            drive(*services)
            reconciler, _ = open_reconciler(settings, stack)

            def work() -> None:
                try:
                    run_turns(reconciler.turn, loaded, idle_seconds=0.0)
                    settled = run_once(reconciler, deadline_seconds=deadline_seconds)
                    statuses = [one for one in reconciler.statuses if one.view == self.names.view]
                    divergences = [one for one in reconciler.divergences if one.view == self.names.view]
                    found.append(Reconciled(statuses=statuses, divergences=divergences, settled=settled))
                finally:
                    over.set()

            thread = threading.Thread(target=work)
            thread.start()
            try:
                for step in load:
                    step()
                    drive(*services, until=lambda: True)
                loaded.set()
                drive(*services, until=over.is_set, deadline_seconds=deadline_seconds + 10)
            finally:
                loaded.set()
                thread.join(deadline_seconds + 10)
        return found[0]

    def every_divergence(self) -> list[DivergenceEvent]:
        """Every message about a divergence of this city's view that was ever written, resolved ones too."""
        # Cities share a broker and its reconciler's topic, and some tests write there what is no message.
        values = (message.value() for message in read_to_end(self.kafka, divergences(RECONCILER)))
        mine = (value for value in values if value is not None and self.names.view.encode() in value)
        return [decode_message(DivergenceEvent, value) for value in mine]

    def send_again(self, message: Logged) -> None:
        """Append a copy of a message to its partition, as a relay does that did not see the acknowledgement."""
        producer = make_producer(self.kafka, "test-duplicate")
        producer.produce(
            self.topic,
            partition=message.partition,
            key=message.key.encode(),
            value=message.payload,
            headers=[(HEADER_NAME, message.sealed)],
        )
        assert producer.flush(10) == 0

    def catalogue(self) -> Catalogue:
        """The schemas as the authority knows them."""
        return load_contract(self.settings(self.names.registry)).catalogue

    def log(self, topic: str | None = None) -> list[Logged]:
        """Every message of the view's topic, by partition and offset; tombstones left out."""
        catalogue = self.catalogue()
        found: list[Logged] = []
        for message in read_to_end(self.kafka, topic or self.topic):
            headers = dict(message.headers() or ())
            payload = message.value()
            if payload is None:
                continue
            sealed = bytes(headers["tellonce"] or b"")  # type: ignore[arg-type]  # confluent-kafka types it for both directions
            try:
                event = catalogue.decode(payload, view=self.names.view)
            except Exception:  # noqa: BLE001 - what a test planted may be anything
                event = None
            found.append(
                Logged(
                    partition=int(message.partition() or 0),
                    offset=int(message.offset() or 0),
                    key=(message.key() or b"").decode(),
                    payload=payload,
                    header=parse_header(sealed)[0],
                    sealed=sealed,
                    event=event,
                )
            )
        return sorted(found, key=lambda one: (one.partition, one.offset))

    def names_in_log(self) -> list[str]:
        """The names that the log's events carry, by partition and offset."""
        events = [one.event for one in self.log() if one.event and one.event.op is not Operation.MARKER]
        return [str(event.after["name"]) for event in events if event.after]

    def pseudonym(self, serial: int) -> str:
        """The pseudonym of a resident."""
        return pseudonym_of(load_view_keys(self._folder / "keys", self.names.view).pseudonym, str(serial))

    def parked(self, department: str) -> dict[str, ParkedRecord]:
        """A department's parked records by pseudonym."""
        with reading(self.engines[department]) as connection:
            return {record.pseudonym: record for record in list_parked(connection)}

    def outcomes(self, department: str) -> dict[str, int]:
        """How many events of the view reached each terminal state at a department."""
        rows = self.own_rows(department, "position")
        kinds = ("applied", "superseded", "out_of_scope", "parked")
        return {kind: sum(int(row[f"{kind}_events"]) for row in rows) for kind in kinds}


MakeCity = Callable[..., City]
"""Makes a city on the test's site; its arguments are those of `forms.Terms`."""
