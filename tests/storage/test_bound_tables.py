"""What is found in a department's table before anything is applied to it: all at once, and each with what mends it."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, make_url

from tellonce import (
    Binding,
    Column,
    boolean,
    codes,
    current,
    decimal,
    existing,
    identifier,
    instant,
    integer,
    iso_date,
    mirror,
    text,
    yyyymmdd,
)
from tellonce.avro.fields import FieldSpec, Kind, ViewSchema
from tellonce.declare import Codec
from tellonce.keyring import ViewKeys
from tellonce.storage.database import open_database
from tellonce.storage.stores import judge_table
from tellonce.storage.subscriber.table import Judgement
from tellonce.storage.subscriber.view import BoundView
from tellonce.testing.postgres_server import PostgresServer

KEYS = ViewKeys(view="citizen.identity", digest=b"d" * 32, pseudonym=b"p" * 32)
NUMBER = FieldSpec("id_number", Kind.TEXT)
PLAIN = "CREATE TABLE account (id integer PRIMARY KEY, number text, value {type})"

Judge = Callable[..., Judgement]


@pytest.fixture(scope="module")
def engines(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Engine]]:
    """A database of each kind."""
    found = {
        "sqlite": open_database(f"sqlite:///{tmp_path_factory.mktemp('tables') / 'department.sqlite'}"),
        "postgres": open_database(postgres.create_database(f"tables_{uuid4().hex}")),
    }
    yield found
    for engine in found.values():
        engine.dispose()


def bound(spec: FieldSpec, codec: Codec | None, **given: Any) -> BoundView:
    """A view of a number and one more field, bound to `account`."""
    entries: dict[str, Any] = {"scope": existing(), "on_delete": "keep", "table": "account"} | given
    binding = Binding(
        view=KEYS.view,
        match=[current("id_number")],
        columns={"id_number": Column("number", identifier()), spec.name: Column("value", codec)},
        **entries,
    )
    return BoundView(schema=ViewSchema(view=KEYS.view, schema_id=1, fields=(NUMBER, spec)), keys=KEYS, binding=binding)


@pytest.fixture
def judge(engines: Mapping[str, Engine]) -> Judge:
    """Makes a table by statements, and says what is found in it; everything is taken back."""

    def judge(
        store: str,
        *statements: str,
        spec: FieldSpec = FieldSpec("value", Kind.TEXT),  # noqa: B008 - a frozen value
        codec: Codec | None = None,
        **given: Any,
    ) -> Judgement:
        engine = engines[store]
        with engine.begin() as connection:
            if store == "postgres":
                connection.exec_driver_sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
            else:
                for kind in ("view", "table"):
                    names = connection.exec_driver_sql(f"SELECT name FROM sqlite_master WHERE type = '{kind}'")
                    for (name,) in names.all():
                        connection.exec_driver_sql(f'DROP {kind} "{name}"')
            for statement in statements:
                connection.exec_driver_sql(statement)
        return judge_table(engine, bound(spec, codec, **given))

    return judge


BOTH = pytest.mark.parametrize("store", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
on_postgres = pytest.mark.postgres


def assert_refused(found: Judgement, *words: str) -> None:
    """One sentence keeps the view from being applied, and it has these words."""
    assert len(found.refused) == 1, found
    assert all(word in found.refused[0] for word in words), found.refused


@BOTH
class TestTable:
    """The table, its columns and its key."""

    def test_table_that_fits_is_not_talked_about(self, judge: Judge, store: str) -> None:
        """Nothing is said of a table to which the binding fits."""
        assert judge(store, PLAIN.format(type="text")) == Judgement(refused=[], told=[])

    def test_everything_is_found_at_once(self, judge: Judge, store: str) -> None:
        """Whoever mends a table mends it once."""
        found = judge(
            store,
            "CREATE TABLE account (nummer text, valeu text)",
            scope=mirror(),
            defaults={"kind": "1"},
        )

        assert [sentence.split(" in the table")[0] for sentence in found.refused[:3]] == [
            "expected a column number",
            "expected a column value",
            "expected a column kind",
        ]
        assert "is nummer meant?" in found.refused[0]
        assert "no primary key" in found.refused[3]

    def test_table_that_is_not_there(self, judge: Judge, store: str) -> None:
        """A table that is not there is named."""
        assert_refused(judge(store, "CREATE TABLE other (id integer)"), "table account", "found none")

    def test_key_that_is_no_column(self, judge: Judge, store: str) -> None:
        """A declared key is made of columns that the table has."""
        assert_refused(judge(store, PLAIN.format(type="text"), key="nummer"), "nummer")

    @pytest.mark.parametrize(
        "index",
        [
            "CREATE INDEX plain ON account (number)",
            "CREATE UNIQUE INDEX partial ON account (number) WHERE value <> ''",
            "CREATE UNIQUE INDEX folded ON account (lower(number))",
            "CREATE UNIQUE INDEX pair ON account (number, value)",
        ],
    )
    def test_key_that_nothing_keeps_unique(self, judge: Judge, store: str, index: str) -> None:
        """An index over some rows, over an expression or over more columns vouches for nothing."""
        found = judge(store, PLAIN.format(type="text"), index, key="number")

        assert_refused(found, "(number)", "CREATE UNIQUE INDEX ON account (number)")

    @pytest.mark.parametrize("key", [["number"], ["number", "value"], ["value", "number"]])
    def test_key_that_contains_what_is_unique(self, judge: Judge, store: str, key: list[str]) -> None:
        """A key may have more columns than are needed, in any order."""
        found = judge(store, PLAIN.format(type="text"), "CREATE UNIQUE INDEX one ON account (number)", key=key)

        assert not found.refused

    def test_row_without_a_key(self, judge: Judge, store: str) -> None:
        """A row that has no key could never be found again."""
        found = judge(
            store,
            PLAIN.format(type="text"),
            "CREATE UNIQUE INDEX one ON account (number)",
            "INSERT INTO account (id) VALUES (1)",
            key="number",
        )

        assert_refused(found, "(number)", "a row without")

    def test_column_that_the_database_fills(self, judge: Judge, store: str) -> None:
        """A generated column cannot be written."""
        found = judge(store, PLAIN.format(type="text GENERATED ALWAYS AS (upper(number)) STORED"))

        assert_refused(found, "column value", "filled by the database")

    @pytest.mark.parametrize("predicate", ["zt <> '9'", "upper(", "(SELECT 1, 2)"])
    def test_predicate_that_the_database_refuses(self, judge: Judge, store: str, predicate: str) -> None:
        """The department's own predicate is tried."""
        found = judge(store, PLAIN.format(type="text"), scope=existing(open=predicate))

        assert_refused(found, "open=")

    def test_triggers_are_told(self, judge: Judge, store: str) -> None:
        """Triggers may change what is written, so a person may want to know of them."""
        trigger = {
            "sqlite": ["CREATE TRIGGER notes AFTER UPDATE ON account BEGIN SELECT 1; END"],
            "postgres": [
                "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$",
                "CREATE TRIGGER notes BEFORE UPDATE ON account FOR EACH ROW EXECUTE FUNCTION f()",
            ],
        }
        found = judge(store, PLAIN.format(type="text"), *trigger[store])

        assert not found.refused
        assert "notes" in found.told[0]


NUMERIC_5_1 = FieldSpec("value", Kind.DECIMAL, precision=5, scale=1)
SEX = FieldSpec("value", Kind.TEXT, symbols=("male", "female"))
WORDS = codes({"1": "male", "2": "female"})
NUMBERS = codes({1: "male", 2: "female"})


def spec_of(codec: Codec | None) -> FieldSpec:
    """A field that a codec is of."""
    return FieldSpec("value", codec.kind if codec else Kind.TEXT)


@on_postgres
class TestTypesOnPostgres:
    """A column's type and what its codec writes."""

    @pytest.mark.parametrize(
        ("kind", "codec"),
        [
            ("jsonb", text()),
            ("json", text()),
            ("bytea", text()),
            ("date", text()),
            ("text[]", text()),
            ("point", text()),
            ("boolean", text()),
            ("timestamp", yyyymmdd),
            ("boolean", iso_date()),
            ("integer", boolean()),
            ("uuid", integer()),
            ("interval", instant()),
        ],
    )
    def test_codec_that_no_value_passes(self, judge: Judge, kind: str, codec: Codec | Callable[[], Codec]) -> None:
        """A column that gives back no value as it was written is refused."""
        made = codec if isinstance(codec, Codec) else codec()

        assert_refused(judge("postgres", PLAIN.format(type=kind), spec=spec_of(made), codec=made), "column value", kind)

    @pytest.mark.parametrize(
        ("kind", "codec"),
        [
            ("text", text()),
            ("varchar(30)", text()),
            ("char(18)", text()),
            ("uuid", text()),
            ("bigint", text()),
            ("numeric(18)", text()),
            ("name", text()),
            ("date", iso_date()),
            ("text", iso_date()),
            ("bigint", integer()),
            ("text", integer()),
            ("boolean", boolean()),
            ("timestamptz", instant()),
            ("numeric(12,2)", decimal(10, 2)),
        ],
    )
    def test_codec_that_values_pass(self, judge: Judge, kind: str, codec: Codec) -> None:
        """A column that gives values back as they were written is none to talk about."""
        spec = spec_of(codec)
        if spec.kind is Kind.DECIMAL:
            spec = FieldSpec("value", Kind.DECIMAL, precision=10, scale=2)

        assert not judge("postgres", PLAIN.format(type=kind), spec=spec, codec=codec).refused

    @pytest.mark.parametrize(
        ("kind", "spec", "codec", "word"),
        [
            ("numeric(5,0)", NUMERIC_5_1, None, "every value"),
            ("numeric(4,1)", NUMERIC_5_1, None, "every value"),
            ("smallint", FieldSpec("value", Kind.INTEGER), None, "every value"),
            ("bigint", FieldSpec("value", Kind.TEXT), None, "every value"),
            ("varchar(4)", SEX, text(), "female"),
            ("varchar(10)", FieldSpec("value", Kind.TEXT), text(max_chars=12), "max_chars=10"),
            ("text NOT NULL", FieldSpec("value", Kind.TEXT, nullable=True), None, "no null"),
            ("timestamp(0) with time zone", FieldSpec("value", Kind.INSTANT), None, "every value"),
        ],
    )
    def test_column_that_holds_less_than_the_field(
        self, judge: Judge, kind: str, spec: FieldSpec, codec: Codec | None, word: str
    ) -> None:
        """A column that holds some of the values is told of, as records that it cannot hold will park."""
        found = judge("postgres", PLAIN.format(type=kind), spec=spec, codec=codec)

        assert not found.refused
        assert len(found.told) == 1
        assert word in found.told[0]

    @pytest.mark.parametrize("kind", ["smallint", "integer", "numeric(1)", "char(1)", "text"])
    @pytest.mark.parametrize("codec", [WORDS, NUMBERS])
    def test_codes_are_held_by_any_such_column(self, judge: Judge, kind: str, codec: Codec) -> None:
        """Codes are text or numbers, whatever the column is."""
        assert judge("postgres", PLAIN.format(type=kind), spec=SEX, codec=codec) == Judgement(refused=[], told=[])

    def test_enum_holds_the_words_that_it_lists(self, judge: Judge) -> None:
        """A type that lists its words is judged by them."""
        made = "CREATE TYPE sex AS ENUM ('male', 'female')"

        assert not judge("postgres", made, PLAIN.format(type="sex"), spec=SEX).told
        assert not judge("postgres", made, PLAIN.format(type="sex")).refused
        assert_refused(judge("postgres", made, PLAIN.format(type="sex"), codec=WORDS, spec=SEX), "sex")

    def test_domain_counts_as_what_it_is_made_of(self, judge: Judge) -> None:
        """A domain's own condition is about values that nobody can guess."""
        made = "CREATE DOMAIN short AS varchar(12) CHECK (value ~ '^[0-9]+$')"

        assert judge("postgres", made, PLAIN.format(type="short"), codec=text(max_chars=12)) == Judgement(
            refused=[], told=[]
        )

    @pytest.mark.parametrize("kind", ["citext", 'text COLLATE "folded"'])
    def test_number_that_compares_without_case_is_told(self, judge: Judge, kind: str) -> None:
        """Where a column compares without case, an identifier is the same in either."""
        folded = "CREATE COLLATION folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
        view = {"spec": FieldSpec("value", Kind.TEXT)}
        table = f"CREATE TABLE account (id integer PRIMARY KEY, number {kind}, value text)"
        by_identifier = judge("postgres", "CREATE EXTENSION IF NOT EXISTS citext", folded, table, **view)

        assert by_identifier == Judgement(refused=[], told=[])


@on_postgres
class TestOnPostgres:
    """What only PostgreSQL has."""

    @pytest.mark.parametrize("kind", ["json", "point", "xml"])
    def test_key_without_an_order(self, judge: Judge, kind: str) -> None:
        """A sweep goes through rows in the order of their keys."""
        table = f"CREATE TABLE base (id {kind}, number text, value text)"
        view = "CREATE VIEW account AS SELECT * FROM base"

        assert judge("postgres", table, view, key="id").refused

    @pytest.mark.parametrize("kind", ["json", "point", "xml"])
    def test_number_that_cannot_be_searched(self, judge: Judge, kind: str) -> None:
        """Rows are found by their numbers."""
        found = judge("postgres", f"CREATE TABLE account (id integer PRIMARY KEY, number {kind}, value text)")

        assert any("cannot be searched" in sentence for sentence in found.refused)

    def test_identity_that_the_database_fills(self, judge: Judge) -> None:
        """An identity column that is always generated cannot be written."""
        found = judge(
            "postgres",
            PLAIN.format(type="integer GENERATED ALWAYS AS IDENTITY"),
            spec=FieldSpec("value", Kind.INTEGER),
        )

        assert_refused(found, "filled by the database")

    @pytest.mark.parametrize("doubled", [False, True])
    def test_view_is_looked_through_for_keys_that_rows_share(self, judge: Judge, *, doubled: bool) -> None:
        """No index is about the rows of a view."""
        found = judge(
            "postgres",
            "CREATE TABLE base (id integer PRIMARY KEY, number text, value text)",
            "CREATE VIEW account AS SELECT number, value FROM base",
            f"INSERT INTO base VALUES (1, 'a'), (2, '{'a' if doubled else 'b'}')",
            key="number",
        )

        assert bool(found.refused) is doubled
        if doubled:
            assert_refused(found, "rows that share it")

    @pytest.mark.parametrize("doubled", [False, True])
    def test_tables_that_inherit_are_looked_through(self, judge: Judge, *, doubled: bool) -> None:
        """A unique index is about one table and none that inherits from it."""
        found = judge(
            "postgres",
            PLAIN.format(type="text"),
            "CREATE TABLE account_2020 (PRIMARY KEY (id)) INHERITS (account)",
            "INSERT INTO account VALUES (1)",
            f"INSERT INTO account_2020 VALUES ({1 if doubled else 2})",
        )

        assert bool(found.refused) is doubled

    def test_partitioned_table_is_a_table(self, judge: Judge) -> None:
        """The index of a partitioned table is about every partition."""
        found = judge(
            "postgres",
            "CREATE TABLE account (id integer PRIMARY KEY, number text, value text) PARTITION BY HASH (id)",
            "CREATE TABLE part PARTITION OF account FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
        )

        assert found == Judgement(refused=[], told=[])

    @pytest.mark.parametrize("kind", ["VIEW", "MATERIALIZED VIEW"])
    def test_relation_that_takes_no_rows(self, judge: Judge, kind: str) -> None:
        """A view over several rows cannot be written."""
        found = judge(
            "postgres",
            "CREATE TABLE base (id integer PRIMARY KEY, number text, value text)",
            f"CREATE {kind} account AS SELECT DISTINCT id, number, value FROM base",
            key="id",
        )

        assert "takes no UPDATE" in found.refused[0]

    def test_predicate_that_is_no_condition(self, judge: Judge) -> None:
        """A predicate is true or false."""
        assert_refused(judge("postgres", PLAIN.format(type="text"), scope=existing(open="number")), "open=", "42804")

    def test_constraints_that_wait_are_told(self, judge: Judge) -> None:
        """A constraint that waits for the end of a transaction is checked at once for us."""
        found = judge("postgres", PLAIN.format(type="text UNIQUE DEFERRABLE INITIALLY DEFERRED"))

        assert not found.refused
        assert "account_value_key" in found.told[0]

    @pytest.mark.parametrize(
        ("granted", "lacks"),
        [
            (["SELECT", "UPDATE"], []),
            (["SELECT (id, number, value)", "UPDATE (number, value)"], []),
            (["SELECT"], ["UPDATE (number, value) ON account"]),
            (["SELECT (id, number)", "UPDATE"], ["SELECT (value) ON account"]),
            ([], ["SELECT (number, value, id) ON account", "UPDATE (number, value) ON account"]),
        ],
    )
    def test_rights_that_are_missing_are_named(
        self, judge: Judge, engines: Mapping[str, Engine], granted: list[str], lacks: list[str]
    ) -> None:
        """Rights may be given for a table or for its columns; those that lack are named as GRANT has them."""
        judge("postgres", PLAIN.format(type="text"))
        with clerk(engines["postgres"], *(f"GRANT {right} ON account TO {{}}" for right in granted)) as engine:
            found = judge_table(engine, bound(FieldSpec("value", Kind.TEXT), None))

        assert all(any(right in sentence for sentence in found.refused) for right in lacks)
        assert len(found.refused) == len(lacks)

    def test_rights_of_a_mirror_that_deletes(self, judge: Judge, engines: Mapping[str, Engine]) -> None:
        """A mirror inserts, and one that deletes must be allowed to."""
        judge("postgres", PLAIN.format(type="text"))
        with clerk(engines["postgres"], "GRANT SELECT, UPDATE ON account TO {}") as engine:
            found = judge_table(
                engine, bound(FieldSpec("value", Kind.TEXT), None, scope=mirror(), on_delete="delete", key="id")
            )

        assert ["INSERT (number, value)" in found.refused[0], "DELETE ON account" in found.refused[1]] == [True, True]

    def test_role_that_may_make_no_temporary_tables(self, judge: Judge, engines: Mapping[str, Engine]) -> None:
        """Told and not refused: all goes on, more slowly."""
        judge("postgres", PLAIN.format(type="text"))
        database = engines["postgres"].url.database
        with clerk(
            engines["postgres"],
            "GRANT ALL ON account TO {}",
            f"REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC",
        ) as engine:
            found = judge_table(engine, bound(FieldSpec("value", Kind.TEXT), None))

        assert not found.refused
        assert any("GRANT TEMPORARY" in sentence for sentence in found.told)

    def test_rows_that_a_policy_hides(self, judge: Judge, engines: Mapping[str, Engine]) -> None:
        """What row security hides would count as gone."""
        judge("postgres", PLAIN.format(type="text"), "ALTER TABLE account ENABLE ROW LEVEL SECURITY")
        with clerk(engines["postgres"], "GRANT ALL ON account TO {}") as engine:
            found = judge_table(engine, bound(FieldSpec("value", Kind.TEXT), None))

        assert "BYPASSRLS" in found.refused[0]


class clerk:  # noqa: N801 - used as a function is
    """A role with no rights but those that the statements give it."""

    def __init__(self, engine: Engine, *statements: str) -> None:
        """Statements have {} where the role's name belongs."""
        self._engine, self._statements, self._name = engine, statements, f"clerk_{uuid4().hex}"

    def __enter__(self) -> Engine:
        """Make the role, and give its own way to the database."""
        with self._engine.begin() as connection:
            connection.exec_driver_sql(f"CREATE ROLE {self._name} LOGIN PASSWORD 'clerk'")
            connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA public TO {self._name}")
            for statement in self._statements:
                connection.exec_driver_sql(statement.format(self._name))
        url = make_url(self._engine.url).set(username=self._name, password="clerk")
        self._clerk = open_database(url.render_as_string(hide_password=False))
        return self._clerk

    def __exit__(self, *_error: object) -> None:
        """Take the role away."""
        self._clerk.dispose()
        with self._engine.begin() as connection:
            connection.exec_driver_sql(f"DROP OWNED BY {self._name}; DROP ROLE {self._name}")


class TestOnSqlite:
    """What only SQLite has."""

    @pytest.mark.parametrize(
        ("kind", "codec", "spec"),
        [
            ("INTEGER", decimal(5, 1), NUMERIC_5_1),
            ("TEXT", decimal(5, 1), NUMERIC_5_1),
            ("VARCHAR(20)", text(), spec_of(None)),
            ("", text(), spec_of(None)),
            ("NUMERIC", identifier(), spec_of(None)),
            ("INTEGER", integer(), spec_of(integer())),
            ("DATE", iso_date(), spec_of(iso_date())),
            ('"my type"', text(), spec_of(None)),
        ],
    )
    def test_codec_that_values_pass(self, judge: Judge, kind: str, codec: Codec, spec: FieldSpec) -> None:
        """A column that gives values back as they were written is none to talk about."""
        assert not judge("sqlite", PLAIN.format(type=kind), spec=spec, codec=codec).refused

    def test_column_of_a_strict_table(self, judge: Judge) -> None:
        """A strict table refuses values of other types."""
        table = "CREATE TABLE account (id INTEGER PRIMARY KEY, number TEXT, value INTEGER) STRICT"

        assert not judge("sqlite", table, spec=spec_of(integer()), codec=integer()).refused
        assert_refused(judge("sqlite", table, spec=spec_of(iso_date()), codec=iso_date()), "column value")

    def test_view_is_none(self, judge: Judge) -> None:
        """A view cannot be written on SQLite."""
        found = judge(
            "sqlite",
            "CREATE TABLE base (id INTEGER PRIMARY KEY, number TEXT, value TEXT)",
            "CREATE VIEW account AS SELECT * FROM base",
            key="id",
        )

        assert any("found a view" in sentence for sentence in found.refused)

    def test_trigger_that_rolls_everything_back(self, judge: Judge) -> None:
        """Such a trigger undoes what was written for other records."""
        found = judge(
            "sqlite",
            PLAIN.format(type="TEXT"),
            "CREATE TRIGGER no BEFORE UPDATE ON account BEGIN SELECT raise ( rollback, 'no'); END",
        )

        assert_refused(found, "trigger no", "RAISE(ABORT)")
