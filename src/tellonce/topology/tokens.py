"""The YAML parser's events as typed tokens, and its complaints as findings."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, cast

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from tellonce.model.errors import ConfigurationError
from tellonce.topology.findings import Finding, Position, Severity, refusal

__all__ = ["START", "Token", "TokenKind", "printable", "tokens", "unreadable"]

START = Position(line=1, column=1)
"""The place of what has no other."""

_NOT_TEXT = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_EXPECTED_FOUND = re.compile(r"expected (?P<expected>.+?),? but (?:found|got) (?P<found>.+)")


class TokenKind(StrEnum):
    """What begins or ends at a token."""

    DOCUMENT = "document"
    MAPPING = "mapping"
    LIST = "list"
    SCALAR = "scalar"
    ALIAS = "alias"
    END = "end"


_KINDS: dict[object, TokenKind] = {
    DocumentStartEvent: TokenKind.DOCUMENT,
    MappingStartEvent: TokenKind.MAPPING,
    SequenceStartEvent: TokenKind.LIST,
    ScalarEvent: TokenKind.SCALAR,
    AliasEvent: TokenKind.ALIAS,
    MappingEndEvent: TokenKind.END,
    SequenceEndEvent: TokenKind.END,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One event of the parser.

    `value` is a scalar's text, and `is_quoted` whether it stood in quotes or a block, which makes it text in any case.
    `indirection` names the anchor, alias or tag on it, and `version` is the one a %YAML line asks for.
    """

    kind: TokenKind
    position: Position
    value: str
    is_quoted: bool
    indirection: str | None
    version: tuple[int, int] | None


class _Mark(Protocol):
    line: int
    column: int


class _Event(Protocol):
    start_mark: _Mark


class _Parser(Protocol):
    def parse(self, stream: str) -> Iterator[_Event]: ...


def tokens(text: str, file: str) -> Iterator[Token]:
    """The tokens of `text` in order, read as they are asked for.

    Raises:
        ConfigurationError: `text` holds a control character or is not YAML.
    """
    _refuse_control_characters(text, file)
    parser = cast("_Parser", YAML(typ="safe", pure=True))
    try:
        for event in parser.parse(text):
            kind = _KINDS.get(type(event))
            if kind is not None:
                yield _token(event, kind)
    except MarkedYAMLError as error:
        raise _not_yaml(error, file) from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # The parser lets a few slips of its own out, on text that no person writes, such as an escape beyond Unicode.
        found = f"text that the YAML parser cannot read ({type(error).__name__})"
        fix = "look for unusual escapes, such as \\U00110000"
        raise unreadable("TO002", file, START, "valid YAML", found, fix) from error


def printable(text: str) -> str:
    """`text` with a question mark for every character that would not show on a terminal, or would steer it."""
    return "".join(character if character.isprintable() else "?" for character in text)


def unreadable(rule: str, file: str, position: Position, expected: str, found: str, fix: str) -> ConfigurationError:
    """The error for a file in which nothing further can be looked at."""
    finding = Finding(
        rule=rule, severity=Severity.ERROR, file=file, position=position, expected=expected, found=found, fix=fix
    )
    return refusal([finding])


def _refuse_control_characters(text: str, file: str) -> None:
    match = _NOT_TEXT.search(text)
    if match is not None:
        before = text[: match.start()]
        position = Position(line=before.count("\n") + 1, column=len(before) - before.rfind("\n"))
        raise unreadable("TO002", file, position, "printable text", f"the character U+{ord(match[0]):04X}", "remove it")


def _token(event: _Event, kind: TokenKind) -> Token:
    # What only some events have is given its type here, once: the parser declares none.
    value: str | None = getattr(event, "value", None)
    style: str | None = getattr(event, "style", None)
    version: tuple[int, int] | None = getattr(event, "version", None)
    return Token(
        kind=kind,
        position=_position(event.start_mark),
        value=value or "",
        is_quoted=style is not None,
        indirection=_indirection(event, kind),
        version=version,
    )


def _indirection(event: _Event, kind: TokenKind) -> str | None:
    if kind is TokenKind.ALIAS:
        return "an alias (*)"
    if getattr(event, "anchor", None) is not None:
        return "an anchor (&)"
    return "a tag (!)" if getattr(event, "ctag", None) is not None else None


def _not_yaml(error: MarkedYAMLError, file: str) -> ConfigurationError:
    mark: _Mark | None = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem: str = getattr(error, "problem", None) or getattr(error, "context", None) or "something else"
    fix = "check the indentation, the space after each colon, and quotes around text that holds ': ' or ' #'"
    if "\\t" in problem:
        fix = "indent and separate with spaces, never with tabs"
    for end in ("'\\x00'", "'<stream end>'", "('<stream end>',)"):
        problem = problem.replace(end, "the end of the file")
    expected, found = "valid YAML", problem.removeprefix("found ")
    if (both := _EXPECTED_FOUND.fullmatch(problem)) is not None:
        expected, found = f"{both['expected']} to make it valid YAML", both["found"]
    place = START if mark is None else _position(mark)
    return unreadable("TO002", file, place, printable(expected[:200]), printable(found[:200]), fix)


def _position(mark: _Mark) -> Position:
    return Position(line=mark.line + 1, column=mark.column + 1)
