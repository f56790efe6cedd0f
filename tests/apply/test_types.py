"""A sample of the campaign over column types: no type ends a service, and what is held is what the row says."""

import random
from collections import Counter
from collections.abc import Iterator
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from apply.pools import EXTRA_TYPES
from apply.typed import Trial, draw, run, types_of
from owntables import make_own_tables
from tellonce.storage.database import open_database
from tellonce.testing.postgres_server import PostgresServer

SEED = 20240229
SHARE, SHARES = 20, 2
"""So many trials make a share; more are made by `apply.campaign`."""


@pytest.fixture(scope="module")
def postgres_engine(postgres: PostgresServer) -> Iterator[Engine]:
    """A PostgreSQL database with types that it does not bring along."""
    engine = open_database(postgres.create_database(f"types_{uuid4().hex}"))
    make_own_tables(engine)
    with engine.begin() as connection:
        for statement in EXTRA_TYPES:
            connection.exec_driver_sql(statement)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def sqlite_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A SQLite file."""
    engine = open_database(f"sqlite:///{tmp_path_factory.mktemp('types') / 'department.sqlite'}")
    make_own_tables(engine)
    yield engine
    engine.dispose()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each kind of database."""
    found: Engine = request.getfixturevalue(f"{request.param}_engine")
    return found


@pytest.mark.parametrize("share", range(SHARES))
def test_no_type_ends_a_service_or_lies(engine: Engine, share: int) -> None:
    """Types of the catalog under codecs of all kinds, bound, as a number and as a key, with events good and bad."""
    rng, types = random.Random(SEED + share), types_of(engine)
    outcomes = [run(engine, draw(rng, types)) for _ in range(SHARE)]

    assert [(outcome.trial, outcome.faults) for outcome in outcomes if outcome.faults] == []
    assert Counter(outcome.state for outcome in outcomes)["applied"] > 0
    assert sum(outcome.held for outcome in outcomes) > 0


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("kind", "role", "codec"),
    [
        # A number that no UUID can be is looked for among those that can.
        ("uuid", "match", "text"),
        ("bigint", "match", "identifier"),
        ("date", "match", "text"),
        # Keys whose text is none that Python would make of them.
        ("bytea", "key", "text"),
        ("double precision", "key", "text"),
        ("timestamp with time zone", "key", "text"),
        ("boolean", "key", "text"),
        ("character(18)", "key", "text"),
        ("citext", "key", "text"),
        ("integer[]", "key", "text"),
        # Values that a fetch by the type's own loader would break on.
        ("date", "bound", "iso date"),
        ("timestamp without time zone", "bound", "instant"),
        ("sex", "bound", "codes"),
        ("money_of", "bound", "decimal"),
        ("shorter", "bound", "text"),
    ],
)
def test_types_that_were_trouble(postgres_engine: Engine, kind: str, role: str, codec: str) -> None:
    """Each of these has ended a service, or hidden a row, in some release or prototype."""
    for seed in range(2):
        for count in (1, 40):
            trial = Trial(type=kind, role=role, codec=codec, count=count, scope="existing", seed=seed)  # type: ignore[arg-type]  # one of its words
            assert run(postgres_engine, trial).faults == []


@pytest.mark.parametrize(
    ("kind", "role", "codec"),
    [("", "key", "text"), ("BLOB", "key", "text"), ("TEXT", "bound", "text"), ("NUMERIC", "match", "identifier")],
)
def test_what_sqlite_keeps_in_any_column(sqlite_engine: Engine, kind: str, role: str, codec: str) -> None:
    """Bytes that are no text, text in a column of numbers, infinity."""
    for seed in range(2):
        for count in (1, 40):
            trial = Trial(type=kind, role=role, codec=codec, count=count, scope="existing", seed=seed)  # type: ignore[arg-type]  # one of its words
            assert run(sqlite_engine, trial).faults == []
