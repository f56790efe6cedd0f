"""A bench for the laws of rows: one view bound to one small table, events in; rows and what is kept of them out."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from itertools import count
from typing import Literal

from tellonce import (
    Binding,
    Column,
    candidate,
    current,
    existing,
    from_15_digits,
    identifier,
    mirror,
    previous,
    text,
    yyyymmdd,
)
from tellonce.apply.batch import Offered, carry_out
from tellonce.apply.subscription import SubscribedView
from tellonce.apply.sweep import sweep_rows
from tellonce.avro.fields import FieldSpec, Kind, ViewSchema
from tellonce.declare import Raw
from tellonce.keyring import ViewKeys
from tellonce.model.change import ChangeEvent, Fields, Operation, Origin
from tellonce.model.digest import pseudonym_of
from tellonce.model.divergence import Reason, RecordState
from tellonce.model.position import Header
from tellonce.storage.subscriber.department import DepartmentStore
from tellonce.storage.subscriber.entries import Entry, StreamRow
from tellonce.storage.subscriber.facts import RowKey
from tellonce.storage.subscriber.store import SubscriberStore
from tellonce.storage.subscriber.view import BoundView
from tellonce.testing.department import MemoryStore
from tellonce.testing.table import MemoryTable, RefusedError, Values
from tellonce.topology import View

__all__ = ["KEYS", "Bench", "MakeBench", "MemoryBench", "Shape"]

KEYS = ViewKeys(view="citizen.identity", digest=b"d" * 32, pseudonym=b"p" * 32)
SCHEMA = ViewSchema(
    view=KEYS.view,
    schema_id=1,
    fields=(
        FieldSpec("id_number", Kind.TEXT),
        FieldSpec("name", Kind.TEXT),
        FieldSpec("born", Kind.DATE),
        FieldSpec("street", Kind.TEXT, nullable=True),
        FieldSpec("former_id_numbers", Kind.TEXT_LIST, match_only=True),
    ),
)
BORN, WRITTEN_BORN = date(1970, 1, 1), "19700101"


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How the department holds its records, and what its table does.

    Of a row whose `note` says so, the table's trigger swallows every write (`frozen`), cuts the name that is written to
    three characters (`cut`), or refuses the write (`no`). With `draws_keys` the database makes up keys in no order, and
    with `identifies` the number is bound as an identifier.
    """

    scope: Literal["mirror", "existing"] = "existing"
    rows: Literal["one", "many"] = "one"
    on_delete: Literal["keep", "mark", "delete"] = "delete"
    is_unique: bool = False
    draws_keys: bool = False
    identifies: bool = False
    unmarks: bool = False

    def view(self) -> BoundView:
        """The view as the department binds it."""
        binding = Binding(
            view=KEYS.view,
            table="patient",
            match=[current("id_number"), previous("id_number"), candidate("id_number", from_15_digits)],
            columns={
                "id_number": Column("number", identifier() if self.identifies else text()),
                "name": Column("name", text(max_chars=12)),
                "born": Column("born", yyyymmdd),
                "street": Column("street", text(max_chars=8), else_keep=True),
            },
            key="pid",
            scope=mirror() if self.scope == "mirror" else existing(open="patient.state <> 'closed'"),
            rows=self.rows,
            on_delete=self.on_delete,
            mark={"state": "closed"} if self.on_delete == "mark" else None,
            unmark={"state": "open"} if self.unmarks else None,
            defaults={"note": ""} if self.scope == "mirror" else None,
        )
        return BoundView(schema=SCHEMA, keys=KEYS, binding=binding)


class Bench(ABC):
    """A store, its table, and events to be applied."""

    store: SubscriberStore
    department: DepartmentStore
    renews = True
    """Whether plain records are renewed; else all are decided about."""
    writers_never_meet = False
    """Whether a transaction that writes is the only one, so that no row is ever held by another."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.view = shape.view()
        self.versions = count(1)
        self.writes = 0
        """How many rows the service has written to, and those it wrote and took back."""

    @abstractmethod
    def row(
        self,
        number: str,
        name: str = "Wang",
        street: str | None = None,
        *,
        born: str = WRITTEN_BORN,
        state: str = "open",
        note: str = "",
    ) -> RowKey:
        """A row that the department writes itself."""

    @abstractmethod
    def change(self, key: RowKey, **values: Raw) -> None:
        """The department changes one of its rows."""

    @abstractmethod
    def held(self) -> list[Mapping[str, Raw]]:
        """Every row of the table."""

    @abstractmethod
    def be_complete(self, *, is_complete: bool) -> None:
        """The epoch's snapshot was read to its end, or was not."""

    @abstractmethod
    def entries(self) -> Mapping[str, Entry]:
        """What the ledger says."""

    @abstractmethod
    def reason(self, serial: int) -> Reason | None:
        """Why a record is listed, if it is."""

    @abstractmethod
    def due_names(self) -> set[str]:
        """The pseudonyms of records that are parked and to be tried again at once."""

    def due(self) -> set[int]:
        """The records that are parked and to be tried again at once."""
        return {serial for serial in range(50) if self.name(serial) in self.due_names()}

    @abstractmethod
    def links(self, serial: int) -> Sequence[RowKey]:
        """The rows that are a record's."""

    @abstractmethod
    def count_writes(self) -> int:
        """How many rows were ever written to, by anybody."""

    @contextmanager
    def hold(self, key: RowKey) -> Generator[None]:
        """Another transaction holds a row meanwhile."""
        raise NotImplementedError(key)
        yield

    def apply(self, *events: Offered, looks_around: bool = False, is_complete: bool = True) -> None:
        """Apply these newest events in one batch."""
        self.be_complete(is_complete=is_complete)
        before = self.count_writes()
        with self.store.transaction() as transaction:
            stream = transaction.lock_stream(0)
            names = [event.pseudonym for event in events]
            standings = transaction.standings(names) if self.renews and not looks_around else {}
            around = names if looks_around else ()
            carry_out(transaction, self.view, {0: stream}, events, standings=standings, around=around)
            transaction.save_stream(stream)
        self.writes += self.count_writes() - before

    def sweep(self) -> Sequence[str]:
        """Let a sweep look at every row; gives the records of which a row is news."""
        return sweep_rows(self.subscribed()).found

    def be_attestable(self) -> None:
        """What the stream holds may be stated."""
        with self.store.transaction() as transaction:
            stream = transaction.lock_stream(0)
            stream.position, stream.attestable = replace(stream.position, epoch=1, highest=1), True
            transaction.save_stream(stream)

    def subscribed(self) -> SubscribedView:
        """The view as the applier has it."""
        view = View.model_construct(name=KEYS.view, buckets=1)
        return SubscribedView(department="clinic", view=view, bound=self.view, store=self.store)

    def event(self, serial: int, number: str, name: str = "Wang", street: str | None = None, *former: str) -> Offered:
        """The newest state of a record."""
        after: Fields = {
            "id_number": number,
            "name": name,
            "born": BORN,
            "street": street,
            "former_id_numbers": tuple(former),
        }
        return self._offer(serial, Operation.UPDATE, after)

    def delete(self, serial: int) -> Offered:
        """A record's end."""
        return self._offer(serial, Operation.DELETE, None)

    def _offer(self, serial: int, op: Operation, after: Fields | None) -> Offered:
        name, version = self.name(serial), next(self.versions)
        event = ChangeEvent(
            op=op,
            department="registry",
            record_type="citizen",
            view=KEYS.view,
            record_key=name,
            epoch=1,
            version=version,
            sequence=version,
            origin=Origin.CAPTURE,
            committed_at_ms=1,
            published_at_ms=1,
            after=after,
        )
        header = Header(epoch=1, version=version, sequence=version, settled=0, flagged=False)
        return Offered(pseudonym=name, partition=0, header=header, payload=b"", event=event)

    def name(self, serial: int) -> str:
        """A record's pseudonym."""
        return pseudonym_of(KEYS.pseudonym, str(serial))

    def rows(self, *columns: str) -> list[tuple[Raw, ...]]:
        """What the table holds, in these columns."""
        return sorted((tuple(row[name] for name in columns) for row in self.held()), key=str)

    def names(self) -> dict[Raw, Raw]:
        """The name in each row, by its number."""
        return {row["number"]: row["name"] for row in self.held()}

    def state(self, serial: int) -> RecordState:
        """How a record stands."""
        return self.entries()[self.name(serial)].state

    def is_equal(self, serial: int) -> bool:
        """Whether the ledger says that the department holds what the authority does."""
        entry = self.entries()[self.name(serial)]
        return entry.digest is not None and entry.digest == entry.event_digest

    def stream(self) -> StreamRow:
        """The stream's sum and counts."""
        with self.store.transaction() as transaction:
            return transaction.lock_stream(0)


def trigger(old: Values | None, new: Values | None) -> Values | None:
    """What the department's own trigger does with a write of the service's."""
    note = (old or new or {}).get("note")
    if note == "no":
        raise RefusedError
    if note == "frozen":
        return None if new is not None else old
    if note == "cut" and new is not None:
        return {**new, "name": str(new["name"])[:3]}
    return new


MakeBench = Callable[[Shape], Bench]


class MemoryBench(Bench):
    """The store in memory."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.pids = count(1)
        is_existing = shape.scope == "existing"
        self.table = MemoryTable(
            key=["pid"],
            unique=[["number"]] if shape.is_unique else (),
            is_open=(lambda row: row["state"] != "closed") if is_existing else (lambda _row: True),
            trigger=trigger,
            draw_key=lambda row: {"state": "open", **row, "pid": self._draw()},
        )
        self.store = self.memory = MemoryStore(self.view, self.table)
        self.department = self.memory.department

    def _draw(self) -> int:
        number = next(self.pids)
        return number * 7_919 % 1_000 if self.shape.draws_keys else number

    def row(
        self,
        number: str,
        name: str = "Wang",
        street: str | None = None,
        *,
        born: str = WRITTEN_BORN,
        state: str = "open",
        note: str = "",
    ) -> RowKey:
        """A row that the department writes itself."""
        made: dict[str, Raw] = {"pid": self._draw(), "number": number, "name": name, "street": street}
        self.table.rows.append({**made, "born": born, "state": state, "note": note})
        return self.table.key_of(made)

    def change(self, key: RowKey, **values: Raw) -> None:
        """The department changes one of its rows."""
        row = self.table.at(key)
        assert row is not None
        row.update(values)

    def held(self) -> list[Mapping[str, Raw]]:
        """Every row of the table."""
        return list(self.table.rows)

    def be_complete(self, *, is_complete: bool) -> None:
        """The epoch's snapshot was read to its end, or was not."""
        self.memory.is_complete = is_complete

    def entries(self) -> Mapping[str, Entry]:
        """What the ledger says."""
        return self.memory.own.entries

    def reason(self, serial: int) -> Reason | None:
        """Why a record is listed, if it is."""
        listed = self.memory.own.listed.get(self.name(serial))
        return None if listed is None else listed.given.why.reason

    def due_names(self) -> set[str]:
        """The pseudonyms of records that are parked and to be tried again at once."""
        now, listed = self.memory.department.now_ms, self.memory.own.listed
        return {name for name, one in listed.items() if one.retry_at_ms is not None and one.retry_at_ms <= now}

    def links(self, serial: int) -> Sequence[RowKey]:
        """The rows that are a record's."""
        return sorted(key for key, (owner, _) in self.memory.own.links.items() if owner == self.name(serial))

    def count_writes(self) -> int:
        """How many rows were ever written to, by anybody."""
        return self.table.writes

    @contextmanager
    def hold(self, key: RowKey) -> Generator[None]:
        """Another transaction holds a row meanwhile."""
        self.table.locked.add(key)
        yield
        self.table.locked.discard(key)
