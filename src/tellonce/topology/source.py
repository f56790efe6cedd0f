"""YAML text to plain values, with the line and column of every key and value.

The parser's events are read one by one instead of a composed document: nothing recurses and nothing is expanded, so
that neither deep nesting nor aliases of aliases can exhaust the process, and a duplicate key is seen before it is lost.
"""

import re
from dataclasses import dataclass, field
from typing import TypeAlias

from tellonce.topology.findings import Finding, Position, Severity, refusal
from tellonce.topology.tokens import START, Token, TokenKind, tokens, unreadable

__all__ = ["Location", "Plain", "TopologySource", "read_source"]

Plain: TypeAlias = bool | int | float | str | list["Plain"] | dict[str, "Plain"] | None
"""A YAML value in Python's own types; a key of a mapping is always text."""

Location: TypeAlias = tuple[str | int, ...]
"""The path of keys and list indexes to a value, such as ``("record_types", "citizen", "authority")``."""

# A topology is 7 levels deep; twice that leaves room for a misplaced block to be reported as what it is.
_MOST_LEVELS = 16

# Python refuses to read numbers of more than 4,300 digits.
_INTEGER = re.compile(r"[-+]?[0-9]{1,400}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_HALF_PAIR = re.compile("[\ud800-\udfff]")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass(frozen=True, slots=True)
class TopologySource:
    """Where each part of a topology was written.

    `keys` holds the place of a key or list item, `values` that of what stands behind it.
    A source without places (for a topology built in code) answers every question with line 1, column 1.
    """

    name: str
    keys: dict[Location, Position] = field(default_factory=dict[Location, Position])
    values: dict[Location, Position] = field(default_factory=dict[Location, Position])

    def key_at(self, location: Location) -> Position:
        """Where the key at `location` is written, or the nearest key around it that is."""
        for length in range(len(location), 0, -1):
            if location[:length] in self.keys:
                return self.keys[location[:length]]
        return START

    def value_at(self, location: Location) -> Position:
        """Where the value at `location` begins, or the nearest key around it that is written."""
        return self.values.get(location) or self.key_at(location)


def read_source(text: str, name: str) -> tuple[Plain, TopologySource]:
    """The one document in `text` as plain values, and where each is written; `name` is the file's name in findings.

    YAML 1.2's core schema decides what is text, a number, true, false or nothing.
    An empty document is None.

    Raises:
        ConfigurationError: not YAML, a second document, a duplicate key, a key that is not text, nesting deeper than a
            topology's, or an anchor, alias or tag: each subscription is read by lawyers on its own, so no part of it
            may be written elsewhere.
    """
    reader = _Reader(name)
    for token in tokens(text, name):
        reader.take(token)
    if reader.findings:
        raise refusal(reader.findings)
    return reader.root, reader.source


@dataclass(slots=True)
class _Level:
    """A mapping or list whose end has not been read."""

    location: Location
    items: list[Plain] | dict[str, Plain]
    key: str | None = None
    is_duplicate: bool = False


class _Reader:
    """Takes tokens in order and builds the values and their places."""

    def __init__(self, name: str) -> None:
        self.source = TopologySource(name)
        self.root: Plain = None
        self.findings: list[Finding] = []
        self._levels: list[_Level] = []
        self._documents = 0

    def take(self, token: Token) -> None:
        if token.indirection is not None:
            fix = "write the value itself"
            self._report("TO004", token, "every part written out where it applies", token.indirection, fix)
        if _HALF_PAIR.search(token.value):
            fix = "write the character itself instead of \\u escapes"
            self._report("TO002", token, "Unicode text", "half of a surrogate pair", fix)
        if token.kind is TokenKind.DOCUMENT:
            self._start_document(token)
        elif token.kind is TokenKind.END:
            self._levels.pop()
        else:
            level = self._levels[-1] if self._levels else None
            if level is not None and isinstance(level.items, dict) and level.key is None:
                self._key(level, level.items, token)
            else:
                self._value(level, token)

    def _start_document(self, token: Token) -> None:
        self._documents += 1
        if self._documents > 1:
            fix = "remove the line '---' before it"
            raise unreadable("TO002", self.source.name, token.position, "one document", "a second one", fix)
        if token.version not in {None, (1, 2)}:
            fix = "remove the %YAML line"
            raise unreadable("TO002", self.source.name, token.position, "YAML 1.2", "another version", fix)

    def _key(self, level: _Level, items: dict[str, Plain], token: Token) -> None:
        if token.kind is not TokenKind.SCALAR:
            # Where such a key ends and its value begins can no longer be told.
            self._report("TO005", token, "a name as key", "something else", "write a name followed by a colon")
            raise refusal(self.findings)
        key = token.value
        if not isinstance(_scalar(token), str):
            self._report("TO005", token, "a name as key", key[:40] or "nothing", "use a name")
        location = (*level.location, key)
        level.key = key
        level.is_duplicate = key in items
        if level.is_duplicate:
            first = self.source.keys[location]
            found = f"this one again (first at line {first.line}, column {first.column})"
            self._report("TO003", token, "each key once", found, "merge the two or rename one")
        self.source.keys.setdefault(location, token.position)

    def _value(self, level: _Level | None, token: Token) -> None:
        location = self._place(level, token)
        value: Plain = None
        if token.kind is TokenKind.SCALAR:
            value = _scalar(token)
        elif token.kind is not TokenKind.ALIAS:
            value = {} if token.kind is TokenKind.MAPPING else []
            if len(self._levels) >= _MOST_LEVELS:
                expected = f"at most {_MOST_LEVELS} levels of nesting"
                fix = "a topology has 7 levels; check brackets and indentation"
                raise unreadable("TO002", self.source.name, token.position, expected, "more", fix)
            self._levels.append(_Level(location, value))
        self._keep(level, value)

    def _place(self, level: _Level | None, token: Token) -> Location:
        location: Location = ()
        if level is not None and isinstance(level.items, list):
            location = (*level.location, len(level.items))
            self.source.keys.setdefault(location, token.position)
        elif level is not None and level.key is not None:
            location = (*level.location, level.key)
        # Nothing after a colon is placed by the parser at whatever comes next, so the key stands for it.
        if token.kind is not TokenKind.SCALAR or token.value or token.is_quoted:
            self.source.values.setdefault(location, token.position)
        return location

    def _keep(self, level: _Level | None, value: Plain) -> None:
        if level is None:
            self.root = value
        elif isinstance(level.items, list):
            level.items.append(value)
        elif level.key is not None:
            if not level.is_duplicate:
                level.items[level.key] = value
            level.key = None

    def _report(self, rule: str, token: Token, expected: str, found: str, fix: str) -> None:
        finding = Finding(
            rule=rule,
            severity=Severity.ERROR,
            file=self.source.name,
            position=token.position,
            expected=expected,
            found=found,
            fix=fix,
        )
        self.findings.append(finding)


def _scalar(token: Token) -> Plain:
    """The value by YAML 1.2's core schema, whose hexadecimal and octal numbers, infinity and not-a-number stay text."""
    text = token.value
    if token.is_quoted:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
