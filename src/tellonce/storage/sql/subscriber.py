"""A `SubscriberStore` over a database: our own tables, the department's rows, and the guard around both."""

from collections import defaultdict
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from tellonce.model.errors import RetryableError
from tellonce.storage.database import clock_ms, reading, sqlstate_of, writing
from tellonce.storage.ledger import Ledger
from tellonce.storage.progress import load_cursor, save_cursor
from tellonce.storage.sql.bound import BoundTable
from tellonce.storage.sql.guard import guarded_write
from tellonce.storage.sql.rows import TableRows
from tellonce.storage.subscriber.decisions import Why, Write
from tellonce.storage.subscriber.entries import Coverage, Entry, StreamRow
from tellonce.storage.subscriber.facts import Asked, Candidate, Claim, Found, Held, Known, Link, Rank, Row, RowKey
from tellonce.storage.subscriber.renewal import Renewal, Standing
from tellonce.storage.subscriber.store import Accept, LedgerLook, Look, Record, Transaction, Written
from tellonce.storage.subscriber.view import BoundView

__all__ = ["SqlStore"]

_LOCK_TIMEOUT_MS = 500
"""Shorter than PostgreSQL's deadlock_timeout: where the service and a clerk wait for each other, the service yields."""

_LOCK_NOT_AVAILABLE = "55P03"


class SqlStore:
    """One view's store, over the department's table."""

    def __init__(self, engine: Engine, view: str, partitions: int, table: BoundTable[Any]) -> None:
        self._engine = engine
        self._view = view
        self._partitions = partitions
        self._table = table

    @contextmanager
    def transaction(self) -> Generator[Transaction]:
        """Begins a transaction, committed when its block ends well.

        Raises:
            RetryableError: the database is away, or the table is none that the view can be applied to.
        """
        with self._looked_at_anew(), writing(self._engine, lock_timeout_ms=_LOCK_TIMEOUT_MS) as connection:
            ledger = Ledger(connection, self._view)
            yield _SqlTransaction(connection, ledger, self._table.rows(connection), self._partitions, self._table.view)

    @contextmanager
    def look(self) -> Generator[Look]:
        """Looks at one unchanging state.

        Raises:
            RetryableError: the database is away, or the table is none that the view can be applied to.
        """
        with self._looked_at_anew(), reading(self._engine, lock_timeout_ms=_LOCK_TIMEOUT_MS) as connection:
            yield _SqlLook(connection, Ledger(connection, self._view), self._table.rows(connection))

    @contextmanager
    def ledger(self) -> Generator[LedgerLook]:
        """Looks at one unchanging state of our own tables.

        Raises:
            RetryableError: the database is away.
        """
        with reading(self._engine) as connection:
            yield Ledger(connection, self._view)

    def stream(self, partition: int) -> StreamRow:
        """Gives a stream's row when whoever is at it has finished, made if it was never read.

        Raises:
            RetryableError: the database is away.
        """
        with writing(self._engine) as connection:
            return Ledger(connection, self._view).lock_or_create_stream(partition)

    def stop(self, partition: int, sentence: str | None) -> None:
        """Keeps the sentence that says why a stream is stopped, or takes it away.

        Raises:
            RetryableError: the database is away.
        """
        with writing(self._engine) as connection:
            ledger = Ledger(connection, self._view)
            stream = ledger.lock_or_create_stream(partition)
            stream.stopped = sentence
            ledger.save_stream(stream)

    @contextmanager
    def _looked_at_anew(self) -> Generator[None]:
        """Makes of what no record is to blame for a pause, after which the table is looked at anew.

        So a table that is altered, or whose rights are taken away, between two statements ends no service.
        """
        try:
            yield
        except DBAPIError as error:
            self._table.forget()
            what = sqlstate_of(error) or getattr(error.orig, "sqlite_errorname", type(error.orig).__name__)
            mend = "`tellonce doctor` says whether table and rights are as the binding needs them"
            if what == _LOCK_NOT_AVAILABLE:
                mend = "another session holds it, as ALTER TABLE does, and it is tried again"
            msg = f"expected the database to take our statements on the table of {self._view}, found {what}; {mend}"
            raise RetryableError(msg, view=self._view) from error


class _SqlLook:
    def __init__(self, connection: Connection, ledger: Ledger, rows: TableRows) -> None:
        self._connection, self._ledger, self._rows = connection, ledger, rows

    def cursor(self, task: str) -> str:
        return load_cursor(self._connection, task) or ""

    def held_after(self, partition: int, after: str, limit: int) -> Sequence[Held]:
        entries = self._ledger.entries_after(partition, after, limit)
        links = self._ledger.links.links_of([entry.pseudonym for entry in entries])
        rows = self._rows.read({link.key for some in links.values() for link in some})
        return [
            Held(
                entry=entry,
                links=[replace(link, row=rows.get(link.key)) for link in links.get(entry.pseudonym, ())],
            )
            for entry in entries
        ]

    def rows_after(self, after: RowKey | None, limit: int) -> Sequence[Found]:
        rows = self._rows.read_after(after, limit)
        owners = self._ledger.links.linked_to([row.key for row in rows])
        claims: dict[str, set[str]] = defaultdict(set)
        for number, name, _, _ in self._ledger.links.claims_on(sorted({each for row in rows for each in row.numbers})):
            claims[number].add(name)
        entries = self._ledger.entries(sorted({name for names in claims.values() for name in names}))
        found: list[Found] = []
        for row in rows:
            names = sorted({name for number in row.numbers for name in claims.get(number, ())})
            claimants = [entries[name] for name in names if name in entries]
            found.append(Found(row=row, owner=owners.get(row.key), claimants=claimants))
        return found


class _SqlTransaction:
    def __init__(
        self, connection: Connection, ledger: Ledger, rows: TableRows, partitions: int, view: BoundView
    ) -> None:
        self._view = view
        self._connection = connection
        self._ledger = ledger
        self._rows = rows
        self._partitions = partitions

    def clock_ms(self) -> int:
        return clock_ms(self._connection)

    def lock_stream(self, partition: int) -> StreamRow:
        return self._ledger.lock_or_create_stream(partition)

    def save_stream(self, stream: StreamRow) -> None:
        self._ledger.save_stream(stream)

    def entries(self, pseudonyms: Sequence[str]) -> Mapping[str, Entry]:
        return self._ledger.entries(pseudonyms)

    def wanted(self, pseudonyms: Sequence[str]) -> frozenset[str]:
        return self._ledger.wanted(pseudonyms)

    def came(self, pseudonyms: Collection[str]) -> None:
        self._ledger.came(pseudonyms)

    def coverage(self) -> Coverage:
        tasks = (f"{kind}:{self._ledger.view}" for kind in ("unlinked", "unreadable"))
        unlinked, unreadable = (int(load_cursor(self._connection, task) or 0) for task in tasks)
        return Coverage(unlinked_rows=unlinked, unreadable_rows=unreadable)

    def save_coverage(self, coverage: Coverage) -> None:
        counts = {"unlinked": coverage.unlinked_rows, "unreadable": coverage.unreadable_rows}
        for kind, count in counts.items():
            save_cursor(self._connection, f"{kind}:{self._ledger.view}", str(count), finished=True)

    def standings(self, pseudonyms: Sequence[str]) -> Mapping[str, Standing]:
        return self._ledger.standings(pseudonyms)

    def renew(self, renewals: Sequence[Renewal]) -> frozenset[str]:
        done = self._rows.renew(renewals)
        if done:
            self._ledger.renew(done)
        return frozenset(one.entry.pseudonym for one in done)

    def claim(self, asked: Sequence[Asked]) -> None:
        self._ledger.links.add_claims(asked)

    def know(self, asked: Sequence[Asked]) -> Mapping[str, Known]:
        names = [one.pseudonym for one in asked]
        entries, claims = self._ledger.entries(names), self._ledger.links.claims_of(names)
        wanted, is_complete = self._ledger.wanted(names), self._ledger.is_complete(self._partitions)
        links, locked = self._linked(names)
        searching = [
            one
            for one in asked
            if one.looks_around or not any(link.row and link.row.is_open for link in links.get(one.pseudonym, ()))
        ]
        candidates, held = self._candidates(searching)
        return {
            name: Known(
                entry=entries.get(name),
                links=links.get(name, ()),
                candidates=candidates.get(name, ()),
                claims=frozenset(claims.get(name, ())),
                is_wanted=name in wanted,
                is_locked=bool(locked & {link.key for link in links.get(name, ())})
                or bool(held & {each.row.key for each in candidates.get(name, ())}),
                is_complete=is_complete,
            )
            for name in names
        }

    def _linked(self, names: Sequence[str]) -> tuple[dict[str, list[Link]], frozenset[RowKey]]:
        """Gives the records' links with their rows, and the rows that another transaction holds."""
        links = self._ledger.links.links_of(names)
        keys = {link.key for some in links.values() for link in some}
        mine = self._rows.lock(keys)
        rows = self._rows.read(keys)
        found = {name: [replace(link, row=rows.get(link.key)) for link in some] for name, some in links.items()}
        return self._with_rivals(found), frozenset(rows.keys() - mine)

    def _with_rivals(self, links: Mapping[str, list[Link]]) -> dict[str, list[Link]]:
        """Gives the links with who else answers to their rows' numbers, where a row's other fields were changed."""
        changed = {
            link.key: link.row
            for some in links.values()
            for link in some
            if link.row is not None and self._view.others_hash(link.row.fields) != link.others
        }
        if not changed:
            return dict(links)
        rivals = self._rivals({number for row in changed.values() for number in row.numbers}, changed)

        def with_rivals(name: str, link: Link) -> Link:
            if link.row is None or link.key not in changed:
                return link
            names = sorted(rivals.on(link.row.numbers) - {name})
            return replace(link, rivals=[rivals.claim(each, link.row) for each in names])

        return {name: [with_rivals(name, link) for link in some] for name, some in links.items()}

    def _candidates(self, asked: Sequence[Asked]) -> tuple[dict[str, list[Candidate]], frozenset[RowKey]]:
        numbers = {each: number for one in asked for each, number in one.numbers.items()}
        found = {row.key for row in self._rows.find(numbers.values()) if row.numbers & numbers.keys()}
        # What a look-up by value cannot find, in a spelling that nobody thinks of, a sweep has.
        found |= self._ledger.seen([one.pseudonym for one in asked if one.looks_around])
        mine = self._rows.lock(found)
        rows = self._rows.read(found)
        owners = self._ledger.links.linked_to(sorted(rows))
        by_number: dict[str, list[Row]] = defaultdict(list)
        # In the order of their keys: what is decided hangs on no order in which rows came back.
        for key in sorted(rows):
            for number in rows[key].numbers:
                by_number[number].append(rows[key])
        rivals = self._rivals(numbers.keys() & by_number.keys(), rows)
        candidates: dict[str, list[Candidate]] = {}
        for one in asked:
            name = one.pseudonym
            around = {row.key: row for each in one.numbers for row in by_number.get(each, ()) if row.is_open}
            candidates[name] = [
                Candidate(
                    row=row,
                    owner=None if owners.get(row.key, name) == name else owners[row.key],
                    rivals=[rivals.claim(other, row) for other in rivals.on(row.numbers & one.numbers.keys()) - {name}],
                )
                for row in around.values()
            ]
        return candidates, frozenset(rows.keys() - mine)

    def _rivals(self, numbers: set[str], around: Mapping[RowKey, Row]) -> "_Rivals":
        held = self._ledger.links.claims_on(sorted(numbers))
        names = sorted({name for _, name, _, _ in held})
        links = self._ledger.links.links_of(names)
        rows = self._rows.read({link.key for some in links.values() for link in some})
        owners = {link.key: name for name, some in links.items() for link in some}
        loose = [row for key, row in around.items() if key not in owners]
        own = {name: [rows[link.key] for link in links.get(name, ()) if link.key in rows] for name in names}
        others = {row.key: self._view.others_hash(row.fields) for row in loose}
        return _Rivals(held, self._ledger.links.claims_of(names), own, loose, others)

    def write(self, writes: Mapping[str, Write], accept: Accept) -> Mapping[str, Written | Why]:
        return guarded_write(self._connection, self._rows, writes, accept) if writes else {}

    def hasten(self, pseudonyms: Collection[str]) -> None:
        self._ledger.hasten(pseudonyms)

    def hasten_blocked(self) -> None:
        self._ledger.hasten_blocked()

    def save_entries(self, entries: Sequence[Entry]) -> None:
        self._ledger.save_entries(entries)

    def unseen(self, pairs: Sequence[tuple[RowKey, Entry]]) -> frozenset[str]:
        return self._ledger.unseen(pairs)

    def save_cursor(self, task: str, cursor: str, *, finished: bool) -> None:
        save_cursor(self._connection, task, cursor, finished=finished)

    def save(self, records: Mapping[str, Record]) -> None:
        self._ledger.save_records(records)
        self._ledger.save_listed(records)


class _Rivals:
    """Who answers to numbers, and what is known of each."""

    def __init__(
        self,
        held: Sequence[tuple[str, str, Rank, str]],
        claims: Mapping[str, Mapping[str, Rank]],
        own: Mapping[str, Sequence[Row]],
        loose: Sequence[Row],
        loose_others: Mapping[RowKey, str],
    ) -> None:
        """`own` are each one's rows, `loose` those of nobody, with the hashes of their other fields."""
        self._by_number: dict[str, dict[str, Rank]] = defaultdict(dict)
        self._others: dict[str, str] = {}
        for number, name, rank, others in held:
            self._by_number[number][name] = rank
            self._others[name] = others
        self._claims, self._own = claims, own
        self._loose, self._loose_others = loose, loose_others

    def on(self, numbers: frozenset[str]) -> set[str]:
        """Who answers to one of these."""
        return {name for number in numbers for name in self._by_number.get(number, ())}

    def claim(self, name: str, row: Row) -> Claim:
        """One's claim on a row."""
        ranks = {self._by_number[number].get(name) for number in row.numbers}
        in_force = {number for number, rank in self._claims.get(name, {}).items() if rank is Rank.IN_FORCE}
        loose = (one for one in self._loose if not self._fits_another(one, name))
        own = (one for one in (*self._own.get(name, ()), *loose) if one.key != row.key)
        return Claim(
            pseudonym=name,
            rank=Rank.IN_FORCE if Rank.IN_FORCE in ranks else Rank.EARLIER,
            has_own_row=any(one.is_open and bool(one.numbers & in_force) for one in own),
            others=self._others[name],
        )

    def _fits_another(self, row: Row, name: str) -> bool:
        """Tells whether a row of nobody has the other fields of somebody else who answers to it."""
        others = self._loose_others[row.key]
        return (
            bool(others)
            and others != self._others[name]
            and any(self._others[e] == others for e in self.on(row.numbers))
        )
