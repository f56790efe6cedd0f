"""How the registers show in each department's table: the mapping, written out a second time."""

from collections.abc import Callable
from dataclasses import dataclass

from tellonce.demo.check.registers import Cell, Couple, Person, Row

__all__ = ["CITIZENS_HELD", "MARRIAGES_HELD", "Record", "Table"]

_FUND_NAME_BYTES = 30


@dataclass(frozen=True, slots=True)
class Table:
    """Where a department holds a view."""

    department: str
    view: str
    name: str
    key: str
    number: str
    """The column that identifies the record."""
    is_mirror: bool
    closed: Callable[[Row], bool] = lambda _: False
    may_stay: Callable[[str, Cell], bool] = lambda _column, _value: False
    """Whether a column may keep its old value because this one does not fit."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record as one department's row ought to show it."""

    key: str
    number: str
    former: tuple[str, ...]
    expected: Row


def _fund_account(person: Person) -> Row:
    return {
        "gmsfhm": person.number,
        "xm": person.name,
        "csrq": person.born.strftime("%Y%m%d"),
        "xb": "1" if person.male else "2",
        "swbz": "1" if person.dead else "0",
    }


def _insured_person(person: Person) -> Row:
    return {
        "sfzhm": person.number,
        "xm": person.name,
        "jzdz": person.address,
        "qhdm": person.district,
        "qrrq": "" if person.moved is None else person.moved.strftime("%Y%m%d"),
    }


def _patient(person: Person) -> Row:
    return {
        "id_card_no": person.number,
        "patient_name": person.name,
        "gender": "M" if person.male else "F",
        "dob": person.born,
        "deceased": "Y" if person.dead else "N",
    }


def _party(person: Person) -> Row:
    return {
        "card_no": person.number,
        "party_name": person.name,
        "gender": "男" if person.male else "女",
        "born": person.born,
        "living": 0 if person.dead else 1,
    }


def _register_entry(couple: Couple) -> Row:
    return {
        "certificate": couple.number,
        "husband_number": couple.first,
        "wife_number": couple.second,
        "since": couple.since,
        "state": "D" if couple.divorced else "M",
    }


def _spouses(couple: Couple) -> Row:
    return {
        "zsh": couple.number,
        "jf_sfzhm": couple.first,
        "yf_sfzhm": couple.second,
        "djrq": couple.since.strftime("%Y%m%d"),
        "hyzk": "40" if couple.divorced else "20",
    }


CITIZENS_HELD: tuple[tuple[Table, Callable[[Person], Row]], ...] = (
    (
        Table(
            department="provident-fund",
            view="citizen.identity",
            name="fund_account",
            key="zhbh",
            number="gmsfhm",
            is_mirror=False,
            closed=lambda row: row["zhzt"] == "9",
            may_stay=lambda column, value: column == "xm" and len(str(value).encode()) > _FUND_NAME_BYTES,
        ),
        _fund_account,
    ),
    (
        Table("social-security", "citizen.residence", "insured_person", "ryid", "sfzhm", is_mirror=True),
        _insured_person,
    ),
    (Table("healthcare", "citizen.identity", "patient_index", "pid", "id_card_no", is_mirror=True), _patient),
    (Table("civil-affairs", "citizen.identity", "party_file", "file_no", "card_no", is_mirror=False), _party),
)
MARRIAGES_HELD: tuple[tuple[Table, Callable[[Couple], Row]], ...] = (
    (
        Table("public-security", "marriage.status", "marital_register", "entry_id", "certificate", is_mirror=True),
        _register_entry,
    ),
    (Table("social-security", "marriage.status", "spouse_register", "zsh", "zsh", is_mirror=True), _spouses),
)
