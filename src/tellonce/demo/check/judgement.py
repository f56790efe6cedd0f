"""The check of a whole city, or of the folder that a demonstration left."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from sqlalchemy.engine import make_url

from tellonce.demo.check.comparison import Comparison
from tellonce.demo.check.holdings import CITIZENS_HELD, MARRIAGES_HELD, Record
from tellonce.demo.check.registers import read_couples, read_people, read_rows
from tellonce.demo.check.results import NO_OWNERSHIP, CheckError, CheckResult, Finding, Known, Ownership, ViewResult

__all__ = ["check", "check_folder"]


def check(
    databases: Mapping[str, str],
    *,
    ownership: Mapping[str, Ownership] | None = None,
    known: Sequence[Known] = (),
) -> CheckResult:
    """Compares every department's tables with the authorities' and names each record that is held otherwise.

    `databases` gives each department's database URL. It reads one database after another, so the services must
    have nothing left to do. Without `ownership` it goes by numbers alone, and can tell neither an account that was
    deleted from one that never was, nor a number given to the wrong one of two people.

    Raises:
        CheckError: a database or table cannot be read.
    """
    people, couples = read_people(databases["public-security"]), read_couples(databases["civil-affairs"])
    views: list[ViewResult] = []
    findings: list[Finding] = []
    plans = [
        (table, [Record(one.key, one.number, one.former, show(one)) for one in people]) for table, show in CITIZENS_HELD
    ]
    plans += [
        (table, [Record(one.key, one.number, (), show(one)) for one in couples]) for table, show in MARRIAGES_HELD
    ]
    for table, records in plans:
        rows = read_rows(databases[table.department], table.department, f"SELECT * FROM {table.name}")  # noqa: S608 - ours
        of_citizens = table.view.startswith("citizen.")
        owned = (ownership or {}).get(table.department, NO_OWNERSHIP) if of_citizens else NO_OWNERSHIP
        comparison = Comparison(table, records, owned, strict=ownership is not None)
        views.append(comparison.run(rows))
        findings += comparison.findings
    return _judged(views, findings, ownership or {}, known)


def check_folder(folder: Path) -> CheckResult:
    """Compares the databases that a kept folder's `demo.json` names.

    The file holds `databases`, `ownership` and `known` as `check` takes them; relative SQLite paths are from it.

    Raises:
        CheckError: the file or a database is missing or cannot be read.
    """
    file = folder / "demo.json"
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
        databases = {str(department): _located(str(url), folder) for department, url in facts["databases"].items()}
        return check(databases, ownership=facts["ownership"], known=facts["known"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        msg = (
            f"expected {file} as a demonstration leaves it, found it missing or different; run the demonstration again"
        )
        raise CheckError(msg) from error


def _located(url: str, folder: Path) -> str:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or parsed.database is None:
        return url
    return parsed.set(database=str(folder / parsed.database)).render_as_string(hide_password=False)


def _judged(
    views: list[ViewResult],
    findings: list[Finding],
    ownership: Mapping[str, Ownership],
    known: Sequence[Known],
) -> CheckResult:
    in_my_words = {"altered": "differs", "stale": "differs"}
    allowed = {
        (one["department"], one["view"], one["record_key"], in_my_words.get(one["kind"], one["kind"])): one
        for one in known
    }
    found = {(one["department"], one["view"], one["record_key"], str(one["kind"])) for one in findings}

    def is_expected(finding: Finding) -> bool:
        if finding["kind"] == "cannot_hold":
            return True
        if finding["kind"] == "ambiguous":
            return finding["row"] in ownership.get(finding["department"], NO_OWNERSHIP)["undecidable"]
        named = (finding["department"], finding["view"], finding["record_key"], str(finding["kind"]))
        return named in allowed

    unexpected = [finding for finding in findings if not is_expected(finding)]
    return CheckResult(
        agrees=not unexpected,
        views=views,
        findings=findings,
        unexpected=unexpected,
        gone=[one for named, one in allowed.items() if named not in found],
    )
