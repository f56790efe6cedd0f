"""What commands print: tables for people, one JSON document for programs, and errors in one sentence."""

import json
import sys
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["clear_screen", "say", "show_json", "show_table"]

_WIDTH_OF_FILES = 160


def say(text: str) -> None:
    """Prints a line for a person on standard error, so that standard output holds data only."""
    print(text, file=sys.stderr)


def clear_screen() -> None:
    """Empties a terminal's screen; does nothing where standard output is a file or a pipe."""
    if sys.stdout.isatty():
        Console().clear()


def show_json(document: object) -> None:
    """Prints one JSON document."""
    json.dump(document, sys.stdout, ensure_ascii=False, indent=2, default=str)
    sys.stdout.write("\n")


def show_table(title: str, rows: Sequence[Mapping[str, object]], *, empty: str) -> None:
    """Prints rows as a table, or the sentence `empty` where there are none."""
    if not rows:
        print(empty)
        return
    table = Table(title=title, title_justify="left")
    for name in rows[0]:
        table.add_column(name.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(_plain(value) for value in row.values()))
    # A file or a pipe has no right margin: nothing is folded there that a person may search for.
    Console(width=None if sys.stdout.isatty() else _WIDTH_OF_FILES).print(table)


def _plain(value: object) -> Text:
    # What a message or a file holds is text: neither rich's markup nor what steers a terminal.
    text = "" if value is None else str(value)
    return Text("".join(each if each.isprintable() or each == "\n" else "\N{REPLACEMENT CHARACTER}" for each in text))
