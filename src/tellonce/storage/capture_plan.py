"""What installing capture consists of: parts that are in place or not, and the templates of their SQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from string import Template
from typing import ClassVar

from tellonce.declare import Source
from tellonce.model.errors import ConfigurationError

__all__ = ["MOST_HISTORIES", "Finding", "Part", "Step", "check_record_types", "filled", "literal"]

MOST_HISTORIES = 9
"""So many history tables of a source are watched; of more a sweep finds the changes."""

# PostgreSQL cuts longer identifiers without a word; this is the longest of ours.
_LONGEST_RECORD_TYPE = 63 - len("tellonce_outbox__snapshot")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that installing or uninstalling does: in words, and the SQL that does it."""

    sentence: str
    sql: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One way in which the capture of a record type is not as it should be."""

    record_type: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One thing that must be in place for a record type, what is wrong with it, and the steps that set it right."""

    record_type: str
    problem: str | None
    steps: tuple[Step, ...]


class _Template(Template):
    delimiter: ClassVar[str] = "@"


@cache
def _template(name: str) -> _Template:
    return _Template(files("tellonce.storage").joinpath("sql", name).read_text(encoding="utf-8").rstrip("\n"))


def filled(name: str, /, **places: str) -> str:
    """Gives the SQL of a template of ours with its `@{places}` filled in; what is put in must already be quoted."""
    return _template(name).substitute(places)


def literal(text: str) -> str:
    """Gives a text as an SQL literal, in either dialect."""
    return "'" + text.replace("'", "''") + "'"


def check_record_types(sources: Sequence[Source]) -> None:
    """Sees that the sources can have outboxes of their own.

    Raises:
        ConfigurationError: two sources have one record type, or a name is too long to be part of our tables' names.
    """
    seen: dict[str, Source] = {}
    for source in sources:
        other = seen.setdefault(source.record_type, source)
        if other is not source:
            msg = (
                f"{source.place}: expected one source for each record type, found {source.record_type} at "
                f"{other.place} too; keep one"
            )
            raise ConfigurationError(msg, record_type=source.record_type)
        if len(source.record_type.encode()) > _LONGEST_RECORD_TYPE:
            msg = (
                f"{source.place}: expected the record type's name to have at most {_LONGEST_RECORD_TYPE} bytes, as it "
                f"becomes part of table names, found {len(source.record_type.encode())}; choose a shorter one"
            )
            raise ConfigurationError(msg, record_type=source.record_type)
