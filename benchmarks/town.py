"""The small city of the contract suite, with its services open over all rounds, on servers started for a benchmark."""

import random
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from unittest.mock import patch

from sqlalchemy import text
from stdnum.cn import ric

from contract.city import City, Service, Site
from contract.conftest import embedded_kafka, postgres_site, sqlite_site
from kafka_brokers import settings_of
from tellonce.apply import subscription
from tellonce.apply.subscription import SubscribedView
from tellonce.apply.transaction import Applied
from tellonce.cli.wiring import open_applier, open_relay
from tellonce.kafka.embedded import EmbeddedBroker
from tellonce.model.errors import ConfigurationError, InvariantError, RetryableError
from tellonce.model.seal import StreamSeal
from tellonce.publish import streams
from tellonce.publish.cycle import Turn
from tellonce.storage.database import writing
from tellonce.testing.kafka_server import KafkaServer
from tellonce.testing.postgres_server import PostgresServer, PostgresSettings

__all__ = ["Place", "Town", "id_number_of", "name_of", "place_here"]

DEADLINE_SECONDS = 60.0
SEED = 7
SURNAMES, GIVEN = "王李张刘陈杨赵黄周吴", "芳伟敏静丽强磊军洋勇艳杰"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Servers to run towns on, and their names for the row of a figure."""

    site: Site
    name: str


@contextmanager
def place_here(folder: Path) -> Generator[Place]:
    """Gives a real Kafka and a PostgreSQL that flushes its commits; without them the embedded broker and SQLite."""
    with ExitStack() as stack:
        try:
            kafka = settings_of(stack.enter_context(KafkaServer()))
            postgres = stack.enter_context(PostgresServer(PostgresSettings(fsync=True)))
            site, name = postgres_site(postgres, kafka, stack, None), "Kafka; PostgreSQL, fsync on"
        except (ConfigurationError, RetryableError) as error:
            print(f"no real servers, so embedded broker and SQLite: {error}")
            site = sqlite_site(folder, stack.enter_context(EmbeddedBroker()))
            name = "embedded broker; SQLite"
            kafka = embedded_kafka(site.embedded) if site.embedded else site.kafka
        # An arm waits while the other runs; its lease must not end meanwhile, and lasts twice as long as a message may.
        patient = kafka.model_copy(update={"message_timeout_seconds": 60})
        yield Place(
            site=Site(
                kafka=patient,
                new_database=site.new_database,
                copy_database=site.copy_database,
                embedded=site.embedded,
            ),
            name=name,
        )


class Town:
    """One authority and one subscriber that mirrors it; `stack` closes what is open."""

    def __init__(
        self, folder: Path, site: Site, stack: ExitStack, records: int, seal: type[StreamSeal] = StreamSeal
    ) -> None:
        """Publishes and applies all residents once, so that everything is warm."""
        folder.mkdir()
        self.records = records
        self.city = city = stack.enter_context(City(folder, site))
        # The suite counts each write by a trigger, which no department has.
        on_table = " ON patient" if city.engines[city.names.clinic].dialect.name == "postgresql" else ""
        triggers = ["note_written"] if on_table else ["note_inserted", "note_updated"]
        city.execute(city.names.clinic, *(f"DROP TRIGGER {name}{on_table}" for name in triggers))
        self._changes = self._applied = self._batch = 0
        self._register()
        city.begin_epoch()
        with (
            patch.object(streams, "StreamSeal", seal),
            patch.object(subscription, "StreamSeal", seal),
            # The suite's own group for the embedded broker, where a name that was used waits 45 s.
            patch("tellonce.cli.wiring.group_of", lambda department: f"bench.{city.names.tag}.{department}"),
        ):
            self.relay, _ = open_relay(city.settings(city.names.registry), city.names.registry, stack)
            self.applier, self.monitor = open_applier(city.settings(city.names.clinic), city.names.clinic, stack)
            self._count()
            self.settle()

    def _count(self) -> None:
        on_turn, on_applied = self.relay._on_turn, self.applier._on_applied  # noqa: SLF001 - the wiring has no other hook

        def turned(turn: Turn) -> None:
            on_turn(turn)
            self._changes += turn.changes

        def applied(view: SubscribedView, applied: Applied) -> None:
            on_applied(view, applied)
            self._applied += sum(applied.outcomes.values())

        self.relay._on_turn, self.applier._on_applied = turned, applied  # noqa: SLF001 - the same

    def _register(self) -> None:
        rng = random.Random(SEED)
        statement = "INSERT INTO resident (resident_id, id_number, name, born) VALUES (:id, :number, :name, :born)"
        born = self.city.date_of(self.city.names.registry)
        people = [
            {"id": serial, "number": id_number_of(serial), "name": name_of(rng), "born": born}
            for serial in range(self.records)
        ]
        with writing(self.city.engines[self.city.names.registry]) as connection:
            connection.execute(text(statement), people)

    def settle(self) -> None:
        """Runs both services until nothing is left, not even a marker that is due a second later."""
        self.finish_publishing()
        self._drive(self.applier, lambda did: not did and self.applier.is_done())

    def change(self) -> None:
        """Corrects every resident's name at the authority, in one transaction; nothing of it is published yet."""
        self.settle()
        self._changes = self._applied = 0
        self._batch += 1
        statement = "UPDATE resident SET name = substr(name, 1, 3) || :suffix"
        self.city.execute(self.city.names.registry, statement, suffix=f"·{self._batch}")

    def publish(self) -> None:
        """Runs the relay until every change was acknowledged by the broker."""
        self._drive(self.relay, lambda _did: self._changes >= self.records)

    def finish_publishing(self) -> None:
        """Runs the relay until it owes nothing, so that no marker comes while the applier is timed."""
        self._drive(self.relay, lambda did: not did and self.relay.is_done())

    def apply(self) -> None:
        """Runs the applier, with its meters, until every change was decided about."""
        self._drive(self.applier, lambda _did: self._applied >= self.records)

    def published(self) -> object:
        """How many changes the relay took."""
        return self._changes

    def applied(self) -> object:
        """How many changes the applier decided about, and whether the subscriber has what the authority has."""
        names = self.city.rows(self.city.names.registry, "SELECT id_number, name FROM resident")
        return self._applied, sorted(names) == sorted(self.city.patients().items())

    def _drive(self, service: Service, is_over: Callable[[bool], bool]) -> None:
        """Turns a service until it is over; `is_over` is told whether the last turn did anything."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            began = time.perf_counter()
            did = service.turn()
            if service is self.applier:
                self.monitor.turned(time.perf_counter() - began)
            if is_over(did):
                return
            if time.monotonic() > deadline:
                msg = f"expected {type(service).__name__} to end its work within {DEADLINE_SECONDS:g} s"
                raise InvariantError(msg)
            if not did:
                time.sleep(0.002)


def id_number_of(serial: int) -> str:
    """A valid number of a person who does not exist, with a day of birth for each thousand."""
    body = f"110105{date(1950, 1, 1) + timedelta(days=serial // 999):%Y%m%d}{serial % 999 + 1:03d}"
    return body + str(ric.calc_check_digit(body + "0"))


def name_of(rng: random.Random) -> str:
    """A name of a surname and two characters."""
    return rng.choice(SURNAMES) + "".join(rng.choices(GIVEN, k=2))
