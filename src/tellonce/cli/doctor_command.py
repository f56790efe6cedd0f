"""The command that looks at everything a department needs, and says what mends what is wrong."""

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from tellonce.cli.options import AsJson, EnvFile

if TYPE_CHECKING:
    from tellonce.cli.doctor.checks import Result

__all__ = ["register"]

# The word says it too: neither colour nor a symbol is all there is to see.
_SIGNS = {"ok": "+ ok", "warn": "~ warn", "fail": "! fail", "skipped": "- skipped"}

MaybeDepartment = Annotated[
    str | None, typer.Argument(metavar="[DEPARTMENT]", help="The department of this host; without it, what needs none.")
]


def register(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command("doctor")(doctor)


def doctor(department: MaybeDepartment = None, env_file: EnvFile = None, as_json: AsJson = False) -> None:
    """Check this host from Python to the database, in order; changes nothing and is done within 10 s."""
    from tellonce.cli.doctor.checks import exit_code_of
    from tellonce.cli.doctor.examination import examine
    from tellonce.cli.doctor.probes import Budget, real_probes
    from tellonce.cli.settings import load_settings
    from tellonce.observability.logs import configure_logs
    from tellonce.observability.tables import say, show_json, show_table

    # What the Kafka client says of its connection is told by the check, in one sentence.
    configure_logs("text", "critical")
    results = examine(
        lambda: load_settings(env_file), department, real_probes(), Budget.after_start(time.process_time())
    )
    counts = {state: sum(one.finding.state.value == state for one in results) for state in _SIGNS}
    if as_json:
        show_json({"format": 1, "department": department, "counts": counts, "checks": [_row(one) for one in results]})
    else:
        show_table("What this host is like", _table(results), empty="nothing was looked at")
        say(", ".join(f"{count} {state}" for state, count in counts.items()))
    raise typer.Exit(exit_code_of(results))


def _row(result: "Result") -> dict[str, object]:
    found = result.finding
    return {"name": result.name, "state": found.state.value, "sentence": found.sentence, "remedy": found.remedy}


def _table(results: "Iterable[Result]") -> "Sequence[dict[str, object]]":
    return [
        {
            "state": _SIGNS[one.finding.state.value],
            "check": one.name,
            "found": one.finding.sentence,
            "mend it by": one.finding.remedy,
        }
        for one in results
    ]
