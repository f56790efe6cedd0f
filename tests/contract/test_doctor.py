"""`tellonce doctor` on real servers: a healthy city is well, and each planted fault is told by its own check."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine

from contract.city import City, Site
from contract.conftest import postgres_site
from kafka_brokers import settings_of, unique
from tellonce.cli.doctor.checks import Finding, State
from tellonce.cli.doctor.database import DATABASE_SECONDS
from tellonce.cli.doctor.examination import examine
from tellonce.cli.doctor.kafka import NETWORK_SECONDS
from tellonce.cli.doctor.probes import Budget, real_probes
from tellonce.kafka.access import acls_wanted
from tellonce.kafka.admin import Admin
from tellonce.kafka.settings import KafkaSettings
from tellonce.kafka.topics import apply_plan, plan_topics
from tellonce.storage.own_schema import drop_own_schema
from tellonce.testing import kafka_server
from tellonce.testing.kafka_server import KafkaServer
from tellonce.testing.postgres_server import PostgresServer
from tellonce.topology import acls_of, load_topology, topics_of
from waiting import wait_until

SECONDS = 60.0
"""What a slow machine may take here; how long the command may is another test's subject."""


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a server that has just started, on a machine with other work, answer as slowly as it must."""
    for limits in (NETWORK_SECONDS, DATABASE_SECONDS):
        for step in limits:
            monkeypatch.setitem(limits, step, SECONDS / 3)


@pytest.fixture
def postgres_only_city(postgres_only_site: Site, tmp_path: Path) -> Iterator[City]:
    """A city whose databases are a real PostgreSQL's."""
    with City(tmp_path, postgres_only_site) as made:
        yield made


@pytest.fixture
def kafka_city(kafka: KafkaServer, postgres: PostgresServer, tmp_path: Path) -> Iterator[City]:
    """A city on a real Kafka, with databases of a real PostgreSQL."""
    with ExitStack() as stack:
        site = postgres_site(postgres, settings_of(kafka), stack, None)
        yield stack.enter_context(City(tmp_path, site))


def look(city: City, department: str | None = None, kafka: KafkaSettings | None = None) -> dict[str, Finding]:
    """The findings about a department's host, the registry's if none is named."""
    department = department or city.names.registry
    changes = {"metrics_port": 0, "kafka": kafka or city.kafka}
    settings = city.settings(department).model_copy(update=changes)
    results = examine(lambda: settings, department, real_probes(), Budget(SECONDS))
    return {one.name: one.finding for one in results}


def failed(found: Mapping[str, Finding]) -> set[str]:
    """The checks that failed."""
    return {name for name, finding in found.items() if finding.state is State.FAIL}


def capture_trigger(city: City) -> str:
    """The name of one of the registry's triggers."""
    is_postgres = city.engines[city.names.registry].dialect.name == "postgresql"
    query = (
        "SELECT tgname FROM pg_trigger WHERE tgrelid = 'resident'::regclass AND tgname LIKE 'tellonce_capture%'"
        if is_postgres
        else "SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'tellonce_capture%'"
    )
    return str(city.rows(city.names.registry, query)[0][0])


def test_healthy_city_is_well(city: City) -> None:
    """Every department of a city that works is told that it is well, and none of its tables is touched."""
    for department in city.departments:
        found = look(city, department)

        well = {name for name, finding in found.items() if finding.state is State.OK}
        # PostgreSQL's URL holds the test server's password, and nobody signs in this city.
        assert set(found) - well <= {"safety", "signatures"}, found
        assert not failed(found)


def test_dropped_trigger_is_told(city: City) -> None:
    """A trigger that somebody dropped loses changes until the next sweep."""
    registry, name = city.names.registry, capture_trigger(city)
    is_postgres = city.engines[registry].dialect.name == "postgresql"
    city.execute(registry, f"DROP TRIGGER {name} ON resident" if is_postgres else f"DROP TRIGGER {name}")

    found = look(city)

    assert failed(found) == {"capture"}, found
    assert f"the trigger {name}" in found["capture"].sentence
    assert found["capture"].remedy == f"tellonce install {registry}"


def test_disabled_trigger_and_changed_function_are_told(postgres_only_city: City) -> None:
    """A trigger that is switched off, or calls another body, is there and does not what `install` made."""
    city = postgres_only_city
    registry, name = city.names.registry, capture_trigger(city)
    city.execute(registry, f"ALTER TABLE resident DISABLE TRIGGER {name}")
    disabled = look(city)
    city.execute(registry, f"ALTER TABLE resident ENABLE ALWAYS TRIGGER {name}")
    function = f"tellonce.capture_{city.names.record_type}"
    body = "BEGIN RETURN NULL; END"
    city.execute(registry, f"CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS '{body}'")
    replaced = look(city)

    assert failed(disabled) == failed(replaced) == {"capture"}
    assert "does not fire always" in disabled["capture"].sentence
    assert "has another body" in replaced["capture"].sentence


def test_own_schema_that_is_missing_is_told(city: City) -> None:
    """Without our own tables neither service starts."""
    fund = city.names.fund
    drop_own_schema(city.engines[fund])

    found = look(city, fund)

    assert failed(found) == {"own tables"}, found
    assert found["own tables"].remedy == f"tellonce install {fund}"
    assert found["capture"].state is State.SKIPPED


def test_table_of_a_declaration_that_is_missing_is_told(city: City) -> None:
    """A table that was renamed stops the applier."""
    city.execute(city.names.clinic, "ALTER TABLE patient RENAME TO patients")

    found = look(city, city.names.clinic)

    assert failed(found) == {"tables"}, found
    assert "patient" in found["tables"].sentence


def test_rights_that_are_missing_in_the_database_are_told(postgres_only_city: City) -> None:
    """A role that may not write what a binding writes, or not read our own tables, is told which right is missing."""
    city, role = postgres_only_city, f"clerk_{uuid4().hex}"
    fund, url = city.names.fund, city.urls[city.names.fund]
    city.execute(
        fund,
        f"CREATE ROLE {role} LOGIN PASSWORD 'hunter2'",
        f"GRANT USAGE ON SCHEMA tellonce, public TO {role}",
        f"GRANT SELECT, DELETE ON account TO {role}",
        f"GRANT UPDATE (gmsfhm, xm) ON account TO {role}",
        f"GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA tellonce TO {role}",
    )
    engine = create_engine(url)
    city.urls[fund] = engine.url.set(username=role, password="hunter2").render_as_string(hide_password=False)
    try:
        found = look(city, fund)
    finally:
        city.execute(fund, f"DROP OWNED BY {role}", f"DROP ROLE {role}")
        engine.dispose()

    assert failed(found) == {"own tables", "tables"}, found
    assert "DELETE ON tellonce." in found["own tables"].sentence
    assert f"GRANT UPDATE (csrq) ON account TO {role}" in found["tables"].sentence
    assert "hunter2" not in str(found)


def test_database_that_is_away_is_told(postgres_only_city: City) -> None:
    """A database where nobody listens is away, which is not a wrong setting."""
    city = postgres_only_city
    city.urls[city.names.fund] = "postgresql+psycopg://clerk:hunter2@127.0.0.1:1/fund"

    found = look(city, city.names.fund)

    assert failed(found) == {"database"}
    assert found["database"].exit_code == 4
    assert "hunter2" not in str(found)


@pytest.mark.kafka
def test_topics_that_are_missing_or_kept_otherwise_are_told(kafka_city: City) -> None:
    """A view's topic that is not compacted loses records; one that is not there stops everybody."""
    city = kafka_city
    admin = Admin(city.kafka, "test-admin")
    admin.change_settings(city.topic, {"cleanup.policy": "delete"})
    deleting = look(city)
    admin.change_settings(city.topic, {"cleanup.policy": "compact", "min.compaction.lag.ms": "1"})
    drifted = look(city)
    partitions = city.settings(city.names.registry).topology
    partitions.write_text(partitions.read_text().replace('"partitions": 2', '"partitions": 3'))
    parted = look(city)
    partitions.write_text(partitions.read_text().replace('"major": 1', '"major": 2'))
    missing = look(city)

    assert failed(deleting) == {"topics"}
    assert "cleanup.policy delete -> compact" in deleting["topics"].sentence
    assert drifted["topics"].state is State.WARN
    assert "it has 2 partitions, the topology says 3" in parted["topics"].sentence
    assert f"missing: {city.names.view}.v2" in missing["topics"].sentence
    assert missing["topics"].remedy == "tellonce topics apply"


@pytest.mark.kafka
def test_advertised_address_that_cannot_be_reached_is_told(postgres_only_city: City) -> None:
    """The broker answers at one address, and tells clients to go on at another where nobody is."""
    properties = {"advertised.listeners": "CLIENT://127.0.0.1:1"}
    with KafkaServer(kafka_server.KafkaSettings(properties=properties)) as server:
        found = look(postgres_only_city, kafka=settings_of(server))

    assert failed(found) == {"broker addresses"}, found
    told = f"the broker at {server.bootstrap_servers} answered, but tells clients to connect to 127.0.0.1:1"
    assert told in found["broker addresses"].sentence
    assert found["topics"].state is found["rights"].state is State.SKIPPED


@pytest.mark.kafka
def test_rights_of_a_user_are_told_one_by_one(kafka_city: City, secure_kafka: KafkaServer) -> None:
    """On a broker with rules a user is told which of its rights is missing, and is well once it has them all.

    Those of an older release, which do not show settings, are a warning.
    """
    city, user, password = kafka_city, unique("fund"), unique("password")
    secure_kafka.add_user(user, password)
    admin = Admin(settings_of(secure_kafka), "test-admin")
    topology, fund = load_topology(city.settings(city.names.fund).topology), city.names.fund
    rules = [rule for rule in acls_of(topology) if rule.principal == fund]
    apply_plan(settings_of(secure_kafka), plan_topics(settings_of(secure_kafka), topics_of(topology)))
    settings = settings_of(secure_kafka, user)
    acls = {rule: replace(one, principal=f"User:{user}") for rule in rules for one in acls_wanted([rule], {})}
    nothing = look(city, fund, settings)
    for rule, acl in acls.items():
        if rule.operation != "DESCRIBE_CONFIGS":
            admin.create_acl(acl)
    wait_until(lambda: not failed(look(city, fund, settings)), SECONDS, what="the user may read and write")
    older = look(city, fund, settings)
    for acl in acls.values():
        admin.create_acl(acl)
    wait_until(lambda: look(city, fund, settings)["rights"].state is State.OK, SECONDS, what="it has all its rights")
    found = look(city, fund, settings)

    assert failed(nothing) == {"rights"}
    assert f"may not read {city.topic}" in nothing["rights"].sentence
    assert nothing["rights"].remedy == "tellonce topics apply"
    assert older["rights"].state is State.WARN
    assert "may not see the settings of" in older["rights"].sentence
    assert older["rights"].remedy == "tellonce topics apply"
    assert "their settings are not shown" in older["topics"].sentence
    assert found["rights"].state is found["topics"].state is State.OK
    assert "topics that are as the topology says" in found["topics"].sentence
    assert password not in str((nothing, found))
