"""The operations page says what the code says: settings with their defaults, log events, exit codes."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tellonce.cli.settings import Settings
from tellonce.kafka.settings import KafkaSettings

LEVELS = {"debug", "info", "warning", "error", "critical", "exception"}


@pytest.fixture
def page(root: Path) -> str:
    """The operations page."""
    return (root / "docs" / "operations.md").read_text(encoding="utf-8")


def section(page: str, title: str) -> str:
    """The text below a heading, up to the next of the same rank."""
    return page.split(f"\n## {title}\n")[1].split("\n## ", maxsplit=1)[0]


def rows_of(text: str) -> dict[str, list[str]]:
    """The rows of a page's tables by what stands in their first cell's backticks."""
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if "| `" in line[:3]]
    return {row[0].strip("|` "): [cell.strip("|` ") for cell in row[1:]] for row in rows}


def events_of(root: Path) -> Iterator[str]:
    """The name of every log event in the code."""
    for path in sorted((root / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS):
                continue
            if not ast.unparse(node.func.value).split("(")[0].removeprefix("self.").lstrip("_").startswith("log"):
                continue
            first = node.args[0]
            assert isinstance(first, ast.Constant), f"{path}:{node.lineno}: an event's name is no fixed text"
            yield str(first.value)


def exit_codes_of(root: Path) -> set[int]:
    """Every number with which the command line ends, as the code has it."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted((root / "src" / "tellonce").rglob("*.py")))
    ends = re.findall(r"(?:typer\.Exit|sys\.exit)\((?:code=)?([^)\n]*)\)", text) + re.findall(
        r"exit_code = (\d+)", text
    )
    return {int(number) for end in ends for number in re.findall(r"\b\d+\b", end)}


def test_generated_parts_are_what_the_code_says(root: Path) -> None:
    """What `make docs` writes is what stands there."""
    command = [sys.executable, str(root / "tools" / "generate_docs.py"), "--check"]

    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_setting_says_what_it_is() -> None:
    """The table of settings has a meaning for each."""
    fields = {**Settings.model_fields, **KafkaSettings.model_fields}
    del fields["kafka"]

    assert [name for name, field in fields.items() if not field.description] == []


def test_log_events_are_listed_and_no_other(page: str, root: Path) -> None:
    """Every log event is on the page, and the page lists none that the code has not."""
    assert set(rows_of(section(page, "Log events"))) == set(events_of(root))


def test_every_log_event_says_when_to_worry(page: str) -> None:
    """A log event's row has three cells: what happened, and when to worry."""
    for event, cells in rows_of(section(page, "Log events")).items():
        assert len(cells) == 2, event
        assert all(cells), event


def test_exit_codes_are_listed_and_no_other(page: str, root: Path) -> None:
    """Every exit code is on the page, and the page lists none that the code has not."""
    listed = {int(code) for code in rows_of(section(page, "Exit codes"))}

    assert listed == exit_codes_of(root) | {0, 2}


def test_event_names_are_snake_case(root: Path) -> None:
    """An event's name is fixed and in snake case, so that a search for it finds it."""
    for event in events_of(root):
        assert re.fullmatch(r"[a-z]+(_[a-z]+)+", event), event
