"""Tables nobody designed for us: in memory, in SQLite and in PostgreSQL, with what their department does to them."""

import json
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal

from sqlalchemy import Engine, delete, text, update
from sqlalchemy.exc import DBAPIError

import tellonce
from apply.bench import KEYS, SCHEMA, trigger
from tellonce import Binding, Column, candidate, current, existing, from_15_digits, mirror, previous
from tellonce.declare import Raw
from tellonce.storage.database import reading, writing
from tellonce.storage.stores import department_store, judge_table, subscriber_store
from tellonce.storage.subscriber.department import DepartmentStore
from tellonce.storage.subscriber.store import SubscriberStore
from tellonce.storage.subscriber.view import BoundView
from tellonce.storage.tables import own_tables
from tellonce.testing.department import MemoryStore
from tellonce.testing.table import MemoryTable

__all__ = ["Awkward", "Cells", "Key", "MakeTable", "MemoryAwkward", "SqlAwkward", "Table", "draw_shape", "key_of"]

Key = tuple[str, ...]
Cells = Mapping[str, str | None]
"""A row's columns as text, without those of its key."""
Scope = Literal["existing", "mirror"]
Rows = Literal["one", "many"]
OnDelete = Literal["keep", "mark", "delete"]
Unique = Literal["", "UNIQUE", "UNIQUE DEFERRABLE INITIALLY DEFERRED"]
Kind = Literal["identity", "uuid", "composite", "char"]
NumberType = Literal["varchar(18)", "char(18)", "citext"]
Relation = Literal["table", "partitioned", "view"]
_SCOPES: tuple[Scope, ...] = ("existing", "existing", "mirror")
_RELATIONS: tuple[Relation, ...] = ("table", "table", "partitioned", "view")
_ON_DELETE: tuple[OnDelete, ...] = ("keep", "mark", "mark", "delete")
_ROWS: tuple[Rows, ...] = ("one", "many")
_UNIQUE: tuple[Unique, ...] = ("", "", "UNIQUE")
_KEYS: tuple[Kind, ...] = ("identity", "uuid", "composite", "char")
_NUMBERS: tuple[NumberType, ...] = ("varchar(18)", "char(18)", "citext")
COLUMNS = ("number", "name", "born", "street", "state", "note")


@dataclass(frozen=True, kw_only=True)
class Awkward:
    """What is awkward about a table; a database that lacks one of these things takes the plainest there is."""

    scope: Scope
    rows: Rows
    on_delete: OnDelete
    unmarks: bool
    mark: str
    unique: Unique
    key: Kind
    number: NumberType
    spells: bool
    relation: Relation
    has_accounts: bool

    @property
    def key_columns(self) -> list[str]:
        """The columns of the key."""
        return ["branch", "pid"] if self.key == "composite" else ["pid"]

    def view(self) -> BoundView:
        """The view as the department binds it."""
        number = tellonce.text(max_chars=18, padded=True) if self.number == "char(18)" else tellonce.text()
        columns: dict[str, str | Column] = {
            "id_number": Column("number", tellonce.identifier() if self.spells else number),
            "name": Column("name", tellonce.text(max_chars=12)),
            "born": Column("born", tellonce.yyyymmdd),
            "street": Column("street", tellonce.text(max_chars=8)),
        }
        binding = Binding(
            view=KEYS.view,
            table="awkward",
            match=[current("id_number"), previous("id_number"), candidate("id_number", from_15_digits)],
            columns=columns,
            key=self.key_columns,
            scope=mirror() if self.scope == "mirror" else existing(open="awkward.state = 'open'"),
            rows=self.rows,
            on_delete=self.on_delete,
            mark={"state": self.mark} if self.on_delete == "mark" else None,
            unmark={"state": "open"} if self.unmarks else None,
            defaults={"note": ""} if self.scope == "mirror" else None,
        )
        return BoundView(schema=SCHEMA, keys=KEYS, binding=binding)


def draw_shape(rng: random.Random, store: str) -> Awkward:
    """Some table that such a store can have."""
    is_postgres = store == "postgres"
    scope: Scope = rng.choice(_SCOPES)
    relation: Relation = rng.choice(_RELATIONS) if is_postgres else "table"
    on_delete: OnDelete = rng.choice(_ON_DELETE)
    rows: Rows = rng.choice(_ROWS) if scope == "existing" else "one"
    unique: Unique = rng.choice(_UNIQUE) if rows == "one" and relation != "partitioned" else ""
    if unique and is_postgres and rng.random() < 0.5:
        unique = "UNIQUE DEFERRABLE INITIALLY DEFERRED"
    return Awkward(
        scope=scope,
        rows=rows,
        on_delete=on_delete,
        unmarks=on_delete == "mark" and rng.random() < 0.5,
        mark=rng.choice(("closed", "ended")),
        unique=unique,
        key=rng.choice(_KEYS),
        number=rng.choice(_NUMBERS),
        spells=rng.random() < 0.3,
        relation=relation,
        has_accounts=not unique and rng.random() < 0.5,
    )


class Table(ABC):
    """A table, the store over it, and what clerks do."""

    store: SubscriberStore
    department: DepartmentStore

    def __init__(self, shape: Awkward) -> None:
        self.shape = shape
        self.view = shape.view()

    @abstractmethod
    def refused(self) -> str:
        """Why the service would not start on this table, if it would not."""

    @abstractmethod
    def rows(self) -> dict[Key, Cells]:
        """Every row."""

    @abstractmethod
    def insert(self, **values: Raw) -> bool:
        """A clerk adds a row; tell whether the table took it."""

    @abstractmethod
    def change(self, key: Key, **values: Raw) -> bool:
        """A clerk changes a row, and what its note says is no more unless it is given anew."""

    @abstractmethod
    def remove(self, key: Key) -> None:
        """A clerk takes a row away."""

    @abstractmethod
    def pass_time(self) -> None:
        """Let every wait of a parked record be over."""

    @abstractmethod
    def complete(self) -> None:
        """The epoch's snapshot was read to its end."""


MakeTable = Callable[[Awkward], Table]


class MemoryAwkward(Table):
    """The table in memory."""

    def __init__(self, shape: Awkward) -> None:
        super().__init__(shape)
        self.pids = count(1)
        is_existing = shape.scope == "existing"
        self.table = MemoryTable(
            key=shape.key_columns,
            unique=[["number"]] if shape.unique else (),
            is_open=(lambda row: row["state"] == "open") if is_existing else (lambda _row: True),
            trigger=trigger,
            draw_key=lambda row: {"state": "open", **row, **self._draw()},
        )
        self.store = self.memory = MemoryStore(self.view, self.table, is_complete=False)
        self.department = self.memory.department

    def _draw(self) -> dict[str, Raw]:
        number = next(self.pids)
        pid: Raw = number if self.shape.key in {"identity", "composite"} else f"k{number * 7_919 % 10_000}"
        return {"branch": "b", "pid": pid} if self.shape.key == "composite" else {"pid": pid}

    def refused(self) -> str:
        """Why the service would not start on this table, if it would not."""
        return ""

    def rows(self) -> dict[Key, Cells]:
        """Every row."""
        return {
            tuple(str(row[name]) for name in self.table.key): {
                name: None if row[name] is None else str(row[name]) for name in COLUMNS
            }
            for row in self.table.rows
        }

    def insert(self, **values: Raw) -> bool:
        """A clerk adds a row; tell whether the table took it."""
        self.table.rows.append({**self._draw(), **values})
        if self.table.doubled():
            self.table.rows.pop()
            return False
        return True

    def _at(self, key: Key) -> dict[str, Raw]:
        return next(row for row in self.table.rows if tuple(str(row[name]) for name in self.table.key) == key)

    def change(self, key: Key, **values: Raw) -> bool:
        """A clerk changes a row, and what its note says is no more unless it is given anew."""
        row = self._at(key)
        before = dict(row)
        row.update({"note": "", **values})
        if self.table.doubled():
            row.update(before)
            return False
        return True

    def remove(self, key: Key) -> None:
        """A clerk takes a row away."""
        gone = self._at(key)
        self.table.rows = [row for row in self.table.rows if row is not gone]

    def pass_time(self) -> None:
        """Let every wait of a parked record be over."""
        self.memory.department.now_ms += 100_000

    def complete(self) -> None:
        """The epoch's snapshot was read to its end."""
        self.memory.is_complete = True


_POSTGRES_KEYS = {
    "identity": "pid bigint GENERATED BY DEFAULT AS IDENTITY",
    "uuid": "pid uuid NOT NULL DEFAULT gen_random_uuid()",
    "composite": "branch varchar(4) NOT NULL DEFAULT 'b', pid bigint NOT NULL DEFAULT nextval('awkward_keys')",
    "char": "pid char(8) NOT NULL DEFAULT 'k' || nextval('awkward_keys')",
}
_POSTGRES = """
CREATE SEQUENCE IF NOT EXISTS awkward_keys;
CREATE TABLE {base} ({key}, number {number} {unique}, name text, born text, street text,
    state text NOT NULL DEFAULT 'open', note text NOT NULL DEFAULT '', PRIMARY KEY ({keys})) {partitions};
CREATE OR REPLACE FUNCTION awkward_notes() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF OLD.note = 'no' AND (TG_OP = 'DELETE' OR NEW.note = 'no') THEN RAISE EXCEPTION 'no'; END IF;
    IF TG_OP = 'DELETE' THEN IF OLD.note = 'frozen' THEN RETURN NULL; END IF; RETURN OLD; END IF;
    IF OLD.note = 'frozen' AND NEW.note = 'frozen' THEN RETURN NULL; END IF;
    IF NEW.note = 'cut' THEN NEW.name = left(NEW.name, 3); END IF;
    RETURN NEW; END $$;
CREATE TRIGGER notes BEFORE UPDATE OR DELETE ON {base} FOR EACH ROW EXECUTE FUNCTION awkward_notes();
"""
_PARTS = "".join(
    f"CREATE TABLE awkward_{part} PARTITION OF {{base}} FOR VALUES WITH (MODULUS 2, REMAINDER {part});"
    for part in range(2)
)
_SQLITE_KEYS = {
    "identity": "pid INTEGER",
    "uuid": "pid TEXT NOT NULL DEFAULT (lower(hex(randomblob(8))))",
    "composite": "branch TEXT NOT NULL DEFAULT 'b', pid TEXT NOT NULL DEFAULT (lower(hex(randomblob(8))))",
    "char": "pid CHARACTER(16) NOT NULL DEFAULT (lower(hex(randomblob(4))))",
}
_SQLITE = """
DROP TABLE IF EXISTS awkward;
CREATE TABLE awkward ({key}, number {number} {unique}, name TEXT, born TEXT, street TEXT,
    state TEXT NOT NULL DEFAULT 'open', note TEXT NOT NULL DEFAULT '', PRIMARY KEY ({keys}));
CREATE TRIGGER refuses BEFORE UPDATE ON awkward WHEN OLD.note = 'no' AND NEW.note = 'no'
    BEGIN SELECT RAISE(ABORT, 'no'); END;
CREATE TRIGGER refuses_end BEFORE DELETE ON awkward WHEN OLD.note = 'no' BEGIN SELECT RAISE(ABORT, 'no'); END;
CREATE TRIGGER freezes BEFORE UPDATE ON awkward WHEN OLD.note = 'frozen' AND NEW.note = 'frozen'
    BEGIN SELECT RAISE(IGNORE); END;
CREATE TRIGGER freezes_end BEFORE DELETE ON awkward WHEN OLD.note = 'frozen' BEGIN SELECT RAISE(IGNORE); END;
CREATE TRIGGER cuts AFTER UPDATE ON awkward WHEN NEW.note = 'cut'
    BEGIN UPDATE awkward SET name = substr(name, 1, 3) WHERE pid = NEW.pid; END;
"""


class SqlAwkward(Table):
    """The table in a database that has our own tables already."""

    def __init__(self, shape: Awkward, engine: Engine) -> None:
        super().__init__(shape)
        self.engine = engine
        self.own = own_tables(engine.dialect.name)
        self.is_postgres = engine.dialect.name == "postgresql"
        self._forget()
        self._make()
        self.store = subscriber_store(engine, self.view, 1)
        self.department = department_store(engine)

    def _forget(self) -> None:
        own = self.own
        with writing(self.engine) as connection:
            for table in (own.position, own.applied, own.linked_row, own.claim, own.seen, own.parked, own.progress):
                connection.execute(delete(table))
            connection.execute(delete(own.repair))

    def _make(self) -> None:
        shape, keys = self.shape, ", ".join(self.shape.key_columns)
        if not self.is_postgres:
            script = _SQLITE.format(key=_SQLITE_KEYS[shape.key], keys=keys, number=shape.number, unique=shape.unique)
            driver: Any = self.engine.raw_connection()
            driver.executescript(f"BEGIN; {script} COMMIT;")
            driver.close()
            return
        base = "awkward_base" if shape.relation == "view" else "awkward"
        is_parted = shape.relation == "partitioned"
        script = (_POSTGRES + (_PARTS if is_parted else "")).format(
            base=base,
            key=_POSTGRES_KEYS[shape.key],
            keys=keys,
            number=shape.number,
            unique=shape.unique,
            partitions="PARTITION BY HASH (pid)" if is_parted else "",
        )
        if is_parted:
            script = script.replace(" GENERATED BY DEFAULT AS IDENTITY", " DEFAULT nextval('awkward_keys')")
        with writing(self.engine) as connection:
            connection.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS citext")
            kind = connection.execute(text("SELECT relkind::text FROM pg_class WHERE relname = 'awkward'")).scalar()
            if kind is not None:
                connection.exec_driver_sql(f"DROP {'VIEW' if kind == 'v' else 'TABLE'} awkward")
            connection.exec_driver_sql("DROP TABLE IF EXISTS awkward_base")
            connection.exec_driver_sql(script)
            if shape.relation == "view":
                connection.exec_driver_sql("CREATE VIEW awkward AS SELECT * FROM awkward_base")

    def refused(self) -> str:
        """Why the service would not start on this table, if it would not."""
        return "; ".join(str(each) for each in judge_table(self.engine, self.view).refused)

    def rows(self) -> dict[Key, Cells]:
        """Every row."""
        names = [*self.shape.key_columns, *COLUMNS]
        chosen = ", ".join(f"CAST({name} AS text)" for name in names)
        with reading(self.engine) as connection:
            found = connection.exec_driver_sql(f"SELECT {chosen} FROM awkward").all()
        split = len(self.shape.key_columns)
        return {
            tuple(str(each).strip() for each in row[:split]): dict(zip(COLUMNS, row[split:], strict=True))
            for row in found
        }

    def _write(self, statement: str, values: Mapping[str, Raw]) -> bool:
        try:
            with writing(self.engine) as connection:
                connection.execute(text(statement), dict(values))
        except DBAPIError:
            return False
        return True

    def insert(self, **values: Raw) -> bool:
        """A clerk adds a row; tell whether the table took it."""
        marks = ", ".join(f":{name}" for name in values)
        return self._write(f"INSERT INTO awkward ({', '.join(values)}) VALUES ({marks})", values)

    def _where(self, key: Key) -> tuple[str, dict[str, Raw]]:
        pairs = dict(zip(self.shape.key_columns, key, strict=True))
        terms = [f"trim(CAST({name} AS text)) = :key_{name}" for name in pairs]
        return " AND ".join(terms), {f"key_{name}": value for name, value in pairs.items()}

    def change(self, key: Key, **values: Raw) -> bool:
        """A clerk changes a row, and what its note says is no more unless it is given anew."""
        where, bound = self._where(key)
        given: dict[str, Raw] = {"note": "", **values}
        sets = ", ".join(f"{name} = :{name}" for name in given)
        return self._write(f"UPDATE awkward SET {sets} WHERE {where}", {**given, **bound})

    def remove(self, key: Key) -> None:
        """A clerk takes a row away."""
        where, bound = self._where(key)
        self._write(f"UPDATE awkward SET note = '' WHERE {where}", bound)
        self._write(f"DELETE FROM awkward WHERE {where}", bound)

    def pass_time(self) -> None:
        """Let every wait of a parked record be over."""
        parked = self.own.parked
        with writing(self.engine) as connection:
            connection.execute(update(parked).where(parked.c.retry_at_ms.is_not(None)).values(retry_at_ms=1))

    def complete(self) -> None:
        """The epoch's snapshot was read to its end; the batch has said so."""


def key_of(row_key: str) -> Key:
    """A row's key as `Table.rows` has it, from the JSON text that a store has."""
    return tuple(str(each).strip() for each in json.loads(row_key))
