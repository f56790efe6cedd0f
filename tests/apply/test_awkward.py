"""A sample of the campaign over awkward tables, and that its checker sees what it is there for."""

import random
from collections.abc import Callable, Iterator, Mapping
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from apply.awkward import Played, draw, play
from apply.awkward_tables import MemoryAwkward, SqlAwkward
from owntables import make_own_tables
from tellonce.storage.database import open_database
from tellonce.testing.postgres_server import PostgresServer

BREAKS: Mapping[str, tuple[str, Callable[..., object]]] = {
    "L1, every link answers": ("deciding._answers", lambda link, *_: link.row is not None),
    "L3, every row is open": ("deciding._is_open", lambda link: link.row is not None),
    "L6, nobody is a rival": ("deciding._whose", lambda *_, **__: "mine"),
    "L8, every row is equal": ("deciding._equals", lambda *_: True),
    "L9, whatever reads back": ("settling._differing", lambda *_: None),
}
"""Rules of `tellonce.apply` that are taken away, each by one function."""
SHARES = 3
"""The schedules of a store are so many tests."""
SAMPLES = {"memory": (1, 60, 20), "sqlite": (1, 24, 8), "postgres": (1, 24, 8)}
"""By store: the first seed, how many schedules, and of how many steps; more are played by `apply.awkward_campaign`."""


@pytest.fixture(scope="module")
def sqlite_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A SQLite file with our own tables."""
    engine = open_database(f"sqlite:///{tmp_path_factory.mktemp('awkward') / 'department.sqlite'}")
    make_own_tables(engine)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def postgres_engine(postgres: PostgresServer) -> Iterator[Engine]:
    """A PostgreSQL database with our own tables."""
    engine = open_database(postgres.create_database(f"awkward_{uuid4().hex}"))
    make_own_tables(engine)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("store", ["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_rows_stay_right_whatever_clerks_and_authorities_do(
    request: pytest.FixtureRequest, store: str, share: int
) -> None:
    """No row of a wrong person, no closed row written, no lie in the ledger, no end of the service, no wrong sum."""
    if store == "memory":
        make: Callable[..., MemoryAwkward | SqlAwkward] = MemoryAwkward
    else:
        engine: Engine = request.getfixturevalue(f"{store}_engine")
        make = lambda shape: SqlAwkward(shape, engine)  # noqa: E731 - as the campaign makes it
    first, count, steps = SAMPLES[store]
    seeds = range(first + share, first + count, SHARES)

    played = {seed: play(make, draw(random.Random(seed), store, steps)) for seed in seeds}

    assert {seed: (each.did, each.faults) for seed, each in played.items() if each.faults} == {}
    assert all(not each.refused for each in played.values())
    assert sum(each.held for each in played.values()) > 0


@pytest.mark.parametrize("rule", BREAKS)
def test_checker_sees_a_rule_that_is_broken(monkeypatch: pytest.MonkeyPatch, rule: str) -> None:
    """The sample is long enough to find each of these."""
    name, instead = BREAKS[rule]
    monkeypatch.setattr(f"tellonce.apply.{name}", instead)
    first, count, steps = SAMPLES["memory"]

    played: Iterator[Played] = (
        play(MemoryAwkward, draw(random.Random(seed), "memory", steps)) for seed in range(first, first + count)
    )

    assert any(each.faults and not each.faults[0].startswith("4") for each in played)
