"""What each department's tables hold before anything is shared: mostly right, partly outdated, some undecidable."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from random import Random

from tellonce.demo.numbers import SHORT_LENGTH
from tellonce.demo.people import TODAY, Marriage, Population, Resident, happens
from tellonce.demo.tables import FUND_NAME_BYTES, Row

__all__ = ["Ownership", "departments_rows", "party_row", "resident_row"]

# Shares of rows that are out of date; together they give every kind of correction at 3,000 residents.
_FUND_WITH_SHORT_NUMBER = 0.30
_MIRROR_WITH_SHORT_NUMBER = 0.09
_OLD_NAME = 0.03
_WRONG_BIRTH_DATE = 0.01
_OLD_ADDRESS = 0.06
_WORKING_AGE = 20


@dataclass(slots=True, kw_only=True)
class Ownership:
    """Whose row each row of a department is, which the department itself does not know: for the independent check only.

    Rows are named by their own key.
    """

    owners: dict[str, int] = field(default_factory=dict[str, int])
    """The resident whose row it is."""
    undecidable: list[str] = field(default_factory=list[str])
    """Rows that carry a number which two residents once shared."""
    untouchable: dict[str, str] = field(default_factory=dict[str, str])
    """The number in each row that nobody may write: its file is closed, or it is undecidable.

    An undecidable one may be given its owner's present number, where its other fields tell whose it is, and no other's.
    """
    strangers: list[str] = field(default_factory=list[str])
    """Rows of people whom the household register does not have."""


Rows = dict[str, list[Row]]


def departments_rows(seed: int, population: Population) -> tuple[Mapping[str, Rows], Mapping[str, Ownership]]:
    """Each department's rows by table, and whose they are; the same for the same arguments."""
    makers: dict[str, Callable[[Random, Population, Ownership], Rows]] = {
        "public-security": _public_security,
        "civil-affairs": _civil_affairs,
        "provident-fund": _provident_fund,
        "social-security": _social_security,
        "healthcare": _healthcare,
    }
    ownership = {department: Ownership() for department in makers}
    rows = {
        department: make(Random(f"{department} {seed}"), population, ownership[department])
        for department, make in makers.items()
    }
    return rows, ownership


def party_row(person: Resident, *, number: str, name: str, filed_on: date) -> Row:
    """The file that civil affairs opens for a person who marries, as read from the card shown."""
    return {
        "file_no": f"P{person.resident_id}",
        "card_no": number,
        "party_name": name,
        "gender": "男" if person.sex == "male" else "女",
        "born": person.birth_date,
        "living": 1,
        "filed_on": filed_on,
    }


def _public_security(rng: Random, population: Population, _ownership: Ownership) -> Rows:
    history: list[Row] = [
        {"resident_id": person.resident_id, "id_number": number, "replaced_on": date(rng.randint(2000, 2012), 7, 1)}
        for person in population.residents
        for number in person.former_id_numbers
    ]
    register: list[Row] = [
        {
            "certificate": marriage.certificate_number,
            "husband_number": marriage.spouse_a_id_number,
            "wife_number": marriage.spouse_b_id_number,
            "since": marriage.registered_on,
            "state": _stale_status(rng, marriage, married="M", divorced="D"),
        }
        for marriage in population.marriages
        if happens(rng, 0.9)
    ]
    residents = [resident_row(person) for person in population.residents]
    return {"resident": residents, "id_history": history, "marital_register": register}


def resident_row(person: Resident) -> Row:
    """The person's row in the household register."""
    return {
        "resident_id": person.resident_id,
        "id_number": person.id_number,
        "name": person.name,
        "sex_code": "1" if person.sex == "male" else "2",
        "birth_date": person.birth_date,
        "death_flag": "0" if person.alive else "1",
        "address": person.address,
        "district_code": person.district_code,
        "moved_on": person.moved_on,
        "phone": person.phone,
    }


def _stale_status(rng: Random, marriage: Marriage, *, married: str, divorced: str) -> str:
    # A third of the divorces never reached whoever copied the register by hand.
    return divorced if marriage.status == "divorced" and happens(rng, 0.67) else married


def _civil_affairs(rng: Random, population: Population, ownership: Ownership) -> Rows:
    by_id = {person.resident_id: person for person in population.residents}
    marriages: list[Row] = []
    parties: list[Row] = []
    for marriage in population.marriages:
        marriages.append(
            {
                "marriage_id": marriage.marriage_id,
                "certificate_number": marriage.certificate_number,
                "spouse_a_id_number": marriage.spouse_a_id_number,
                "spouse_b_id_number": marriage.spouse_b_id_number,
                "registered_on": marriage.registered_on,
                "status": "离婚" if marriage.status == "divorced" else "结婚",
            }
        )
        shown = (marriage.spouse_a_id_number, marriage.spouse_b_id_number)
        for person, number in zip((by_id[one] for one in marriage.spouse_ids), shown, strict=True):
            row = party_row(person, number=number, name=_name_on_file(rng, person), filed_on=marriage.registered_on)
            parties.append(row)
            file_no = str(row["file_no"])
            ownership.owners[file_no] = person.resident_id
            if number in population.shared_short_numbers:
                # Filed under a number that was given to two people: unless the row's other fields tell which of them it
                # is, only a person can say.
                ownership.undecidable.append(file_no)
                ownership.untouchable[file_no] = number
    return {"marriage": marriages, "party_file": parties}


def _provident_fund(rng: Random, population: Population, ownership: Ownership) -> Rows:
    holders = [
        person
        for person in population.residents
        if person.age >= _WORKING_AGE and not _shares_number(population, person) and happens(rng, 0.75)
    ]
    undecidable = _holders_of_shared_numbers(population)
    accounts = len(holders) + len(undecidable)
    still_short = sum(len(person.id_number) == SHORT_LENGTH for person in holders)
    upgraded = [person for person in holders if person.earlier_number]
    wanted = round(accounts * _FUND_WITH_SHORT_NUMBER) - still_short - len(undecidable)
    behind = {person.resident_id for person in rng.sample(upgraded, min(max(wanted, 0), len(upgraded)))}
    everybody = [*((person, False) for person in holders), *((person, True) for person in undecidable)]
    rng.shuffle(everybody)
    rows: list[Row] = []
    for count, (person, is_undecidable) in enumerate(everybody):
        account = f"GJJ{100_000_000 + count}"
        number = (person.resident_id in behind and person.earlier_number) or person.id_number
        status = rng.choices(("0", "1", "9"), weights=(82, 12, 6))[0]
        if is_undecidable:
            number, status = person.former_id_numbers[0], "0"
            ownership.undecidable.append(account)
        if is_undecidable or status == "9":
            ownership.untouchable[account] = number
        ownership.owners[account] = person.resident_id
        rows.append(_fund_row(rng, person, account, number, status))
    return {"fund_account": rows}


def _fund_row(rng: Random, person: Resident, account: str, number: str, status: str) -> Row:
    birth_date = person.birth_date
    if happens(rng, _WRONG_BIRTH_DATE):
        birth_date = birth_date.replace(day=birth_date.day % 28 + 1)
    return {
        "zhbh": account,
        "gmsfhm": number,
        "xm": _cut(_name_on_file(rng, person), FUND_NAME_BYTES),
        "csrq": f"{birth_date:%Y%m%d}",
        "xb": "1" if person.sex == "male" else "2",
        "swbz": "0",
        "zhzt": status,
        "dwmc": f"明川市第{rng.randint(1, 90)}单位",
        "zhye_fen": rng.randint(0, 40_000_000),
        "khrq": f"{date(rng.randint(1996, 2024), rng.randint(1, 12), 15):%Y%m%d}",
    }


def _holders_of_shared_numbers(population: Population) -> list[Resident]:
    # Of every other pair both have an account, so that rows as well as residents come in twos; never a second account.
    pairs: dict[str, list[Resident]] = {number: [] for number in sorted(population.shared_short_numbers)}
    for person in population.residents:
        if _shares_number(population, person):
            pairs[person.former_id_numbers[0]].append(person)
    return [person for count, pair in enumerate(pairs.values()) for person in pair[: 1 + count % 2]]


def _shares_number(population: Population, person: Resident) -> bool:
    return any(number in population.shared_short_numbers for number in person.former_id_numbers)


def _social_security(rng: Random, population: Population, ownership: Ownership) -> Rows:
    people: list[Row] = []
    for row_id, person, number in _mirrored(rng, population, ownership, share=0.92, first_id=2_000_001):
        stale = happens(rng, _OLD_ADDRESS)
        people.append(
            {
                "ryid": row_id,
                "sfzhm": number,
                "xm": _name_on_file(rng, person),
                "jzdz": f"旧城路{rng.randint(1, 200)}号" if stale else person.address,
                "qhdm": "990101" if stale else person.district_code,
                "qrrq": "" if stale or person.moved_on is None else f"{person.moved_on:%Y%m%d}",
                "cbzt": rng.choice("0123"),
                "jfys": rng.randint(0, 420),
            }
        )
    spouses: list[Row] = [
        {
            "zsh": marriage.certificate_number,
            "jf_sfzhm": marriage.spouse_a_id_number,
            "yf_sfzhm": marriage.spouse_b_id_number,
            "djrq": f"{marriage.registered_on:%Y%m%d}",
            "hyzk": _stale_status(rng, marriage, married="20", divorced="40"),
        }
        for marriage in population.marriages
        if happens(rng, 0.6)
    ]
    return {"insured_person": people, "spouse_register": spouses}


def _healthcare(rng: Random, population: Population, ownership: Ownership) -> Rows:
    patients: list[Row] = []
    for row_id, person, number in _mirrored(rng, population, ownership, share=0.88, first_id=3_000_001):
        born = person.birth_date
        patients.append(
            {
                "pid": row_id,
                "id_card_no": number,
                "patient_name": _name_on_file(rng, person),
                "gender": "M" if person.sex == "male" else "F",
                "dob": born.replace(day=born.day % 28 + 1) if happens(rng, _WRONG_BIRTH_DATE) else born,
                "deceased": "N",
                "blood_group": rng.choice(("A", "B", "O", "AB", None)),
                "last_visit": TODAY - timedelta(days=rng.randint(1, 2000)),
            }
        )
    return {"patient_index": patients}


def _mirrored(
    rng: Random, population: Population, ownership: Ownership, *, share: float, first_id: int
) -> Iterable[tuple[int, Resident, str]]:
    present = [person for person in population.residents if happens(rng, share)]
    for row_id, person in enumerate([*present, *population.strangers], start=first_id):
        number = person.id_number
        if not _shares_number(population, person) and happens(rng, _MIRROR_WITH_SHORT_NUMBER):
            number = person.earlier_number or number
        if row_id - first_id < len(present):
            ownership.owners[str(row_id)] = person.resident_id
        else:
            ownership.strangers.append(str(row_id))
        yield row_id, person, number


def _name_on_file(rng: Random, person: Resident) -> str:
    # The name before a correction: the family name with the second character of many.
    return f"{person.name[0]}小{person.name[-1]}" if happens(rng, _OLD_NAME) else person.name


def _cut(name: str, max_bytes: int) -> str:
    """The name as a clerk had to shorten it: whole characters only."""
    return name.encode()[:max_bytes].decode(errors="ignore")
