"""Decides whose row each row is and what it ought to hold."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from typing import Literal

from tellonce.demo.check.holdings import Record, Table
from tellonce.demo.check.registers import Cell, Row
from tellonce.demo.check.results import Finding, Kind, Ownership, ViewResult

__all__ = ["Comparison"]


_OLD_LENGTH = 15


def _eighteen_digits(number: str) -> str | None:
    """The number that a 15-digit one became if nothing else changed: 19 before the year, a check character behind."""
    if len(number) != _OLD_LENGTH or not number.isdigit():
        return None
    first_17 = f"{number[:6]}19{number[6:]}"
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    total = sum(int(digit) * weight for digit, weight in zip(first_17, weights, strict=True))
    return first_17 + "10X98765432"[total % 11]


class Comparison:
    """One department's table against one view."""

    def __init__(self, table: Table, records: Sequence[Record], owned: Ownership, *, strict: bool) -> None:
        self._table = table
        self._records = {record.key: record for record in records}
        self._owned = owned
        self._owner = {row: str(resident) for row, resident in owned["owners"].items()}
        self._strict = strict
        self._by_number: dict[str, list[str]] = defaultdict(list)
        self._by_former: dict[str, list[str]] = defaultdict(list)
        for record in records:
            self._by_number[record.number].append(record.key)
            for number in dict.fromkeys(record.former):
                self._by_former[number].append(record.key)
        self._rows_of: dict[str, list[Row]] = defaultdict(list)
        self._claimed: set[str] = set()
        self._unlinked = 0
        self._ambiguous = 0
        self.findings: list[Finding] = []

    def run(self, rows: Sequence[Row]) -> ViewResult:
        """Compares the rows, once; what is wrong is in `findings` afterwards."""
        self._look_for_touched(rows)
        open_rows = [row for row in rows if not self._table.closed(row)]
        for row in open_rows:
            self._assign(row)
        agree = cannot_hold = 0
        for key, own_rows in self._rows_of.items():
            if len(own_rows) > 1:
                self._find("ambiguous", record=key, row=", ".join(self._key(row) for row in own_rows), maybe=[key])
                continue
            outcome = self._compare(self._records[key], own_rows[0])
            agree += outcome == "agree"
            cannot_hold += outcome == "cannot_hold"
        without = [key for key in self._records if key not in self._rows_of and key not in self._claimed]
        if self._table.is_mirror:
            for key in without:
                self._find("missing", record=key)
        return ViewResult(
            department=self._table.department,
            view=self._table.view,
            records=len(self._records),
            rows=len(rows),
            agree=agree,
            cannot_hold=cannot_hold,
            ambiguous_rows=self._ambiguous,
            out_of_scope=0 if self._table.is_mirror else len(without),
            closed_rows=len(rows) - len(open_rows),
            unlinked_rows=self._unlinked,
        )

    def _look_for_touched(self, rows: Sequence[Row]) -> None:
        present = {self._key(row): row for row in rows}
        undecidable = set(self._owned["undecidable"])
        for key, number in self._owned["untouchable"].items():
            person = self._records.get(self._owner[key])
            # Where two people have a number, a row's other fields may tell whose it is: then it gets that one's number.
            right = {number, *({person.number} if person and key in undecidable else ())}
            if key not in present or present[key][self._table.number] not in right:
                self._find("touched", record=self._owner[key], row=key)
        if not self._table.is_mirror:
            for key, owner in self._owner.items():
                if key not in present and key not in self._owned["untouchable"]:
                    self._find("missing", record=owner, row=key)

    def _assign(self, row: Row) -> None:
        key = self._key(row)
        claimants, owner = self._claimants(str(row[self._table.number])), self._owner.get(key)
        if len(claimants) > 1:
            self._ambiguous += 1
            self._claimed.update(claimants)
            self._find("ambiguous", row=key, maybe=claimants)
        elif claimants:
            if owner is not None and owner != claimants[0]:
                self._find("wrong_person", record=claimants[0], row=key)
            self._rows_of[claimants[0]].append(row)
        elif owner in self._records:
            # The number leads nowhere, yet it is known whose row it was.
            self._rows_of[owner].append(row)
        else:
            self._unlinked += 1
            if self._table.is_mirror and self._strict and key not in self._owned["strangers"]:
                self._find("orphaned", row=key)

    def _claimants(self, number: str) -> list[str]:
        upgraded = _eighteen_digits(number)
        return (
            self._by_number.get(number)
            or self._by_former.get(number)
            or (self._by_number.get(upgraded) if upgraded else None)
            or []
        )

    def _compare(self, record: Record, row: Row) -> Literal["agree", "cannot_hold", "differs"]:
        other = [column for column, cell in record.expected.items() if _plain(row[column]) != _plain(cell)]
        wrong = [column for column in other if not self._table.may_stay(column, record.expected[column])]
        if wrong:
            self._find("differs", record=record.key, row=self._key(row), columns=wrong)
            return "differs"
        if other:
            self._find("cannot_hold", record=record.key, row=self._key(row), columns=other)
            return "cannot_hold"
        return "agree"

    def _key(self, row: Row) -> str:
        return str(row[self._table.key])

    def _find(
        self, kind: Kind, *, record: str = "", row: str = "", columns: Sequence[str] = (), maybe: Sequence[str] = ()
    ) -> None:
        self.findings.append(
            Finding(
                department=self._table.department,
                view=self._table.view,
                kind=kind,
                record_key=record,
                row=row,
                columns=list(columns),
                record_keys=list(maybe),
            )
        )


def _plain(cell: Cell) -> str | int | None:
    return cell.isoformat() if isinstance(cell, date) else cell
