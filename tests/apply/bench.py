"""A bench for the laws of rows: one view bound to one small table, events in; rows and what is kept of them out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Literal

from tellonce import Binding, Column, candidate, current, existing, from_15_digits, mirror, previous, text
from tellonce.apply.batch import Offered, carry_out
from tellonce.avro.fields import FieldSpec, Kind, ViewSchema
from tellonce.declare import Raw
from tellonce.keyring import ViewKeys
from tellonce.model.change import ChangeEvent, Operation, Origin
from tellonce.model.digest import pseudonym_of
from tellonce.model.divergence import Reason, RecordState
from tellonce.model.position import Header
from tellonce.storage.subscriber.entries import Entry, StreamRow
from tellonce.storage.subscriber.facts import RowKey
from tellonce.storage.subscriber.view import BoundView
from tellonce.testing.department import MemoryStore, MemoryTable, RefusedError, Values

KEYS = ViewKeys(view="citizen.identity", digest=b"d" * 32, pseudonym=b"p" * 32)
SCHEMA = ViewSchema(
    view=KEYS.view,
    schema_id=1,
    fields=(
        FieldSpec("id_number", Kind.TEXT),
        FieldSpec("name", Kind.TEXT),
        FieldSpec("street", Kind.TEXT, nullable=True),
        FieldSpec("former_id_numbers", Kind.TEXT_LIST, match_only=True),
    ),
)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How the department holds its records, and what its table does.

    Of a row whose `note` says so, the table's trigger swallows every write (`frozen`), cuts the name that is written to
    three characters (`cut`), or refuses the write (`no`).
    """

    scope: Literal["mirror", "existing"] = "existing"
    rows: Literal["one", "many"] = "one"
    on_delete: Literal["keep", "mark", "delete"] = "delete"
    is_unique: bool = False

    def view(self) -> BoundView:
        """The view as the department binds it."""
        binding = Binding(
            view=KEYS.view,
            table="patient",
            key="pid",
            match=[current("id_number"), previous("id_number"), candidate("id_number", from_15_digits)],
            columns={
                "id_number": "number",
                "name": Column("name", text(max_chars=12)),
                "street": Column("street", text(max_chars=8), else_keep=True),
            },
            scope=mirror() if self.scope == "mirror" else existing(open="state <> 'closed'"),
            rows=self.rows,
            on_delete=self.on_delete,
            mark={"state": "closed"} if self.on_delete == "mark" else None,
            defaults={"note": ""} if self.scope == "mirror" else None,
        )
        return BoundView(schema=SCHEMA, keys=KEYS, binding=binding)


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


class Bench:
    """A store, its table, and events to be applied."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.pids = count(1)
        is_existing = shape.scope == "existing"
        self.table = MemoryTable(
            key=["pid"],
            unique=[["number"]] if shape.is_unique else (),
            is_open=(lambda row: row["state"] != "closed") if is_existing else (lambda _row: True),
            trigger=trigger,
            draw_key=lambda row: {"pid": next(self.pids), "state": "open", **row},
        )
        self.view = shape.view()
        self.store = MemoryStore(self.view, self.table)
        self.versions = count(1)

    def row(self, number: Raw, name: Raw = "Wang", street: Raw = None, state: str = "open", note: str = "") -> RowKey:
        """A row that the department writes itself."""
        made = {"pid": next(self.pids), "number": number, "name": name, "street": street, "state": state, "note": note}
        self.table.rows.append(made)
        return self.table.key_of(made)

    def set(self, key: RowKey, **values: Raw) -> None:
        """The department changes one of its rows."""
        row = self.table.at(key)
        assert row is not None
        row.update(values)

    def remove(self, key: RowKey) -> None:
        """The department deletes one of its rows."""
        self.table.rows = [row for row in self.table.rows if self.table.key_of(row) != key]

    def apply(self, *events: Offered, looks_around: bool = False, is_complete: bool = True) -> None:
        """Apply these newest events in one batch."""
        self.store.is_complete = is_complete
        with self.store.transaction() as transaction:
            stream = transaction.lock_stream(0)
            carry_out(transaction, self.view, stream, events, looks_around=looks_around)
            transaction.save_stream(stream)

    def event(self, serial: int, number: str, name: str = "Wang", street: str | None = None, *former: str) -> Offered:
        """The newest state of a record."""
        after = {"id_number": number, "name": name, "street": street, "former_id_numbers": tuple(former)}
        return self._offer(serial, Operation.UPDATE, after)

    def delete(self, serial: int) -> Offered:
        """A record's end."""
        return self._offer(serial, Operation.DELETE, None)

    def _offer(self, serial: int, op: Operation, after: Mapping[str, str | tuple[str, ...] | None] | None) -> Offered:
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
        return Offered(pseudonym=name, header=header, payload=b"", event=event)

    def name(self, serial: int) -> str:
        """A record's pseudonym."""
        return pseudonym_of(KEYS.pseudonym, str(serial))

    def rows(self, *columns: str) -> list[tuple[Raw, ...]]:
        """What the table holds, in these columns."""
        return sorted((tuple(row[name] for name in columns) for row in self.table.rows), key=str)

    def names(self) -> dict[Raw, Raw]:
        """The name in each row, by its number."""
        return {row["number"]: row["name"] for row in self.table.rows}

    def entry(self, serial: int) -> Entry:
        """What the ledger says of a record."""
        return self.store.ledger.entries[self.name(serial)]

    def state(self, serial: int) -> RecordState:
        """How a record stands."""
        return self.entry(serial).state

    def is_equal(self, serial: int) -> bool:
        """Whether the ledger says that the department holds what the authority does."""
        entry = self.entry(serial)
        return entry.digest is not None and entry.digest == entry.event_digest

    def reason(self, serial: int) -> Reason | None:
        """Why a record is listed, if it is."""
        listed = self.store.ledger.listed.get(self.name(serial))
        return None if listed is None else listed.why.reason

    def links(self, serial: int) -> Sequence[RowKey]:
        """The rows that are a record's."""
        return sorted(key for key, (owner, _) in self.store.ledger.links.items() if owner == self.name(serial))

    def stream(self) -> StreamRow:
        """The stream's sum and counts."""
        return self.store.ledger.streams[0]
