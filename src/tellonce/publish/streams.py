"""The streams of an authority: epoch, sequence, sum and count of each partition of each view it publishes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from tellonce.avro.catalogue import Catalogue
from tellonce.keyring import ViewKeys
from tellonce.model.digest import MODULUS, from_hex, pseudonym_of, to_hex
from tellonce.model.divergence import RecordState
from tellonce.model.seal import StreamSeal
from tellonce.storage.database import clock_ms
from tellonce.storage.statements import by_name, select_by_keys, upsert
from tellonce.storage.tables import own_tables
from tellonce.topology import View

__all__ = [
    "Published",
    "PublishedView",
    "Stream",
    "StreamId",
    "begin_epoch",
    "load_published",
    "load_streams",
    "published_views",
    "save_published",
    "save_streams",
]

StreamId = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedView:
    """A view as its authority publishes it: the contract, the schema's fields that count, and the keys.

    `record_key` names the columns that make the authority's own key.
    """

    view: View
    keys: ViewKeys
    digest_fields: tuple[str, ...]
    record_key: tuple[str, ...]

    @property
    def name(self) -> str:
        """The view's full name."""
        return self.view.name

    def seals(self) -> dict[StreamId, StreamSeal]:
        """What seals the messages of each of its streams."""
        partitions = range(self.view.partitions)
        return {(self.name, number): StreamSeal(self.keys.digest, self.name, number) for number in partitions}

    def settings(self) -> str:
        """What a stream's events and sums depend on, keys as fingerprints; a change of it needs a new epoch."""
        return json.dumps(self._facts(), sort_keys=True)

    def _facts(self) -> dict[str, object]:
        return {
            "format": 2,
            "partitions": self.view.partitions,
            "buckets": self.view.buckets,
            "fields": list(self.digest_fields),
            "digest_key": pseudonym_of(self.keys.digest, "fingerprint"),
            "pseudonym_key": pseudonym_of(self.keys.pseudonym, "fingerprint"),
            "record_key": list(self.record_key),
        }

    def changed_settings(self, stream: "Stream") -> tuple[str, ...]:
        """Gives what is not any more as it was when the stream's epoch began."""
        facts, begun = self._facts(), json.loads(stream.settings)
        # An earlier release did not keep these two.
        known = {"pseudonym_key": facts["pseudonym_key"], "record_key": facts["record_key"]} | begun
        return tuple(name for name, value in facts.items() if known.get(name) != value)


@dataclass(slots=True, kw_only=True)
class Stream:
    """The present state of one stream, changed by staging and written back in the same transaction."""

    view: str
    partition: int
    epoch: int
    staged_sequence: int
    confirmed_sequence: int
    complete: bool
    sum: int
    count: int
    settings: str
    stopped: str | None
    mark_sequence: int | None
    mark_sum: str | None
    mark_count: int | None

    @property
    def stream_id(self) -> StreamId:
        """View and partition."""
        return self.view, self.partition

    def move(self, removed: int | None, added: int | None) -> None:
        """Takes one record's old element out of the sum and puts its new one in; either may be absent."""
        if removed is not None:
            self.sum = (self.sum - removed) % MODULUS
            self.count -= 1
        if added is not None:
            self.sum = (self.sum + added) % MODULUS
            self.count += 1


@dataclass(slots=True, kw_only=True)
class Published:
    """What the authority's ledger says of one record in one view."""

    record_key: str
    pseudonym: str
    partition: int
    epoch: int
    version: int
    content: str
    """A keyed hash of everything that was published of it, match-only fields too; "" where an earlier release did."""
    sequence: int
    digest: str | None
    state: str

    @classmethod
    def from_row(cls, row: Row[*tuple[object, ...]]) -> "Published":
        """Gives the ledger's entry that a row of the table `published` holds."""
        return cls(**{name: by_name(row)[name] for name in cls.__slots__})


def load_published(
    connection: Connection, view: str, record_keys: Sequence[str], *, by_pseudonym: bool = False
) -> dict[str, Published]:
    """Gives the ledger's entries of the records that it knows, by record key (or found, and given, by pseudonym)."""
    table = own_tables(connection.dialect.name).published
    column = table.c.pseudonym if by_pseudonym else table.c.record_key
    rows = select_by_keys(connection, select(table).where(table.c.view == view), column, record_keys)
    entries = map(Published.from_row, rows)
    return {entry.pseudonym if by_pseudonym else entry.record_key: entry for entry in entries}


def save_published(connection: Connection, view: str, entries: Sequence[Published]) -> None:
    """Writes entries of the ledger."""
    table = own_tables(connection.dialect.name).published
    names = Published.__slots__
    fresh = {"view": view, "tombstone": False, "buried_at_ms": None}
    rows = [{**fresh, **{name: getattr(entry, name) for name in names}} for entry in entries]
    upsert(connection, table, rows)


def _stream(row: Row[*tuple[object, ...]]) -> Stream:
    known = by_name(row)
    facts = {name: known[name] for name in Stream.__slots__ if name != "sum"}
    return Stream(sum=from_hex(str(known["sum"])), **facts)


def load_streams(connection: Connection, views: Sequence[str], *, lock: bool) -> dict[StreamId, Stream]:
    """Gives the streams of the views by view and partition; with `lock` nobody else changes them meanwhile."""
    table = own_tables(connection.dialect.name).stream
    statement = select(table).where(table.c.view.in_(views)).order_by(table.c.view, table.c.partition)
    rows = connection.execute(statement.with_for_update() if lock else statement)
    return {stream.stream_id: stream for stream in map(_stream, rows)}


def save_streams(connection: Connection, streams: Sequence[Stream]) -> None:
    """Writes back what staging changed of the streams."""
    table = own_tables(connection.dialect.name).stream
    for stream in streams:
        connection.execute(
            update(table)
            .where(table.c.view == stream.view, table.c.partition == stream.partition)
            .values(
                staged_sequence=stream.staged_sequence,
                complete=stream.complete,
                sum=to_hex(stream.sum),
                count=stream.count,
            )
        )


def begin_epoch(connection: Connection, record_type: str, views: Sequence[PublishedView], reason: str) -> int:
    """Begins a new epoch for every stream of a record type, and gives its number.

    The relay then publishes every record again; until it is through, no mark is made and the departments are unknown.
    What was staged and not confirmed is dropped, since its records are published again anyway.
    The number is above every epoch this database remembers and above the clock's seconds, so that an authority that
    was restored from a backup cannot give an epoch that it gave before.
    """
    own = own_tables(connection.dialect.name)
    names = [view.name for view in views]
    now = clock_ms(connection)
    newest = connection.execute(select(func.max(own.stream.c.epoch)).where(own.stream.c.view.in_(names))).scalar() or 0
    epoch = max(int(newest) + 1, now // 1000)
    _recall_unsent_deletes(connection, names)
    connection.execute(delete(own.staged).where(own.staged.c.view.in_(names)))
    connection.execute(delete(own.stream).where(own.stream.c.view.in_(names)))
    connection.execute(
        insert(own.stream), [_first(view, p, epoch) for view in views for p in range(view.view.partitions)]
    )
    connection.execute(delete(own.snapshot).where(own.snapshot.c.record_type == record_type))
    connection.execute(
        insert(own.snapshot).values(
            record_type=record_type,
            epoch=epoch,
            reason=reason,
            records=0,
            read_to_end=False,
            complete=False,
            started_at_ms=now,
        )
    )
    return epoch


def _recall_unsent_deletes(connection: Connection, views: Sequence[str]) -> None:
    """Lets the sweep publish unconfirmed deletes again: a snapshot reads only rows that are there.

    To the sweep such a record is one that the ledger believes there, in a form that no row has.
    """
    own = own_tables(connection.dialect.name)
    published, staged = own.published, own.staged
    unsent = select(staged.c.record_key).where(staged.c.view == published.c.view, staged.c.record_key.is_not(None))
    connection.execute(
        update(published)
        .where(
            published.c.view.in_(views),
            published.c.state == RecordState.DELETED,
            published.c.record_key.in_(unsent),
        )
        .values(state=RecordState.LIVE, digest=to_hex(0))
    )


def _first(view: PublishedView, partition: int, epoch: int) -> Mapping[str, object]:
    return {
        "view": view.name,
        "partition": partition,
        "epoch": epoch,
        "staged_sequence": 0,
        "confirmed_sequence": 0,
        "complete": False,
        "sum": to_hex(0),
        "count": 0,
        "settings": view.settings(),
    }


def published_views(
    topology_views: Sequence[View],
    catalogue: Catalogue,
    keys: Mapping[str, ViewKeys],
    record_keys: Mapping[str, tuple[str, ...]],
) -> tuple[PublishedView, ...]:
    """Gives the views of an authority, ready to publish; `record_keys` are the key's columns by record type."""
    return tuple(
        PublishedView(
            view=view,
            keys=keys[view.name],
            digest_fields=catalogue.view_schema(view.name).digest_fields,
            record_key=record_keys.get(view.record_type, ()),
        )
        for view in topology_views
    )
