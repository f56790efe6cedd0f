"""Renewing plain records does what deciding about them does, and leaves to it whatever is not plain."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

import pytest
from sqlalchemy import Connection, Engine, event

from apply.bench import Bench, Shape
from apply.sql_bench import SqlBench
from contract.forms import id_number
from tellonce.apply.batch import Offered
from tellonce.model.divergence import Reason, RecordState
from tellonce.storage.postgres import inspection
from tellonce.storage.sql import subscriber
from tellonce.storage.subscriber.renewal import Renewal

NUMBERS = [id_number(serial) for serial in range(200)]
A, B, C = NUMBERS[:3]

Renewed = list[frozenset[str]]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each database; the store in memory renews nothing."""
    found: Engine = request.getfixturevalue(f"{request.param}_engine")
    return found


@pytest.fixture
def bench(engine: Engine) -> SqlBench:
    """A department that holds files of some people."""
    return SqlBench(Shape(), engine)


@pytest.fixture
def renewed(monkeypatch: pytest.MonkeyPatch) -> Renewed:
    """What each batch has renewed."""
    found: Renewed = []
    renew = subscriber._SqlTransaction.renew

    def note(transaction: subscriber._SqlTransaction, renewals: Sequence[Renewal]) -> frozenset[str]:
        done = renew(transaction, renewals)
        found.append(done)
        return done

    monkeypatch.setattr(subscriber._SqlTransaction, "renew", note)
    return found


def test_second_event_of_a_plain_record_is_renewed(bench: SqlBench, renewed: Renewed) -> None:
    """Row, entry and sum are the event's; the first event of a record is never plain."""
    bench.row(A)
    bench.apply(bench.event(1, A))

    bench.apply(bench.event(1, A, "New", "Lane"))

    assert renewed == [frozenset(), {bench.name(1)}]
    assert bench.rows("number", "name", "street") == [(A, "New", "Lane")]
    assert bench.is_equal(1)
    assert (bench.stream().count, bench.stream().states[RecordState.HELD]) == (1, 1)


def test_row_that_holds_the_values_already_is_not_written(bench: SqlBench, renewed: Renewed) -> None:
    """L8: only the ledger moves."""
    bench.row(A)
    bench.apply(bench.event(1, A, "New"))
    writes = bench.writes

    bench.apply(bench.event(1, A, "New"))

    assert renewed[-1] == {bench.name(1)}
    assert bench.writes == writes


@pytest.mark.parametrize(
    "change",
    [{"number": B}, {"number": "mistyped"}, {"number": None}, {"state": "closed"}],
    ids=["another's number", "no number", "nothing", "closed"],
)
def test_row_that_is_not_as_it_must_be_is_left_to_deciding(
    bench: SqlBench, renewed: Renewed, change: Mapping[str, Any]
) -> None:
    """L1 and L3 stand in what is written, and not in what was known before."""
    key = bench.row(A)
    bench.apply(bench.event(1, A))
    bench.change(key, **change)

    bench.apply(bench.event(1, A, "New"))

    assert renewed[-1] == frozenset()


@pytest.mark.parametrize(
    ("note", "reason"),
    [("no", Reason.REFUSED_BY_TABLE), ("frozen", Reason.NO_EFFECT), ("cut", Reason.CANNOT_HOLD)],
)
@pytest.mark.parametrize("others", [1, 150])
def test_only_what_the_table_does_not_take_is_left(
    bench: SqlBench, renewed: Renewed, note: str, reason: Reason, others: int
) -> None:
    """L5 and L9: it parks as it would have, nothing of it stays, and the others of its batch are renewed."""
    for number in NUMBERS[: others + 1]:
        bench.row(number)
    bench.apply(*(bench.event(serial, number) for serial, number in enumerate(NUMBERS[: others + 1])))
    bad = next(key for key, row in _by_key(bench).items() if row["number"] == NUMBERS[0])
    bench.change(bad, note=note)
    before = _by_key(bench)[bad]

    everybody = enumerate(NUMBERS[: others + 1])
    bench.apply(*(bench.event(serial, number, "Wang Fang", "Lane") for serial, number in everybody))

    assert bench.reason(0) is reason
    assert {bench.reason(serial) for serial in range(1, others + 1)} == {None}
    assert [row["name"] for row in bench.held()].count("Wang Fang") == others
    assert _by_key(bench)[bad] == before
    if others > 1 or note != "no":
        assert len(renewed[-1]) > others // 2


@pytest.mark.postgres
def test_role_that_may_not_stage_has_all_decided_about(
    postgres_engine: Engine, renewed: Renewed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The right to make temporary tables is wanted and not needed."""
    monkeypatch.setattr(inspection, "_MAY_STAGE", "SELECT false")
    bench = SqlBench(Shape(), postgres_engine)
    bench.row(A)
    bench.apply(bench.event(1, A))

    bench.apply(bench.event(1, A, "New"))

    assert renewed == [frozenset(), frozenset()]
    assert bench.rows("number", "name") == [(A, "New")]


@pytest.mark.postgres
@pytest.mark.parametrize("name", ["Wang\0Fang", "a\tb\nc\\N", "\\N", ""], ids=ascii)
def test_text_that_a_stage_may_not_take_is_one_records_matter(
    postgres_engine: Engine, renewed: Renewed, name: str
) -> None:
    """What cannot be staged is left, and what is staged comes out as it went in."""
    bench = SqlBench(Shape(), postgres_engine)
    for number in NUMBERS:
        bench.row(number)
    bench.apply(*(bench.event(serial, number) for serial, number in enumerate(NUMBERS)))

    others = enumerate(NUMBERS[1:], 1)
    bench.apply(bench.event(0, NUMBERS[0], name), *(bench.event(serial, number, "New") for serial, number in others))

    assert [row["name"] for row in bench.held()].count("New") == len(NUMBERS) - 1
    assert len(renewed[-1]) > len(NUMBERS) // 2
    taken = bench.reason(0) is None
    assert (name in bench.names().values()) is taken
    assert taken is name.isprintable() or name.startswith("a")


@pytest.mark.postgres
def test_row_that_another_holds_is_left_alone(postgres_engine: Engine, renewed: Renewed) -> None:
    """The others of the batch are renewed, and nobody waits for it twice."""
    bench = SqlBench(Shape(), postgres_engine)
    key, _ = bench.row(A), bench.row(B)
    bench.apply(bench.event(1, A), bench.event(2, B))

    with bench.hold(key):
        bench.apply(bench.event(1, A, "New"), bench.event(2, B, "New"))

    assert renewed[-1] == {bench.name(2)}
    assert (bench.reason(1), bench.reason(2)) == (Reason.LOCKED, None)


def test_number_that_another_answers_to_is_decided_about(bench: SqlBench, renewed: Renewed) -> None:
    """L6: as soon as another record claims it, neither is plain any more."""
    bench.row(A)
    bench.apply(bench.event(1, A))
    bench.apply(bench.event(2, B, "Li", None, A))

    for name in ("New", "Newer"):
        bench.apply(bench.event(1, A, name))

    assert renewed[-2:] == [frozenset(), frozenset()]
    assert bench.rows("number", "name") == [(A, "Newer")]


def test_number_that_changes_is_decided_about(bench: SqlBench, renewed: Renewed) -> None:
    """And it is plain again afterwards, under the new one."""
    bench.row(A)
    bench.apply(bench.event(1, A))

    bench.apply(bench.event(1, B, "New"))
    bench.apply(bench.event(1, B, "Newer"))

    assert renewed[1:] == [frozenset(), {bench.name(1)}]
    assert bench.rows("number", "name") == [(B, "Newer")]


@pytest.mark.parametrize("seed", range(12))
def test_renewing_ends_as_deciding_does(engine: Engine, renewed: Renewed, seed: int) -> None:
    """Rows, ledger, links, reasons and sums are the same, whatever clerks and authorities do.

    Numbers are not unique here: which of two reasons a record has that is refused for both depends on its batch.
    """
    with_renewing = _played(SqlBench(_shape(seed), engine), seed)
    count = sum(map(len, renewed))
    bench = SqlBench(_shape(seed), engine)
    bench.renews = False

    assert with_renewing == _played(bench, seed)
    assert count > 0


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("char(12)", "ab", "ab "),
        ("text COLLATE any_case", "Wang", "WANG"),
        ("varchar COLLATE any_case", "Wang", "WANG"),
        ("char(12) COLLATE any_case", "Wang", "WANG"),
        ("citext", "Wang", "WANG"),
    ],
)
def test_values_that_a_type_takes_for_equal_are_not_called_so(
    postgres_engine: Engine, kind: str, before: str, after: str
) -> None:
    """L9: only what reads back through the codec as what was sent is proved, as deciding has it."""
    found: list[Any] = []
    for renews in (True, False):
        bench = SqlBench(Shape(), postgres_engine)
        bench.renews = renews
        _retype(postgres_engine, "name", kind)
        bench.row(A, before)
        bench.apply(bench.event(1, A, before))
        assert bench.is_equal(1)

        bench.apply(bench.event(1, A, after))

        found.append((bench.names(), bench.reason(1), bench.is_equal(1)))

    assert found[0] == found[1]
    held, reason, is_equal = found[0]
    assert is_equal is (str(held[A]).rstrip() == after)
    assert (reason is None) is is_equal


def _retype(engine: Engine, column: str, kind: str) -> None:
    kind, _, collation = kind.partition(" COLLATE ")
    collated = f"COLLATE {collation}" if collation else ""
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS citext")
        connection.exec_driver_sql(
            "CREATE COLLATION IF NOT EXISTS any_case "
            "(provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
        )
        connection.exec_driver_sql(f"ALTER TABLE patient ALTER {column} TYPE {kind} {collated} USING NULL::{kind}")


def test_record_has_its_other_fields_once(bench: SqlBench) -> None:
    """Also where it parks and goes on answering to earlier numbers: a rival is weighed by one hash and not by any."""
    bench.row(A)
    bench.apply(bench.event(1, A, "Wang", None, C))

    bench.apply(bench.event(1, B, "a name that the column cannot hold"))

    claims = bench._own(bench.own.claim)
    assert bench.reason(1) is Reason.CANNOT_HOLD
    assert len(claims) > len({row["others"] for row in claims}) == 1


@pytest.mark.postgres
@pytest.mark.parametrize("seed", [3, 10])
@pytest.mark.parametrize("renews", [True, False])
def test_no_plan_of_the_database_changes_what_is_decided(postgres_engine: Engine, seed: int, *, renews: bool) -> None:
    """L4: nothing hangs on the order in which rows came back, which is another under every plan."""
    found: list[Any] = []
    for plan in ("enable_indexscan", "enable_seqscan", "enable_nestloop"):

        def begin(connection: Connection, name: str = plan) -> None:
            connection.exec_driver_sql(f"SET LOCAL {name} = off")

        event.listen(postgres_engine, "begin", begin)
        try:
            bench = SqlBench(_shape(seed), postgres_engine)
            bench.renews = renews
            found.append(_played(bench, seed))
        finally:
            event.remove(postgres_engine, "begin", begin)

    assert found[1:] == found[:1] * 2


def _shape(seed: int) -> Shape:
    rng = random.Random(seed)
    on_delete: Literal["keep", "mark", "delete"] = rng.choice(["keep", "mark", "delete"])
    return Shape(
        rows=rng.choice(["one", "many"]),
        on_delete=on_delete,
        identifies=rng.random() < 0.3,
        unmarks=on_delete == "mark" and rng.random() < 0.5,
    )


def _played(bench: Bench, seed: int) -> Any:
    """Plays one schedule, and gives everything that it left; the same seed plays the same."""
    rng = random.Random(seed)
    numbers = NUMBERS[:12]
    for number in numbers:
        bench.row(number, note=rng.choice(["", "", "", "cut"]))
    for _ in range(12):
        key = rng.choice(sorted(_by_key(bench)))
        if rng.random() < 0.4:
            _change(bench, key, rng)
        some = rng.sample(range(12), rng.randint(1, 8))
        bench.apply(*(_event(bench, serial, numbers, rng) for serial in some))
        if rng.random() < 0.2:
            bench.sweep()
    entries = {name: {**asdict(entry), "applied_at_ms": 0} for name, entry in bench.entries().items()}
    stream = bench.stream()
    left = [(bench.links(serial), bench.reason(serial)) for serial in range(12)]
    return sorted(map(repr, bench.held())), entries, left, (stream.sum, stream.count, stream.states)


def _change(bench: Bench, key: str, rng: random.Random) -> None:
    change: dict[str, Any] = rng.choice(
        [{"name": "Clerk"}, {"street": "Way"}, {"state": "closed"}, {"state": "open"}, {"number": f"none {key}"}]
    )
    # A clerk does what the table lets nobody else do, and may leave it so that it refuses the next write, or cuts it.
    notes = [note for note in ("", "cut", "frozen", "no") if note in {"", "cut"} or note != _by_key(bench)[key]["note"]]
    bench.change(key, **change, note=rng.choice(notes))


def _event(bench: Bench, serial: int, numbers: Sequence[str], rng: random.Random) -> Offered:
    if rng.random() < 0.05:
        return bench.delete(serial)
    number = numbers[serial] if rng.random() < 0.9 else rng.choice(numbers)
    former = [rng.choice(numbers)] if rng.random() < 0.1 else []
    street = rng.choice([None, "Lane", "a street that is far too long"])
    return bench.event(serial, number, rng.choice(["Wang", "Li", "Zhao"]), street, *former)


def _by_key(bench: Bench) -> dict[str, Mapping[str, Any]]:
    return {f"[{row['pid']!r}]": row for row in bench.held()}
