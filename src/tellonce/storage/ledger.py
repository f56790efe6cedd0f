"""The applied ledger of one department: what it holds of each record, by which rows, and what is parked.

The stream's sum and counts move with the entries, in the same transaction, under the lock of the position's row.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, delete, exists, func, or_, select, update

from tellonce.model.digest import from_hex, to_hex
from tellonce.model.divergence import Reason, RecordState
from tellonce.model.errors import InvariantError, RetryableError
from tellonce.model.incoming import Incoming
from tellonce.model.position import Header, Position, parse_ranges, render_ranges
from tellonce.storage.database import clock_ms
from tellonce.storage.links import Links
from tellonce.storage.statements import among, by_name, given_rows, insert_if_absent, select_by_keys, upsert
from tellonce.storage.subscriber.entries import COUNTED, OUTCOMES, Entry, StreamRow
from tellonce.storage.subscriber.facts import RowKey
from tellonce.storage.subscriber.renewal import Renewal, Standing
from tellonce.storage.subscriber.store import Record
from tellonce.storage.tables import own_tables

__all__ = ["Ledger"]


class Ledger:
    """The ledger of one view in one database, used inside a transaction of the caller's."""

    def __init__(self, connection: Connection, view: str) -> None:
        self._connection = connection
        self._view = view
        self._own = own_tables(connection.dialect.name)
        self.links = Links(connection, view)

    def clock_ms(self) -> int:
        """Gives the database's time in epoch milliseconds."""
        return clock_ms(self._connection)

    def stream(self, partition: int, *, lock: bool = False) -> StreamRow | None:
        """Gives a stream's row, with `lock` locked until the transaction ends; nothing if it was never read."""
        table = self._own.position
        statement = select(table).where(table.c.view == self._view, table.c.partition == partition)
        row = self._connection.execute(statement.with_for_update() if lock else statement).one_or_none()
        return None if row is None else _stream_row(row)

    def lock_or_create_stream(self, partition: int) -> StreamRow:
        """Gives a stream's row, locked; a stream that was never read begins at its first offset."""
        found = self.stream(partition, lock=True)
        if found is None:
            zeros = (
                "offset",
                "epoch",
                "complete_epoch",
                "highest",
                "wait_until",
                "count",
                *COUNTED,
                *(f"{o}_events" for o in OUTCOMES),
            )
            row: dict[str, object] = {str(name): 0 for name in zeros}
            row |= {"view": self._view, "partition": partition, "leader_epoch": -1, "missing": "", "sum": to_hex(0)}
            insert_if_absent(self._connection, self._own.position, [{**row, "attestable": False}])
            found = self.stream(partition, lock=True)
        if found is None:
            msg = f"expected a row for {self._view} partition {partition} just made, found none"
            raise InvariantError(msg, view=self._view, partition=partition)
        return found

    def save_stream(self, stream: StreamRow) -> None:
        """Writes a locked stream's row back."""
        table = self._own.position
        position = stream.position
        values: dict[str, object] = {
            "offset": position.offset,
            "leader_epoch": position.leader_epoch,
            "epoch": position.epoch,
            "highest": position.highest,
            "missing": render_ranges(position.missing),
            "wait_until": position.wait_until,
            "sum": to_hex(stream.sum),
            "count": stream.count,
            "complete_epoch": stream.complete_epoch,
            "attestable": stream.attestable,
            "attestation": stream.attestation,
            "stopped": stream.stopped,
        }
        values |= {str(state): count for state, count in stream.states.items()}
        values |= {f"{outcome}_events": count for outcome, count in stream.outcomes.items()}
        self._connection.execute(
            update(table).where(table.c.view == stream.view, table.c.partition == stream.partition).values(values)
        )

    def entries(self, pseudonyms: Sequence[str]) -> dict[str, Entry]:
        """Gives the entries of those records that the ledger knows."""
        table = self._own.applied
        statement = select(*_entry_columns(table)).where(table.c.view == self._view)
        found = select_by_keys(self._connection, statement, table.c.pseudonym, pseudonyms)
        return {entry.pseudonym: entry for entry in map(_entry, found)}

    def entries_after(self, partition: int, after: str, limit: int) -> list[Entry]:
        """Gives the next entries of a stream in the order of their pseudonyms."""
        table = self._own.applied
        statement = (
            select(*_entry_columns(table))
            .where(table.c.view == self._view, table.c.partition == partition, table.c.pseudonym > after)
            .order_by(table.c.pseudonym)
            .limit(limit)
        )
        return [_entry(row) for row in self._connection.execute(statement)]

    def parked_reasons(self) -> dict[str, Reason]:
        """Gives why records are parked, by record."""
        table = self._own.parked
        rows = self._connection.execute(select(table.c.pseudonym, table.c.reason).where(table.c.view == self._view))
        return {str(pseudonym): Reason.of(reason) for pseudonym, reason in rows}

    def due(self, partitions: int, *, limit: int = 500) -> dict[int, list[Incoming]]:
        """Gives the events, by partition, of parked records that are to be tried now.

        Those that waited for the end of the epoch's snapshot are due as soon as all `partitions` have passed it. Those
        that want a value of another row are due together: two of them may want each other's.
        """
        table = self._own.parked
        due = table.c.retry_at_ms <= clock_ms(self._connection)
        collided = (table.c.view == self._view) & (table.c.reason == Reason.COLLISION)
        when = or_(due, collided & exists(select(table.c.view).where(collided, due).correlate(None)))
        if self.is_complete(partitions):
            when = or_(when, table.c.reason == Reason.AWAITING_SNAPSHOT)
        # Whoever has waited longest comes first, so that nobody starves behind many that fail again and again.
        since = func.coalesce(table.c.retry_at_ms, table.c.parked_at_ms)
        statement = (
            select(table).where(table.c.view == self._view, when).order_by(since, table.c.pseudonym).limit(limit)
        )
        rows = self._connection.execute(statement)
        found: dict[int, list[Incoming]] = {}
        for row in rows:
            header = Header(epoch=row.epoch, sequence=row.sequence, version=row.version, settled=0, flagged=False)
            incoming = Incoming(pseudonym=row.pseudonym, header=header, payload=bytes(row.payload))
            found.setdefault(int(row.partition), []).append(incoming)
        return found

    def save_entries(self, entries: Sequence[Entry]) -> None:
        """Writes entries."""
        upsert(self._connection, self._own.applied, [self._row(entry) for entry in entries])

    def _row(self, entry: Entry) -> dict[str, object]:
        return {"view": self._view, **{name: getattr(entry, name) for name in Entry.__slots__}}

    def save_records(self, records: Mapping[str, Record]) -> None:
        """Keeps entries, links and claims of records as they are now."""
        self.links.save(records)
        plain = self.links.plain_of(records)
        rows = [
            {**self._row(record.entry), "others": record.others, "plain": plain.get(name)}
            for name, record in records.items()
        ]
        upsert(self._connection, self._own.applied, rows)

    def standings(self, pseudonyms: Sequence[str]) -> dict[str, Standing]:
        """Gives what the ledger says of each of these records, known or not."""
        table, wanted = self._own.applied, self.wanted(pseudonyms)
        found = {name: Standing(is_wanted=name in wanted) for name in pseudonyms}
        statement = select(*_entry_columns(table), table.c.plain).where(table.c.view == self._view)
        for row in select_by_keys(self._connection, statement, table.c.pseudonym, pseudonyms):
            entry = _entry(row)
            answers, _, key = str(row[-1] or "").partition(" ")
            found[entry.pseudonym] = Standing(
                entry=entry, answers=answers, row=key or None, is_wanted=entry.pseudonym in wanted
            )
        return found

    def renew(self, renewals: Sequence[Renewal]) -> None:
        """Keeps the entries of plain records that stay so, and what their other fields are now.

        Raises:
            RetryableError: one of them is plain no longer, since another process came between.
        """
        table = self._own.applied
        names = [name for name in Entry.__slots__ if name != "row_digest"]
        columns = {name: [getattr(one.entry, name) for one in renewals] for name in names}
        columns["others"] = [one.others for one in renewals]
        # What all of them have, as stream, epoch, state and time, is sent once, and not as a column of its own.
        given = {name: some for name, some in columns.items() if name == "pseudonym" or some.count(some[0]) < len(some)}
        new = given_rows(self._connection, table, given)
        is_its = (table.c.view == self._view) & (table.c.pseudonym == new.c.pseudonym) & table.c.plain.is_not(None)
        values = {
            name: new.c[name] if name in given else some[0] for name, some in columns.items() if name != "pseudonym"
        }
        # Its row holds what the event says, so both digests are one.
        values["row_digest"] = values["event_digest"]
        done = self._connection.execute(update(table).where(is_its).values(values))
        if done.rowcount != len(renewals):
            msg = "another process decided about a record of this batch meanwhile; the batch is tried again"
            raise RetryableError(msg, view=self._view)

    def wanted(self, pseudonyms: Sequence[str]) -> frozenset[str]:
        """Gives those of these records that are to be published again for this department."""
        table = self._own.repair
        statement = select(table.c.pseudonym).where(table.c.view == self._view)
        return frozenset(
            str(name) for (name,) in select_by_keys(self._connection, statement, table.c.pseudonym, pseudonyms)
        )

    @property
    def view(self) -> str:
        """The view's full name."""
        return self._view

    def came(self, pseudonyms: Collection[str]) -> None:
        """Forgets that these records were wanted."""
        self._delete(self._own.repair, sorted(pseudonyms))

    def seen(self, pseudonyms: Collection[str]) -> frozenset[RowKey]:
        """Gives the rows that a sweep saw beside these records."""
        table = self._own.seen
        statement = select(table.c.row_key).where(table.c.view == self._view)
        found = select_by_keys(self._connection, statement, table.c.pseudonym, list(pseudonyms))
        return frozenset(str(key) for (key,) in found)

    def unseen(self, pairs: Sequence[tuple[RowKey, Entry]]) -> frozenset[str]:
        """Keeps that rows were seen beside records of these versions, and gives the records of which it is news."""
        table = self._own.seen
        statement = select(table.c.row_key, table.c.pseudonym, table.c.epoch, table.c.version)
        of_view = statement.where(table.c.view == self._view)
        keys = sorted({key for key, _ in pairs})
        known = {tuple(row) for row in select_by_keys(self._connection, of_view, table.c.row_key, keys)}
        news = [(key, one) for key, one in pairs if (key, one.pseudonym, one.epoch, one.version) not in known]
        rows = [
            {"view": self._view, "row_key": key, "pseudonym": one.pseudonym, "epoch": one.epoch, "version": one.version}
            for key, one in news
        ]
        upsert(self._connection, table, rows)
        return frozenset(one.pseudonym for _, one in news)

    def hasten_blocked(self) -> None:
        """Makes records due at once that collided or met a lock here, or wait in any view for another's row."""
        table = self._own.parked
        here = (table.c.view == self._view) & table.c.reason.in_((Reason.COLLISION, Reason.LOCKED))
        blocked = or_(here, table.c.reason == Reason.MISSING_REFERENCE)
        self._connection.execute(update(table).where(blocked).values(retry_at_ms=clock_ms(self._connection)))

    def hasten(self, pseudonyms: Collection[str]) -> None:
        """Makes those of these records that are parked due at once."""
        if pseudonyms:
            table = self._own.parked
            mine = among(self._connection, table.c.pseudonym, pseudonyms)
            now = clock_ms(self._connection)
            self._connection.execute(update(table).where(table.c.view == self._view, mine).values(retry_at_ms=now))

    def save_listed(self, records: Mapping[str, Record]) -> None:
        """Lists those records that are parked, and takes the others off the list."""
        table = self._own.parked
        statement = select(table.c.pseudonym, table.c.version, table.c.attempts, table.c.parked_at_ms)
        of_view = statement.where(table.c.view == self._view)
        before = {
            str(name): (version, int(str(attempts)), at_ms)
            for name, version, attempts, at_ms in select_by_keys(
                self._connection, of_view, table.c.pseudonym, list(records)
            )
        }
        self._delete(table, [name for name, record in records.items() if record.listed is None and name in before])
        now = clock_ms(self._connection)
        rows: list[dict[str, object]] = []
        for name, record in records.items():
            if record.listed is None:
                continue
            entry, listed = record.entry, record.listed
            version, tried, since = before.get(name, (entry.version, 0, now))
            wait_ms = listed.wait_ms(tried)
            rows.append(
                {
                    "view": self._view,
                    "pseudonym": name,
                    "partition": entry.partition,
                    "reason": listed.why.reason,
                    "detail": listed.why.detail,
                    "epoch": entry.epoch,
                    "version": entry.version,
                    "sequence": entry.sequence,
                    "payload": listed.payload,
                    "attempts": tried + 1,
                    "parked_at_ms": since if version == entry.version else now,
                    "retry_at_ms": None if wait_ms is None else now + wait_ms,
                }
            )
        upsert(self._connection, table, rows)

    def is_complete(self, partitions: int) -> bool:
        """Tells whether the end of the present epoch's snapshot was passed in every stream of the view.

        A partition that somebody added to the topic is none of its streams.
        """
        table = self._own.position
        rows = self._connection.execute(
            select(table.c.epoch, table.c.complete_epoch).where(
                table.c.view == self._view, table.c.partition < partitions
            )
        ).all()
        return len(rows) >= partitions and all(0 < epoch == complete for epoch, complete in rows)

    def _delete(self, table: Table, pseudonyms: Sequence[str]) -> None:
        if pseudonyms:
            mine = among(self._connection, table.c.pseudonym, pseudonyms)
            self._connection.execute(delete(table).where(table.c.view == self._view, mine))


def _entry_columns(table: Table) -> list[ColumnElement[Any]]:
    return [table.c[name] for name in Entry.__slots__]


def _entry(row: Row[*tuple[Any, ...]]) -> Entry:
    """Gives the entry of a row that begins with `_entry_columns`."""
    known = dict(zip(Entry.__slots__, row, strict=False))
    known["state"] = RecordState(known["state"])
    return Entry(**known)


def _stream_row(row: Row[*tuple[object, ...]]) -> StreamRow:
    known = by_name(row)
    return StreamRow(
        view=known["view"],
        partition=known["partition"],
        position=Position(
            offset=known["offset"],
            leader_epoch=known["leader_epoch"],
            epoch=known["epoch"],
            highest=known["highest"],
            missing=parse_ranges(known["missing"]),
            wait_until=known["wait_until"],
        ),
        complete_epoch=known["complete_epoch"],
        sum=from_hex(known["sum"]),
        count=known["count"],
        states={state: known[str(state)] for state in COUNTED},
        outcomes={outcome: known[f"{outcome}_events"] for outcome in OUTCOMES},
        attestable=bool(known["attestable"]),
        attestation=known["attestation"],
        stopped=known["stopped"],
    )
