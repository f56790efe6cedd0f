"""A `SubscriberStore` over a table in memory: the same laws as on a database, and no disk.

Departments test their bindings with it, and tests of deciding play hundreds of schedules a second.
"""

import copy
import json
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from tellonce.declare.codec import Raw
from tellonce.model.divergence import Reason
from tellonce.model.incoming import Incoming
from tellonce.model.position import Header
from tellonce.storage.subscriber.decisions import Delete, Insert, Mark, Update, Why, Write
from tellonce.storage.subscriber.entries import Coverage, Entry, StreamRow
from tellonce.storage.subscriber.facts import Asked, Candidate, Claim, Found, Held, Known, Link, Rank, Row, RowKey
from tellonce.storage.subscriber.renewal import Renewal, Standing
from tellonce.storage.subscriber.store import Accept, Listed, Record, Written
from tellonce.storage.subscriber.view import BoundView
from tellonce.testing.repairs import MemoryDepartment
from tellonce.testing.table import MemoryTable, RefusedError, Values

__all__ = ["MemoryStore"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Listed:
    """A parked record with how often it was tried, since when, and when it is tried again."""

    given: Listed
    tried: int
    version: int
    since_ms: int
    retry_at_ms: int | None


@dataclass
class _Ledger:
    """Our own tables."""

    streams: dict[int, StreamRow] = field(default_factory=dict[int, StreamRow])
    entries: dict[str, Entry] = field(default_factory=dict[str, Entry])
    others: dict[str, str] = field(default_factory=dict[str, str])
    claims: dict[str, dict[str, Rank]] = field(default_factory=dict[str, dict[str, Rank]])
    links: dict[RowKey, tuple[str, Link]] = field(default_factory=dict[RowKey, tuple[str, Link]])
    listed: dict[str, _Listed] = field(default_factory=dict[str, _Listed])
    seen: dict[tuple[RowKey, str], tuple[int, int]] = field(default_factory=dict[tuple[RowKey, str], tuple[int, int]])
    cursors: dict[str, str] = field(default_factory=dict[str, str])
    coverage: Coverage = field(default_factory=Coverage)


class MemoryStore:
    """A `SubscriberStore` over a table in memory."""

    def __init__(
        self,
        view: BoundView,
        table: MemoryTable,
        department: MemoryDepartment | None = None,
        *,
        is_complete: bool = True,
    ) -> None:
        """`department` is whose view it is, where something is to be wanted again."""
        self.view = view
        self.department = department or MemoryDepartment()
        self.table = table
        self.own = _Ledger()
        """Our own tables."""
        self.is_complete = is_complete
        """Whether the epoch's snapshot was read to its end."""

    @contextmanager
    def transaction(self) -> Generator["_Transaction"]:
        """Begins a transaction; where its block raises, nothing of it is left."""
        before = copy.deepcopy(self.own), copy.deepcopy(self.table.rows), dict(self.department.wants)
        try:
            yield _Transaction(self)
        except BaseException:
            self.own, self.table.rows, self.department.wants = before
            raise

    @contextmanager
    def look(self) -> Generator["_Look"]:
        """Looks at the present state."""
        yield _Look(self)

    @contextmanager
    def ledger(self) -> Generator["_LedgerLook"]:
        """Looks at the present state of our own tables."""
        yield _LedgerLook(self)

    def stream(self, partition: int) -> StreamRow:
        """Gives a stream's row, made if it was never read."""
        with self.transaction() as transaction:
            return copy.deepcopy(transaction.lock_stream(partition))

    def stop(self, partition: int, sentence: str | None) -> None:
        """Keeps the sentence that says why a stream is stopped, or takes it away."""
        with self.transaction() as transaction:
            transaction.lock_stream(partition).stopped = sentence

    def row_of(self, values: Values) -> Row:
        """Gives a row of the table as facts have it."""
        mark = self.view.binding.mark
        return self.view.row(
            self.table.key_of(values),
            [values.get(column.column) for column in self.view.columns],
            is_open=self.table.is_open(values),
            is_marked=bool(mark) and all(values.get(name) == raw for name, raw in mark.items()),
        )


class _Transaction:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._view, self._table, self._ledger = store.view, store.table, store.own
        self._around: list[Row] = []
        """The rows that hold a number of a record asked about."""

    def clock_ms(self) -> int:
        return self._store.department.now_ms

    def lock_stream(self, partition: int) -> StreamRow:
        return self._ledger.streams.setdefault(partition, StreamRow.never_read(self._view.name, partition))

    def save_stream(self, stream: StreamRow) -> None:
        self._ledger.streams[stream.partition] = stream

    def entries(self, pseudonyms: Sequence[str]) -> Mapping[str, Entry]:
        return {name: self._ledger.entries[name] for name in pseudonyms if name in self._ledger.entries}

    def wanted(self, pseudonyms: Sequence[str]) -> frozenset[str]:
        wants = self._store.department.wants
        return frozenset(name for name in pseudonyms if (self._view.name, name) in wants)

    def came(self, pseudonyms: Collection[str]) -> None:
        for name in pseudonyms:
            self._store.department.wants.pop((self._view.name, name), None)

    def coverage(self) -> Coverage:
        return self._ledger.coverage

    def save_coverage(self, coverage: Coverage) -> None:
        self._ledger.coverage = coverage

    def standings(self, pseudonyms: Sequence[str]) -> Mapping[str, Standing]:
        entries, wanted = self.entries(pseudonyms), self.wanted(pseudonyms)
        return {name: Standing(entry=entries.get(name), is_wanted=name in wanted) for name in pseudonyms}

    def renew(self, renewals: Sequence[Renewal]) -> frozenset[str]:
        """Leaves all to deciding."""
        del renewals
        return frozenset()

    def claim(self, asked: Sequence[Asked]) -> None:
        for one in (each for each in asked if each.numbers):
            known = self._ledger.claims.setdefault(one.pseudonym, {})
            known.update({each: number.rank for each, number in one.numbers.items()})
            self._ledger.others[one.pseudonym] = one.others

    def know(self, asked: Sequence[Asked]) -> Mapping[str, Known]:
        numbers = {each for one in asked for each in one.numbers}
        self._around = [row for row in map(self._store.row_of, self._table.rows) if row.numbers & numbers]
        return {one.pseudonym: self._know(one) for one in asked}

    def _know(self, asked: Asked) -> Known:
        name = asked.pseudonym
        links = [self._with_rivals(name, link) for link in self.links_of(name)]
        has_row = any(link.row is not None and link.row.is_open for link in links)
        keys = [link.key for link in links if link.row is not None]
        candidates: list[Candidate] = []
        if asked.looks_around or not has_row:
            candidates = self._candidates(asked)
            keys += [candidate.row.key for candidate in candidates]
        return Known(
            entry=self._ledger.entries.get(name),
            links=links,
            candidates=candidates,
            claims=frozenset(self._ledger.claims.get(name, ())),
            is_wanted=bool(self.wanted([name])),
            is_locked=bool(set(keys) & self._table.locked),
            is_complete=self._store.is_complete,
        )

    def links_of(self, name: str) -> list[Link]:
        found: list[Link] = []
        for key, (owner, link) in sorted(self._ledger.links.items()):
            if owner == name:
                values = self._table.at(key)
                found.append(replace(link, row=None if values is None else self._store.row_of(values)))
        return found

    def _candidates(self, asked: Asked) -> list[Candidate]:
        found: list[Candidate] = []
        for values in self._table.rows:
            row = self._store.row_of(values)
            shared = row.numbers & asked.numbers.keys()
            if row.is_open and shared:
                owner = self._ledger.links.get(row.key, ("", None))[0]
                rivals = self._rivals(asked.pseudonym, row, shared)
                mine = owner in {"", asked.pseudonym}
                found.append(Candidate(row=row, owner=None if mine else owner, rivals=rivals))
        return found

    def _with_rivals(self, name: str, link: Link) -> Link:
        if link.row is None or self._view.others_hash(link.row.fields) == link.others:
            return link
        return replace(link, rivals=self._rivals(name, link.row, link.row.numbers))

    def _rivals(self, mine: str, row: Row, numbers: frozenset[str]) -> list[Claim]:
        ranks: dict[str, set[Rank]] = {}
        for name, claims in self._ledger.claims.items():
            if name != mine and (common := numbers & claims.keys()):
                ranks[name] = {claims[each] for each in common}
        return [self._claim(name, row, found) for name, found in ranks.items()]

    def _claim(self, name: str, claimed: Row, ranks: set[Rank]) -> Claim:
        in_force = {each for each, rank in self._ledger.claims.get(name, {}).items() if rank is Rank.IN_FORCE}
        return Claim(
            pseudonym=name,
            rank=Rank.IN_FORCE if Rank.IN_FORCE in ranks else Rank.EARLIER,
            has_own_row=any(
                row.is_open
                and bool(row.numbers & in_force)
                and row.key != claimed.key
                and self._ledger.links.get(row.key, (name,))[0] == name
                and (row.key in self._ledger.links or not self._fits_another(row, name))
                for row in (*self._around, *(link.row for link in self.links_of(name) if link.row is not None))
            ),
            others=self._ledger.others.get(name, ""),
        )

    def _fits_another(self, row: Row, name: str) -> bool:
        others, known = self._view.others_hash(row.fields), self._ledger
        fits = {
            each
            for each, claims in known.claims.items()
            if row.numbers & claims.keys() and known.others[each] == others
        }
        return bool(others) and bool(fits) and name not in fits

    def write(self, writes: Mapping[str, Write], accept: Accept) -> Mapping[str, Written | Why]:
        results: dict[str, Written | Why] = {}
        left = dict(writes)
        before = self._table.rows
        while left:
            self._table.rows = copy.deepcopy(before)
            refused, written = self._attempt(left, accept)
            results.update(refused)
            if not refused:
                results.update({name: Written(rows=rows) for name, rows in written.items()})
            # All that deviate are taken out together, and the rest is done once more.
            left = {name: write for name, write in left.items() if name not in refused} if refused else {}
        if not any(isinstance(result, Written) for result in results.values()):
            self._table.rows = before
        return results

    def _attempt(
        self, writes: Mapping[str, Write], accept: Accept
    ) -> tuple[dict[str, Why], Mapping[str, Sequence[Row]]]:
        refused: dict[str, Why] = {}
        touched: dict[str, list[dict[str, Raw] | None]] = {}
        for name, write in writes.items():
            try:
                touched[name] = self._carry_out(write)
            except RefusedError:
                refused[name] = Why(reason=Reason.REFUSED_BY_TABLE, detail="the table refused the row")
        doubled = [self._table.rows[number] for number in self._table.doubled()]
        written: dict[str, list[Row]] = {}
        for name, values in touched.items():
            if any(one is not None and any(one is other for other in doubled) for one in values):
                detail = "another row holds a value that must be unique"
                refused[name] = Why(reason=Reason.COLLISION, detail=detail)
                continue
            is_there = [one is not None and any(one is row for row in self._table.rows) for one in values]
            rows = [
                self._store.row_of(one) if one is not None and there else None
                for one, there in zip(values, is_there, strict=True)
            ]
            why = accept(name, rows)
            if why is not None:
                refused[name] = why
            written[name] = [row for row in rows if row is not None]
        return refused, written

    def _carry_out(self, write: Write) -> list[dict[str, Raw] | None]:
        table = self._table
        match write:
            case Insert(values=values):
                row = table.trigger(None, table.draw_key({**self._view.binding.defaults, **values}))
                if row is None:
                    return [None]
                table.rows.append(dict(row))
                table.writes += 1
                return [table.rows[-1]]
            case Update(changed=keys, values=values) | Mark(changed=keys, values=values):
                rows = [table.at(key) for key in keys]
                for row in rows:
                    if row is not None and (new := table.trigger(dict(row), {**row, **values})) is not None:
                        row.update(new)
                        table.writes += 1
                return list(rows)
            case Delete(rows=keys):
                rows = [table.at(key) for key in keys]
                for row in rows:
                    if row is not None and table.trigger(dict(row), None) is None:
                        table.rows = [each for each in table.rows if each is not row]
                        table.writes += 1
                return list(rows)

    def hasten(self, pseudonyms: Collection[str]) -> None:
        for name in self._ledger.listed.keys() & set(pseudonyms):
            self._ledger.listed[name] = replace(self._ledger.listed[name], retry_at_ms=self.clock_ms())

    def hasten_blocked(self) -> None:
        blocked = {Reason.COLLISION, Reason.LOCKED}
        self.hasten([name for name, listed in self._ledger.listed.items() if listed.given.why.reason in blocked])

    def save_entries(self, entries: Sequence[Entry]) -> None:
        self._ledger.entries |= {entry.pseudonym: entry for entry in entries}

    def unseen(self, pairs: Sequence[tuple[RowKey, Entry]]) -> frozenset[str]:
        now = {(key, one.pseudonym): (one.epoch, one.version) for key, one in pairs}
        news = {pair for pair, place in now.items() if self._ledger.seen.get(pair) != place}
        self._ledger.seen |= now
        return frozenset(name for _, name in news)

    def save_cursor(self, task: str, cursor: str, *, finished: bool) -> None:
        del finished
        self._ledger.cursors[task] = cursor

    def save(self, records: Mapping[str, Record]) -> None:
        for name, record in records.items():
            self._ledger.entries[name] = record.entry
            self._ledger.others[name] = record.others
            if record.claims is not None:
                self._ledger.claims[name] = dict(record.claims)
            if record.links is not None:
                kept = {key: pair for key, pair in self._ledger.links.items() if pair[0] != name}
                self._ledger.links = kept | {link.key: (name, replace(link, row=None)) for link in record.links}
            before = self._ledger.listed.pop(name, None)
            if record.listed is not None:
                self._ledger.listed[name] = self._list(record.entry, record.listed, before)

    def _list(self, entry: Entry, given: Listed, before: _Listed | None) -> _Listed:
        now = self.clock_ms()
        tried = before.tried if before else 0
        wait_ms = given.wait_ms(tried)
        return _Listed(
            given=given,
            tried=tried + 1,
            version=entry.version,
            since_ms=before.since_ms if before and before.version == entry.version else now,
            retry_at_ms=None if wait_ms is None else now + wait_ms,
        )


class _Look:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._ledger = store.own

    def cursor(self, task: str) -> str:
        return self._ledger.cursors.get(task, "")

    def held_after(self, partition: int, after: str, limit: int) -> Sequence[Held]:
        names = sorted(
            name for name, entry in self._ledger.entries.items() if name > after and entry.partition == partition
        )
        transaction = _Transaction(self._store)
        return [Held(entry=self._ledger.entries[name], links=transaction.links_of(name)) for name in names[:limit]]

    def rows_after(self, after: RowKey | None, limit: int) -> Sequence[Found]:
        rows = sorted(map(self._store.row_of, self._store.table.rows), key=lambda row: json.loads(row.key))
        behind = [row for row in rows if after is None or json.loads(row.key) > json.loads(after)]
        found: list[Found] = []
        for row in behind[:limit]:
            names = [name for name, claims in self._ledger.claims.items() if row.numbers & claims.keys()]
            owner = self._ledger.links.get(row.key, (None, None))[0]
            claimants = [self._ledger.entries[name] for name in sorted(names) if name in self._ledger.entries]
            found.append(Found(row=row, owner=owner, claimants=claimants))
        return found


class _LedgerLook:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._ledger = store.own

    def clock_ms(self) -> int:
        return self._store.department.now_ms

    def stream(self, partition: int) -> StreamRow | None:
        return copy.deepcopy(self._ledger.streams.get(partition))

    def entries_after(self, partition: int, after: str, limit: int) -> Sequence[Entry]:
        entries = sorted(self._ledger.entries.items())
        return [entry for name, entry in entries if name > after and entry.partition == partition][:limit]

    def parked_reasons(self) -> Mapping[str, Reason]:
        return {name: listed.given.why.reason for name, listed in self._ledger.listed.items()}

    def due(self, partitions: int, *, limit: int = 500) -> Mapping[int, Sequence[Incoming]]:
        del partitions
        listed, now = self._ledger.listed, self.clock_ms()
        due = {name for name, one in listed.items() if one.retry_at_ms is not None and one.retry_at_ms <= now}
        freed = {Reason.AWAITING_SNAPSHOT} if self._store.is_complete else set[Reason]()
        freed |= {Reason.COLLISION} & {listed[name].given.why.reason for name in due}
        waiting = [
            (one.since_ms if one.retry_at_ms is None else one.retry_at_ms, name)
            for name, one in listed.items()
            if name in due or one.given.why.reason in freed
        ]
        found: dict[int, list[Incoming]] = {}
        for _, name in sorted(waiting)[:limit]:
            entry, payload = self._ledger.entries[name], self._ledger.listed[name].given.payload
            header = Header(epoch=entry.epoch, sequence=entry.sequence, version=entry.version, settled=0, flagged=False)
            found.setdefault(entry.partition, []).append(Incoming(pseudonym=name, header=header, payload=payload))
        return found
