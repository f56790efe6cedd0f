"""The independent check: quiet on equal data, and naming each record that is held otherwise."""

import ast
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from sqlalchemy import Engine

from demo.correcting import correct_everything
from demo.three_residents import LI_BEFORE, OWNERSHIP, ROWS, WANG_BEFORE, ZHAO_BEFORE
from tellonce.demo import check as check_package
from tellonce.demo.check import CheckError, CheckResult, Known, Ownership, check, check_folder
from tellonce.demo.generation import City
from tellonce.demo.load import ChangeLoad
from tellonce.demo.tables import DEPARTMENTS, create_and_fill
from tellonce.storage.database import open_database

Databases = Mapping[str, str]
Edit = Callable[[str, str], None]


@pytest.fixture
def three(sqlite_databases: Databases) -> Databases:
    """The addresses of the databases of three residents, all as it ought to be."""
    for department in DEPARTMENTS:
        engine = open_database(sqlite_databases[department])
        create_and_fill(engine, department, ROWS[department])
        engine.dispose()
    return sqlite_databases


@pytest.fixture
def edit(three: Databases) -> Edit:
    """A function that edits one department's database by hand."""

    def execute(department: str, statement: str) -> None:
        engine = open_database(three[department])
        with engine.begin() as connection:
            assert connection.exec_driver_sql(statement).rowcount == 1
        engine.dispose()

    return execute


@pytest.fixture
def folder(three: Databases, tmp_path: Path) -> Path:
    """A folder as a demonstration leaves it, with relative paths."""
    relative = {department: f"sqlite:///{department}.sqlite" for department in three}
    facts = {"databases": relative, "ownership": OWNERSHIP, "known": []}
    (tmp_path / "demo.json").write_text(json.dumps(facts), encoding="utf-8")
    return tmp_path


def found(result: CheckResult) -> list[tuple[str, str, str, str]]:
    """What was not expected: department, view, kind and record."""
    return [(one["department"], one["view"], one["kind"], one["record_key"]) for one in result["unexpected"]]


def inserted_patient(number: str) -> str:
    """The statement that adds a row to the patient index."""
    columns = "pid, id_card_no, patient_name, gender, dob, deceased"
    return f"INSERT INTO patient_index ({columns}) VALUES (8, '{number}', '王一', 'M', '1950-12-31', 'N')"


def numbers(result: CheckResult, department: str, view: str = "citizen.identity") -> Mapping[str, object]:
    """One department's counts of one view."""
    (counts,) = (one for one in result["views"] if (one["department"], one["view"]) == (department, view))
    return dict(counts)


def test_equal_data_is_found_equal(three: Databases) -> None:
    """Nothing is reported where every department holds what the authorities hold."""
    result = check(three, ownership=OWNERSHIP)

    assert result["agrees"]
    assert found(result) == []
    assert numbers(result, "provident-fund") == {
        "department": "provident-fund",
        "view": "citizen.identity",
        "records": 3,
        "rows": 3,
        "agree": 1,
        "cannot_hold": 1,
        "ambiguous_rows": 0,
        "out_of_scope": 1,
        "closed_rows": 1,
        "unlinked_rows": 0,
    }
    assert numbers(result, "social-security", "citizen.residence")["unlinked_rows"] == 1


@pytest.mark.parametrize(
    ("department", "statement", "finding"),
    [
        (
            "provident-fund",
            "UPDATE fund_account SET csrq = '19501230' WHERE zhbh = 'A1'",
            ("citizen.identity", "differs", "1"),
        ),
        (
            "provident-fund",
            f"UPDATE fund_account SET gmsfhm = '{WANG_BEFORE}' WHERE zhbh = 'A1'",
            ("citizen.identity", "differs", "1"),
        ),
        (
            "provident-fund",
            "UPDATE fund_account SET gmsfhm = '999' WHERE zhbh = 'A1'",
            ("citizen.identity", "differs", "1"),
        ),
        (
            "provident-fund",
            "UPDATE fund_account SET swbz = '0' WHERE zhbh = 'A2'",
            ("citizen.identity", "differs", "2"),
        ),
        ("provident-fund", "DELETE FROM fund_account WHERE zhbh = 'A1'", ("citizen.identity", "missing", "1")),
        (
            "provident-fund",
            "UPDATE fund_account SET gmsfhm = '11010519700303341X' WHERE zhbh = 'A3'",
            ("citizen.identity", "touched", "3"),
        ),
        ("provident-fund", "DELETE FROM fund_account WHERE zhbh = 'A3'", ("citizen.identity", "touched", "3")),
        (
            "social-security",
            "UPDATE insured_person SET jzdz = '别处' WHERE ryid = 3",
            ("citizen.residence", "differs", "3"),
        ),
        (
            "social-security",
            "UPDATE insured_person SET qrrq = '' WHERE ryid = 1",
            ("citizen.residence", "differs", "1"),
        ),
        ("social-security", "DELETE FROM insured_person WHERE ryid = 3", ("citizen.residence", "missing", "3")),
        (
            "social-security",
            f"UPDATE insured_person SET sfzhm = '{ZHAO_BEFORE}' WHERE ryid = 3",
            ("citizen.residence", "differs", "3"),
        ),
        ("social-security", "UPDATE spouse_register SET hyzk = '20'", ("marriage.status", "differs", "9")),
        ("social-security", "DELETE FROM spouse_register", ("marriage.status", "missing", "9")),
        (
            "healthcare",
            "UPDATE patient_index SET dob = '1950-12-30' WHERE pid = 1",
            ("citizen.identity", "differs", "1"),
        ),
        ("healthcare", "UPDATE patient_index SET gender = 'F' WHERE pid = 3", ("citizen.identity", "differs", "3")),
        (
            "healthcare",
            inserted_patient("650121197501010014"),
            ("citizen.identity", "orphaned", ""),
        ),
        (
            "healthcare",
            inserted_patient(WANG_BEFORE),
            ("citizen.identity", "ambiguous", "1"),
        ),
        (
            "civil-affairs",
            "UPDATE party_file SET living = 1 WHERE file_no = 'P2'",
            ("citizen.identity", "differs", "2"),
        ),
        ("civil-affairs", "DELETE FROM party_file WHERE file_no = 'P2'", ("citizen.identity", "missing", "2")),
        ("public-security", "UPDATE marital_register SET state = 'M'", ("marriage.status", "differs", "9")),
        ("public-security", "DELETE FROM marital_register", ("marriage.status", "missing", "9")),
    ],
)
def test_edit_by_hand_is_named(
    three: Databases, edit: Edit, department: str, statement: str, finding: tuple[str, str, str]
) -> None:
    """One row edited anywhere is reported as that record of that department and view, and nothing else is."""
    edit(department, statement)

    result = check(three, ownership=OWNERSHIP)

    assert not result["agrees"]
    assert found(result) == [(department, *finding)]


def test_change_at_the_authority_that_nobody_applied_differs_everywhere(three: Databases, edit: Edit) -> None:
    """A record that the authority changed unseen is held otherwise by everyone who holds it."""
    edit("public-security", "UPDATE resident SET name = '王二' WHERE resident_id = 1")

    result = check(three, ownership=OWNERSHIP)

    assert found(result) == [
        ("provident-fund", "citizen.identity", "differs", "1"),
        ("social-security", "citizen.residence", "differs", "1"),
        ("healthcare", "citizen.identity", "differs", "1"),
        ("civil-affairs", "citizen.identity", "differs", "1"),
    ]


def test_name_that_does_not_fit_may_stay_but_nothing_else_of_the_row(three: Databases, edit: Edit) -> None:
    """A name too long for its column is listed and allowed, while the rest of the row must be right."""
    result = check(three, ownership=OWNERSHIP)
    assert [(one["kind"], one["record_key"], one["columns"]) for one in result["findings"]] == [
        ("cannot_hold", "2", ["xm"])
    ]

    edit("provident-fund", "UPDATE fund_account SET xb = '1' WHERE zhbh = 'A2'")

    (finding,) = check(three, ownership=OWNERSHIP)["unexpected"]
    assert (finding["kind"], finding["columns"]) == ("differs", ["xb"])


def with_shared_number(row: str) -> Mapping[str, Ownership]:
    """What is known where this fund account carries a number that two residents shared."""
    fund = OWNERSHIP["provident-fund"]
    untouchable = {**fund["untouchable"], row: WANG_BEFORE}
    owned = Ownership(owners=fund["owners"], undecidable=[row], untouchable=untouchable, strangers=[])
    return {**OWNERSHIP, "provident-fund": owned}


def test_row_that_may_be_two_residents_is_ambiguous(three: Databases, edit: Edit) -> None:
    """A number that two residents held is nobody's to decide: expected where it always was so, else reported."""
    edit("public-security", f"UPDATE id_history SET id_number = '{WANG_BEFORE}' WHERE resident_id = 2")
    edit("provident-fund", f"UPDATE fund_account SET gmsfhm = '{WANG_BEFORE}' WHERE zhbh = 'A1'")

    known = check(three, ownership=with_shared_number("A1"))
    unknown = check(three, ownership=OWNERSHIP)

    assert known["agrees"]
    assert numbers(known, "provident-fund")["ambiguous_rows"] == 1
    assert [one["record_keys"] for one in known["findings"] if one["kind"] == "ambiguous"] == [["1", "2"]]
    assert found(unknown) == [("provident-fund", "citizen.identity", "ambiguous", "")]


def test_undecidable_row_may_be_given_to_its_own_person(three: Databases) -> None:
    """The row's other fields may have told whose it is of the two who had the number."""
    assert found(check(three, ownership=with_shared_number("A1"))) == []


def test_wrong_guess_at_an_undecidable_row_is_found(three: Databases, edit: Edit) -> None:
    """A row under a shared number that was given to the other of the two is the worst outcome."""
    edit(
        "provident-fund",
        "UPDATE fund_account SET gmsfhm = '11010519700303341X', xm = '赵三', csrq = '19700303' WHERE zhbh = 'A1'",
    )

    result = check(three, ownership=with_shared_number("A1"))

    assert ("provident-fund", "citizen.identity", "touched", "1") in found(result)


def test_row_given_to_the_wrong_person_is_found(three: Databases, edit: Edit) -> None:
    """A row that agrees in every column with somebody whose it is not is the worst outcome, and is named."""
    edit(
        "provident-fund",
        "UPDATE fund_account SET gmsfhm = '11010519700303341X', xm = '赵三', csrq = '19700303' WHERE zhbh = 'A1'",
    )

    result = check(three, ownership=OWNERSHIP)

    assert found(result) == [("provident-fund", "citizen.identity", "wrong_person", "3")]


def test_known_difference_is_allowed_once_and_reported_when_gone(three: Databases, edit: Edit) -> None:
    """A flagged divergence waits for a person without failing the check, which says when it is no longer there."""
    known = Known(department="healthcare", view="citizen.identity", record_key="1", kind="altered")
    assert check(three, ownership=OWNERSHIP, known=[known])["gone"] == [known]

    edit("healthcare", "UPDATE patient_index SET dob = '1950-12-30' WHERE pid = 1")

    result = check(three, ownership=OWNERSHIP, known=[known])
    assert result["agrees"]
    assert result["gone"] == []
    edit("healthcare", "DELETE FROM patient_index WHERE pid = 1")
    assert found(check(three, ownership=OWNERSHIP, known=[known])) == [
        ("healthcare", "citizen.identity", "missing", "1")
    ]


def test_without_ownership_it_goes_by_numbers(three: Databases, edit: Edit) -> None:
    """A city that was not generated can be checked too; an account that is gone is then only out of scope."""
    edit("provident-fund", "DELETE FROM fund_account WHERE zhbh = 'A1'")

    result = check(three)

    assert result["agrees"]
    assert numbers(result, "provident-fund")["out_of_scope"] == 2


def test_short_number_without_history_leads_to_the_resident_it_became(three: Databases, edit: Edit) -> None:
    """A row under 15 digits that nobody remembers is still somebody's: whose number follows from it."""
    edit("social-security", f"UPDATE insured_person SET sfzhm = '{ZHAO_BEFORE}' WHERE ryid = 3")

    (finding,) = check(three)["unexpected"]

    assert (finding["kind"], finding["record_key"], finding["columns"]) == ("differs", "3", ["sfzhm"])


def test_generated_city_corrected_through_its_bindings_agrees(
    city: City, databases: Databases, filled: Mapping[str, Engine]
) -> None:
    """The two implementations of the mapping, the bindings and the check, say the same after a live load."""
    assert len(check(databases, ownership=city.ownership_facts())["unexpected"]) > 100
    for _ in ChangeLoad(city, seed=5, changes=150).run(filled):
        pass

    correct_everything(city, filled)

    result = check(databases, ownership=city.ownership_facts())
    assert result["unexpected"] == []
    assert numbers(result, "provident-fund")["ambiguous_rows"] == 3
    assert all(one["agree"] > 50 for one in result["views"])


def test_kept_folder_is_checked_where_it_lies(folder: Path, edit: Edit) -> None:
    """The folder names its databases relative to itself, and a row edited there is named."""
    assert check_folder(folder)["agrees"]

    edit("healthcare", "UPDATE patient_index SET deceased = 'Y' WHERE pid = 3")

    assert found(check_folder(folder)) == [("healthcare", "citizen.identity", "differs", "3")]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"databases": 1, "ownership": {}, "known": []}', '{"databases": {}'])
def test_folder_without_a_usable_file_is_refused(tmp_path: Path, text: str) -> None:
    """A folder that no demonstration left is refused in one sentence."""
    if text:
        (tmp_path / "demo.json").write_text(text, encoding="utf-8")

    with pytest.raises(CheckError, match=r"demo\.json"):
        check_folder(tmp_path)


def test_missing_database_is_refused_and_not_made(folder: Path) -> None:
    """SQLite would make an empty file where there is none; the check says that the database is gone."""
    (folder / "healthcare.sqlite").unlink()

    with pytest.raises(CheckError, match="healthcare"):
        check_folder(folder)

    assert not (folder / "healthcare.sqlite").exists()


def test_database_without_the_tables_is_refused(folder: Path) -> None:
    """A table that is gone is no agreement."""
    engine = open_database(f"sqlite:///{folder / 'healthcare.sqlite'}")
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE patient_index")
    engine.dispose()

    with pytest.raises(CheckError, match="healthcare"):
        check_folder(folder)


def test_findings_hold_no_personal_data(three: Databases, edit: Edit) -> None:
    """The result names record, row and columns, and no value that any department holds."""
    edit("provident-fund", f"UPDATE fund_account SET gmsfhm = '{LI_BEFORE}' WHERE zhbh = 'A2'")

    written = json.dumps(check(three, ownership=OWNERSHIP), ensure_ascii=False)

    assert LI_BEFORE not in written
    assert "买买提" not in written
    assert "19600101" not in written


def test_check_imports_nothing_of_the_services() -> None:
    """The check shares no code with what it checks: it imports the standard library, SQLAlchemy and itself."""
    folder = Path(str(check_package.__file__)).parent
    allowed = {"collections", "dataclasses", "datetime", "json", "pathlib", "sqlalchemy", "typing"}

    for file in folder.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0
                names = [node.module or ""]
            for name in names:
                assert name.startswith("tellonce.demo.check") or name.partition(".")[0] in allowed, (file, name)
