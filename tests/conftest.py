"""The servers that tests share: a real Kafka, plain and secured, a real PostgreSQL, and the embedded broker.

Where a server cannot be had here, its tests are skipped and say what is missing; with CI=true that is a failure, as is
any other skip: a green run there means that everything ran.
"""

import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn
from uuid import uuid4

import hypothesis
import pytest
import structlog

from tellonce.kafka.embedded import EmbeddedBroker
from tellonce.model.errors import TellonceError
from tellonce.testing.kafka_jars import find_java, kafka_jars
from tellonce.testing.kafka_server import KafkaServer, KafkaSettings
from tellonce.testing.postgres_server import PostgresServer, find_postgres

# For `make quick`: a test finds there what is often wrong, and in `make test` what is seldom.
hypothesis.settings.register_profile("quick", max_examples=25)

IS_CI = os.environ.get("CI", "").lower() in {"1", "true"}
MARKS_OF_FIXTURES = {
    "kafka": ("kafka",),
    "secure_kafka": ("kafka",),
    "own_kafka": ("kafka",),
    "postgres": ("postgres",),
    "embedded_broker": ("server",),
    # These choose their server by their parameter, which marks it.
    "broker": ("server",),
    "site": ("server",),
}
# So many real brokers are started for the tests that share one; each takes a worker of its own.
SHARED_BROKERS = 3


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with the servers that its fixtures start, and group those that share one for pytest-xdist.

    So `-m "not server"` needs no marks by hand, and not every worker starts every server.
    """
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        for mark in dict.fromkeys(mark for fixture in fixtures for mark in MARKS_OF_FIXTURES.get(fixture, ())):
            item.add_marker(mark)
        if any(item.get_closest_marker(mark) for mark in ("kafka", "postgres")):
            item.add_marker("server")
        if "secure_kafka" in fixtures:
            item.add_marker(pytest.mark.xdist_group("server-secure-kafka"))
        elif "own_kafka" not in fixtures and item.get_closest_marker("kafka"):
            share = zlib.crc32(item.nodeid.encode()) % SHARED_BROKERS
            item.add_marker(pytest.mark.xdist_group(f"server-kafka-{share}"))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run in CI where a test was skipped."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        return
    skipped = reporter.stats.get("skipped", [])
    if IS_CI and skipped and session.exitstatus == pytest.ExitCode.OK:
        reporter.write_line(f"\nCI=true: {len(skipped)} skipped tests count as failures", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def leave_out(reason: TellonceError) -> NoReturn:
    """Skip the test that needs what is missing here, or fail it in CI."""
    if IS_CI:
        pytest.fail(f"CI=true, and {reason}", pytrace=False)
    pytest.skip(str(reason))


def need_kafka() -> None:
    """Skip where Java, Maven or the jars cannot be had; a broker that does not start is a failure."""
    try:
        find_java()
        kafka_jars()
    except TellonceError as error:
        leave_out(error)


@pytest.fixture(scope="session")
def kafka() -> Iterator[KafkaServer]:
    """One real Kafka for the whole run: name topics and groups so that no other test can meet them."""
    need_kafka()
    with KafkaServer() as server:
        yield server


@pytest.fixture(scope="session")
def secure_kafka() -> Iterator[KafkaServer]:
    """One real Kafka with TLS, SCRAM users and ACLs (default deny); make users with `add_user`."""
    need_kafka()
    with KafkaServer(KafkaSettings(secure=True)) as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One real PostgreSQL for the whole run; a test takes `postgres_database`."""
    try:
        find_postgres()
    except TellonceError as error:
        leave_out(error)
    with PostgresServer() as server:
        yield server


@pytest.fixture
def postgres_database(postgres: PostgresServer) -> Iterator[str]:
    """The SQLAlchemy address of an empty PostgreSQL database of the test's own."""
    name = f"test_{uuid4().hex}"
    yield postgres.create_database(name)
    postgres.drop_database(name)


@pytest.fixture(scope="session")
def embedded_broker() -> Iterator[EmbeddedBroker]:
    """One embedded broker for the whole run; it keeps about 5 MB per partition, and topics are the test's to name."""
    with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The SQLAlchemy address of a SQLite file of the test's own, not yet there."""
    return f"sqlite:///{tmp_path / 'department.sqlite'}"


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """A command that a test calls sends the logs to the standard error of then, which is closed after the test."""
    yield
    structlog.reset_defaults()
