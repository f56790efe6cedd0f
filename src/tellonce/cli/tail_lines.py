"""One message of a topic as one line, safe for a terminal, with every field's value masked unless it may be shown.

Which fields are personal is not in the contract: `sharing` says who may have a field, not whether it is about a person.
So each counts as personal, and a mask tells its kind and the class of its length, never a part of the value.
"""

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

from tellonce.avro.catalogue import Catalogue
from tellonce.model.change import Operation, Value
from tellonce.model.errors import TellonceError

__all__ = ["Line", "Received", "instant", "line_of_control", "line_of_event", "masked", "render_json", "render_text"]

_SHORT, _MIDDLE = 8, 32
_LONGEST_KEY = 64
# Controls, formats such as those that turn the writing direction, surrogates, private and unassigned ones, and breaks.
_UNSAFE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
# A bool is an int, and a datetime a date: the narrower comes first.
_KINDS: Mapping[type, str] = {
    str: "text",
    bool: "boolean",
    int: "integer",
    Decimal: "decimal",
    datetime: "instant",
    date: "date",
    bytes: "bytes",
    tuple: "list",
}
_NAMES = {
    Operation.CREATE: "create",
    Operation.UPDATE: "update",
    Operation.DELETE: "delete",
    Operation.READ: "read",
    Operation.MARKER: "marker",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A message as it came; `at_ms` is the broker's or the writer's time of it, in epoch milliseconds."""

    partition: int
    offset: int
    at_ms: int
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What is shown of a message: its time in epoch ms, its place, what it is, its facts, and an event's fields."""

    at_ms: int
    partition: int
    offset: int
    what: str
    facts: Mapping[str, object]
    fields: Mapping[str, object] | None = None


def line_of_event(message: Received, catalogue: Catalogue, view: str, *, show_values: bool) -> Line:
    """Gives the line of a change event, or the one that says why the bytes are none. Never raises for what they hold.

    The record's key is never shown; its pseudonym is.
    """
    key = _text(message.key)
    if message.value is None:
        return _line(message, "tombstone", {"pseudonym": key})
    try:
        event = catalogue.decode(message.value, view=view)
    except TellonceError as error:
        return _line(message, "undecodable", {"pseudonym": key, "why": str(error)})
    facts: dict[str, object] = {
        "epoch": event.epoch,
        "sequence": event.sequence,
        "version": event.version,
        "origin": event.origin.value,
        "pseudonym": key,
    }
    shown = _plain if show_values else masked
    row = event.after if event.after is not None else event.before
    return Line(
        at_ms=event.committed_at_ms,
        partition=message.partition,
        offset=message.offset,
        what=_NAMES[event.op],
        facts=facts,
        fields=None if row is None else {name: shown(value) for name, value in row.items()},
    )


def line_of_control(message: Received) -> Line:
    """Gives the line of a control message, or the one that says why the bytes are none. Never raises."""
    key = _text(message.key)
    if message.value is None:
        return _line(message, "tombstone", {"key": key})
    try:
        document: object = json.loads(message.value)
    except (ValueError, RecursionError):
        why = f"expected JSON, found {len(message.value)} bytes that are none; find out who wrote them to this topic"
        return _line(message, "undecodable", {"key": key, "why": why})
    return _line(message, "control", {"key": key, "message": document})


def masked(value: Value) -> str | None:
    """Gives what may be seen of a value: its kind, and for texts, bytes and lists the class of its length."""
    if value is None:
        return None
    kind = next(name for of, name in _KINDS.items() if isinstance(value, of))
    return f"<{kind} {_class_of(len(value))}>" if isinstance(value, str | bytes | tuple) else f"<{kind}>"


def render_json(line: Line) -> str:
    """Gives the line as one JSON object in ASCII, which no terminal takes for more than text."""
    document = {
        "format": 1,
        "at": instant(line.at_ms),
        "partition": line.partition,
        "offset": line.offset,
        "what": line.what,
        **line.facts,
        **({} if line.fields is None else {"fields": line.fields}),
    }
    return json.dumps(document, ensure_ascii=True)


def render_text(line: Line) -> str:
    """Gives the line for a person; what could steer a terminal is shown by its number."""
    parts = [instant(line.at_ms), f"{line.partition}:{line.offset}", line.what]
    parts += [f"{name}={_shown(fact)}" for name, fact in (*line.facts.items(), *(line.fields or {}).items())]
    return _safe(" ".join(parts))


def _line(message: Received, what: str, facts: Mapping[str, object]) -> Line:
    return Line(at_ms=message.at_ms, partition=message.partition, offset=message.offset, what=what, facts=facts)


def _text(key: bytes | None) -> str | None:
    if key is None:
        return None
    text = key.decode("ascii", "backslashreplace")
    return text if len(text) <= _LONGEST_KEY else f"{text[:_LONGEST_KEY]}…"


def _class_of(length: int) -> str:
    if length == 0:
        return "empty"
    if length <= _SHORT:
        return f"1-{_SHORT}"
    return f"{_SHORT + 1}-{_MIDDLE}" if length <= _MIDDLE else f"over {_MIDDLE}"


def _plain(value: Value) -> object:
    match value:
        case bytes():
            return value.hex()
        case Decimal():
            return str(value)
        case date():
            return value.isoformat()
        case tuple():
            return list(value)
        case _:
            return value


def _shown(fact: object) -> str:
    if isinstance(fact, str) and fact.isalnum():
        return fact
    return json.dumps(fact, ensure_ascii=False)


def _safe(text: str) -> str:
    return "".join(f"\\u{ord(one):04x}" if unicodedata.category(one) in _UNSAFE else one for one in text)


def instant(at_ms: int) -> str:
    """Gives a time in epoch milliseconds as text, in UTC; one that no calendar has stays a number."""
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return f"{at_ms} ms"
