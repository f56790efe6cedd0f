"""Whose rows are whose, and who answers to which number: two tables of our own at a department.

Most records are *plain*: held by one row, with numbers that nobody else answers to. Their entry in the ledger says so
in one text, and keeps the hash of their other fields, so that renewing them touches no other table of ours. The hash
in their links and claims is out of date meanwhile. It is brought up to date, and the record is plain no longer, before
anything but its renewal is decided.
"""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Connection, Table, delete, select, update

from tellonce.model.divergence import RecordState
from tellonce.storage.statements import among, by_name, given_rows, select_by_keys, upsert
from tellonce.storage.subscriber.facts import Asked, Link, Rank, RowKey
from tellonce.storage.subscriber.renewal import Plain
from tellonce.storage.subscriber.store import Record
from tellonce.storage.tables import own_tables

__all__ = ["Links"]


class Links:
    """The links and claims of one view in one database, used inside a transaction of the caller's."""

    def __init__(self, connection: Connection, view: str) -> None:
        self._connection = connection
        self._view = view
        self._own = own_tables(connection.dialect.name)

    def linked_to(self, row_keys: Sequence[RowKey]) -> dict[RowKey, str]:
        """Gives the records that rows are linked to, by row."""
        table = self._own.linked_row
        statement = select(table.c.row_key, table.c.pseudonym).where(table.c.view == self._view)
        rows = select_by_keys(self._connection, statement, table.c.row_key, row_keys)
        return {str(row_key): str(pseudonym) for row_key, pseudonym in rows}

    def links_of(self, pseudonyms: Collection[str]) -> dict[str, list[Link]]:
        """Gives the links of records, without the rows themselves; of plain ones the hash of other fields is old."""
        table = self._own.linked_row
        found: dict[str, list[Link]] = {}
        statement = select(table).where(table.c.view == self._view)
        # In the order of their keys: what is decided hangs on no order in which rows came back.
        in_order = statement.order_by(table.c.row_key)
        for row in select_by_keys(self._connection, in_order, table.c.pseudonym, list(pseudonyms)):
            known = by_name(row)
            link = Link(
                key=known["row_key"],
                number=known["number"],
                others=known["others"],
                by_person=bool(known["by_person"]),
                is_ended=bool(known["is_ended"]),
            )
            found.setdefault(known["pseudonym"], []).append(link)
        return found

    def claims_of(self, pseudonyms: Collection[str]) -> dict[str, dict[str, Rank]]:
        """Gives the numbers that records answer to, by hash."""
        table = self._own.claim
        statement = select(table.c.pseudonym, table.c.hash, table.c.rank).where(table.c.view == self._view)
        found: dict[str, dict[str, Rank]] = {}
        for name, number, rank in select_by_keys(self._connection, statement, table.c.pseudonym, list(pseudonyms)):
            found.setdefault(str(name), {})[str(number)] = Rank(str(rank))
        return found

    def claims_on(self, numbers: Collection[str]) -> list[tuple[str, str, Rank, str]]:
        """Gives who answers to numbers: hash, record, rank, and the hash of the record's other fields."""
        claim = self._own.claim
        columns = (claim.c.hash, claim.c.pseudonym, claim.c.rank, claim.c.others)
        statement = select(*columns).where(claim.c.view == self._view)
        rows = list(select_by_keys(self._connection, statement, claim.c.hash, list(numbers)))
        plain = self._others_of_plain({str(name) for _, name, _, _ in rows})
        return [
            (str(number), str(name), Rank(str(rank)), plain.get(str(name), str(others)))
            for number, name, rank, others in rows
        ]

    def add_claims(self, asked: Sequence[Asked]) -> None:
        """Keeps which numbers records answer to beside those that are kept already; these are decided about now."""
        claimants = self._claimants({number for one in asked for number in one.numbers}).values()
        self._be_plain_no_longer({one.pseudonym for one in asked}.union(*claimants))
        rows = [
            {"view": self._view, "hash": number, "pseudonym": one.pseudonym, "rank": each.rank, "others": one.others}
            for one in asked
            for number, each in one.numbers.items()
        ]
        upsert(self._connection, self._own.claim, rows)
        # A record has its other fields once, whatever it answered to before.
        self._set_others(self._own.claim, {one.pseudonym: one.others for one in asked if one.numbers})

    def save(self, records: Mapping[str, Record]) -> None:
        """Keeps links and claims of records as they are now."""
        linked = {name: one.links for name, one in records.items() if one.links is not None}
        self._delete(self._own.linked_row, list(linked))
        links = [
            {
                "view": self._view,
                "row_key": link.key,
                "pseudonym": name,
                "number": link.number,
                "others": link.others,
                "by_person": link.by_person,
                "is_ended": link.is_ended,
            }
            for name, some in linked.items()
            for link in some
        ]
        upsert(self._connection, self._own.linked_row, links)
        claimed = {name: one.claims for name, one in records.items() if one.claims is not None}
        self._delete(self._own.claim, list(claimed))
        claims = [
            {"view": self._view, "hash": number, "pseudonym": name, "rank": rank, "others": records[name].others}
            for name, some in claimed.items()
            for number, rank in some.items()
        ]
        upsert(self._connection, self._own.claim, claims)

    def plain_of(self, records: Mapping[str, Record]) -> Mapping[str, str]:
        """Gives the texts of those of these saved records that are plain."""
        found = {name: plain for name, record in records.items() if (plain := _plain_of(record)) is not None}
        names_of = self._claimants({number for plain in found.values() for number in plain.claims})
        return {
            name: plain.text()
            for name, plain in found.items()
            if all(names_of.get(number, {name}) == {name} for number in plain.claims)
        }

    def _claimants(self, numbers: Collection[str]) -> Mapping[str, set[str]]:
        """Gives who answers to each of these numbers."""
        table = self._own.claim
        statement = select(table.c.hash, table.c.pseudonym).where(table.c.view == self._view)
        found: dict[str, set[str]] = {}
        for number, name in select_by_keys(self._connection, statement, table.c.hash, sorted(numbers)):
            found.setdefault(str(number), set()).add(str(name))
        return found

    def _be_plain_no_longer(self, pseudonyms: Collection[str]) -> None:
        others, applied = self._others_of_plain(pseudonyms), self._own.applied
        if not others:
            return
        for table in (self._own.linked_row, self._own.claim):
            self._set_others(table, others)
        mine = among(self._connection, applied.c.pseudonym, list(others))
        self._connection.execute(update(applied).where(applied.c.view == self._view, mine).values(plain=None))

    def _set_others(self, table: Table, others: Mapping[str, str]) -> None:
        if others:
            columns = {"pseudonym": list(others), "others": list(others.values())}
            new = given_rows(self._connection, table, columns)
            is_its = (table.c.view == self._view) & (table.c.pseudonym == new.c.pseudonym)
            is_other = table.c.others != new.c.others
            self._connection.execute(update(table).where(is_its, is_other).values(others=new.c.others))

    def _others_of_plain(self, pseudonyms: Collection[str]) -> Mapping[str, str]:
        """Gives the hash of the other fields of those of these records that are plain."""
        table = self._own.applied
        statement = select(table.c.pseudonym, table.c.others).where(
            table.c.view == self._view, table.c.plain.is_not(None)
        )
        found = select_by_keys(self._connection, statement, table.c.pseudonym, sorted(pseudonyms))
        return {str(name): str(others) for name, others in found}

    def _delete(self, table: Table, pseudonyms: Sequence[str]) -> None:
        if pseudonyms:
            mine = among(self._connection, table.c.pseudonym, pseudonyms)
            self._connection.execute(delete(table).where(table.c.view == self._view, mine))


def _plain_of(record: Record) -> Plain | None:
    """Gives what a record is known by where it is held by one row and nothing is left to be done."""
    links, claims = record.links, record.claims
    if record.entry.state is not RecordState.HELD or record.listed is not None or claims is None:
        return None
    if links is None or len(links) != 1 or links[0].is_ended:
        return None
    return Plain(row=links[0].key, number=links[0].number, claims=claims)
