"""The two sites of the contract suite, and the city of each test."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from contract.city import City, MakeCity, Site
from contract.forms import Terms
from kafka_brokers import settings_of
from tellonce.kafka.embedded import EmbeddedBroker
from tellonce.kafka.settings import KafkaSettings
from tellonce.testing.kafka_server import KafkaServer
from tellonce.testing.postgres_server import PostgresServer

SHORT_RESTS = {
    "tellonce.apply.applier._RETRY_SECONDS": 0.1,
    "tellonce.apply.applier._CHUNK_SECONDS": 0.02,
    "tellonce.kafka.group._POLL_SECONDS": 0.005,
    "tellonce.publish.relay._CHUNK_SECONDS": 0.02,
    "tellonce.publish.send._FLAG_INTERVAL_SECONDS": 0.02,
    "tellonce.reconcile.service._WAIT_SECONDS": 0.02,
}
"""How long services rest here; how long they may is no test's subject."""


@pytest.fixture(autouse=True)
def _short_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let services look again at once."""
    for name, seconds in SHORT_RESTS.items():
        monkeypatch.setattr(name, seconds)


def sqlite_site(folder: Path, broker: EmbeddedBroker) -> Site:
    """The embedded broker and a SQLite file for each department."""

    def copy(url: str, name: str) -> str:
        shutil.copy(url.removeprefix("sqlite:///"), folder / f"{name}.db")
        return f"sqlite:///{folder / name}.db"

    return Site(
        kafka=embedded_kafka(broker),
        new_database=lambda name: f"sqlite:///{folder / name}.db",
        copy_database=copy,
        embedded=broker,
    )


def postgres_site(
    server: PostgresServer, kafka: KafkaSettings, stack: ExitStack, broker: EmbeddedBroker | None
) -> Site:
    """A database of a real PostgreSQL for each department; `stack` drops them."""

    def new(_name: str) -> str:
        name = f"contract_{uuid4().hex}"
        stack.callback(server.drop_database, name)
        return server.create_database(name)

    def copy(url: str, _name: str) -> str:
        name = f"contract_{uuid4().hex}"
        stack.callback(server.drop_database, name)
        engine = create_engine(server.url(), isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with engine.connect() as connection:
            connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{url.rpartition("/")[2]}"'))
        return server.url(name)

    return Site(kafka=kafka, new_database=new, copy_database=copy, embedded=broker)


def embedded_kafka(broker: EmbeddedBroker) -> KafkaSettings:
    """How to reach the embedded broker, with so little patience that a test need not wait for a lease."""
    return KafkaSettings(
        bootstrap_servers=broker.bootstrap_servers, group_protocol="classic", message_timeout_seconds=2
    )


def fresh_group(department: str) -> str:
    """A group of its own for each applier: the embedded broker gives a departed member's partitions away only when its
    session has run out, 45 s later. Positions are the database's, so the group's name decides nothing."""
    return f"tellonce.{department}.{uuid4().hex}"


@pytest.fixture(
    params=[
        pytest.param("embedded-sqlite"),
        pytest.param("kafka-postgres", marks=[pytest.mark.kafka, pytest.mark.postgres]),
    ]
)
def site(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Each test runs twice: on the embedded broker with SQLite, and on a real Kafka with a real PostgreSQL."""
    with ExitStack() as stack:
        if request.param == "embedded-sqlite":
            monkeypatch.setattr("tellonce.cli.wiring.group_of", fresh_group)
            yield sqlite_site(tmp_path, request.getfixturevalue("embedded_broker"))
            return
        server: KafkaServer = request.getfixturevalue("kafka")
        settings = settings_of(server).model_copy(update={"message_timeout_seconds": 2})
        yield postgres_site(request.getfixturevalue("postgres"), settings, stack, None)


@pytest.fixture
def postgres_only_site(
    postgres: PostgresServer, embedded_broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    """The embedded broker with a real PostgreSQL, for what only its databases can do: be away, or lock one row."""
    monkeypatch.setattr("tellonce.cli.wiring.group_of", fresh_group)
    with ExitStack() as stack:
        yield postgres_site(postgres, embedded_kafka(embedded_broker), stack, embedded_broker)


@pytest.fixture
def make_city(site: Site, tmp_path: Path) -> Iterator[MakeCity]:
    """A function that makes a city on this test's site, with other terms where the test names them."""
    with ExitStack() as stack:
        yield lambda **terms: stack.enter_context(City(tmp_path, site, Terms(**terms)))


@pytest.fixture
def city(make_city: MakeCity) -> City:
    """A city on this test's site."""
    return make_city()


@pytest.fixture
def broker_away(site: Site, request: pytest.FixtureRequest) -> Callable[[], None]:
    """A function that takes the broker away from everybody."""
    if site.embedded is not None:
        return site.embedded.disconnect
    kill: Callable[[], None] = request.getfixturevalue("kafka").kill
    return kill


@pytest.fixture
def broker_back(site: Site, request: pytest.FixtureRequest) -> Iterator[Callable[[], None]]:
    """A function that brings the broker back; it is back after the test in any case."""
    back: Callable[[], None] = site.embedded.reconnect if site.embedded else request.getfixturevalue("kafka").start
    yield back
    back()
