"""A field's Avro type, reduced to the closed list of types that a view may carry.

The list is short on purpose: each type has one meaning in every department's database, one canonical form for digests,
and a decoder whose cost is bounded by the bytes it is given.
Everything else is refused here, once, where a person still reads the message.
What is read here has passed fastavro: Avro's own rules are kept, and those below are the ones that Avro has not.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

from tellonce.avro.fields import FieldSpec, Kind
from tellonce.avro.jsonvalue import Json, JsonObject
from tellonce.avro.values import ValueShape, Wire, default_from_json
from tellonce.model.change import Value

__all__ = ["FieldShape", "Refused", "camel_case", "read_fields"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# PostgreSQL's own limit on a declared NUMERIC; it also bounds what one decimal can cost a reader.
_MAX_PRECISION = 1000
# More than a checksum or the largest decimal (416 bytes) takes; a picture belongs into bytes.
_MAX_FIXED_BYTES = 1024

_LOGICAL = {
    ("int", "date"): Wire.DATE,
    ("long", "timestamp-millis"): Wire.INSTANT,
    ("bytes", "decimal"): Wire.DECIMAL,
    ("fixed", "decimal"): Wire.FIXED_DECIMAL,
}
_PLAIN = {
    "string": Wire.TEXT,
    "int": Wire.INT,
    "long": Wire.LONG,
    "boolean": Wire.BOOLEAN,
    "bytes": Wire.BYTES,
}
_KINDS = {
    Wire.TEXT: Kind.TEXT,
    Wire.ENUM: Kind.TEXT,
    Wire.INT: Kind.INTEGER,
    Wire.LONG: Kind.INTEGER,
    Wire.BOOLEAN: Kind.BOOLEAN,
    Wire.BYTES: Kind.BYTES,
    Wire.DECIMAL: Kind.DECIMAL,
    Wire.FIXED: Kind.BYTES,
    Wire.FIXED_DECIMAL: Kind.DECIMAL,
    Wire.DATE: Kind.DATE,
    Wire.INSTANT: Kind.INSTANT,
    Wire.TEXT_LIST: Kind.TEXT_LIST,
}
_ADVICE = {
    "float": "use decimal, whose values are exact",
    "double": "use decimal, whose values are exact",
    "null": "drop the field, which can hold nothing",
    "map": "use one field for each key",
    "timestamp-micros": "use timestamp-millis",
    "timestamp-nanos": "use timestamp-millis",
    "local-timestamp-millis": "use timestamp-millis, which names an instant",
    "local-timestamp-micros": "use timestamp-millis, which names an instant",
    "time-millis": "use string",
    "time-micros": "use string",
    "uuid": "use string without a logical type",
    "duration": "use long and put the unit into the name",
}
_DECIMALS = frozenset({Wire.DECIMAL, Wire.FIXED_DECIMAL})
_ALLOWED = "string, int, long, boolean, bytes, fixed, an enum, decimal, date, timestamp-millis or an array of strings"


class Refused(Exception):  # noqa: N818 - never leaves this package; the file's reader turns it into a ConfigurationError
    """A part of a schema that departments cannot share; `field` names it where it is one field's fault."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldShape:
    """A field of a record: what the parts above see of it, how it lies on the wire, and how it is declared."""

    spec: FieldSpec
    value: ValueShape
    has_default: bool
    default: Value
    """The value of a record that a schema without this field wrote; None too where there is no default."""
    enum_default: str | None
    """For an enum, the symbol that stands for those a reader does not know."""
    aliases: tuple[str, ...]
    declaration: JsonObject
    """The Avro field with names in full and without documentation."""


class _FieldType(StrEnum):
    ARRAY = "array"
    ENUM = "enum"
    FIXED = "fixed"
    RECORD = "record"


def camel_case(name: str) -> str:
    """An underscored name as Avro's record names have it: `marital_status` gives `MaritalStatus`."""
    return "".join(part.capitalize() for part in name.split("_"))


def read_fields(record: JsonObject, namespace: str) -> tuple[FieldShape, ...]:
    """The fields of an Avro record that `parse_avro` has let through.

    Raises:
        Refused: the record has no fields, one twice, or one of a type outside the list.
    """
    declared = record.get("fields")
    if not isinstance(declared, list) or not declared:
        raise Refused("expected a record with at least one field, found none")
    reader = _Reader(str(record.get("name")), namespace)
    shapes: list[FieldShape] = []
    for field in declared:
        shape = reader.field(field)
        if any(shape.spec.name == other.spec.name for other in shapes):
            raise Refused("expected each field once, found it twice; remove one", shape.spec.name)
        shapes.append(shape)
    return tuple(shapes)


class _Reader:
    """Reads the fields of one record; knows the types named so far, since a later field may refer to one."""

    def __init__(self, record: str, namespace: str) -> None:
        self._record = record
        self._namespace = namespace
        self._named_types: dict[str, tuple[Wire, JsonObject]] = {}

    def field(self, field: Json) -> FieldShape:
        declared = cast("JsonObject", field)
        name = declared["name"]
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            expected = "expected a field name of letters, digits and underscores, found another"
            raise Refused(expected, name if isinstance(name, str) else None)
        try:
            return self._shape(declared, name)
        except Refused as refusal:
            raise Refused(str(refusal), name) from None

    def _shape(self, field: JsonObject, name: str) -> FieldShape:
        nullable, inner = _without_null(field["type"])
        kind, declared = self._type(inner)
        value = ValueShape(
            wire=kind,
            nullable=nullable,
            precision=_integer(declared, "precision") if kind in _DECIMALS else None,
            scale=_integer(declared, "scale") if kind in _DECIMALS else None,
            size=_integer(declared, "size") if kind in (Wire.FIXED, Wire.FIXED_DECIMAL) else None,
            symbols=_texts(declared, "symbols") if kind is Wire.ENUM else (),
        )
        match_only = _match_only(field, value)
        default: Value = None
        if "default" in field:
            default = _default(value, field["default"])
        spec = FieldSpec(
            name=name,
            kind=_KINDS[kind],
            nullable=nullable,
            match_only=match_only,
            precision=value.precision,
            scale=value.scale,
            symbols=value.symbols,
        )
        kept = {key: item for key, item in field.items() if key != "doc"}
        kept["type"] = ["null", declared] if nullable else declared
        enum_default = declared.get("default") if isinstance(declared, dict) and kind is Wire.ENUM else None
        return FieldShape(
            spec=spec,
            value=value,
            has_default="default" in field,
            default=default,
            enum_default=enum_default if isinstance(enum_default, str) else None,
            aliases=_texts(field, "aliases"),
            declaration=kept,
        )

    def _type(self, declared: Json) -> tuple[Wire, Json]:
        """The wire type, and the declaration as a derived schema repeats it."""
        if isinstance(declared, str):
            return self._named(declared)
        declared = cast("JsonObject", declared)
        kind = cast("str", declared["type"])
        if kind == _FieldType.ENUM:
            return self._declared(declared, Wire.ENUM, _enum(declared))
        if kind == _FieldType.FIXED:
            return self._declared(declared, *_fixed(declared))
        if kind == _FieldType.ARRAY:
            return Wire.TEXT_LIST, _array(declared)
        if kind in (_FieldType.RECORD, "error"):
            raise Refused("expected a flat record, found a nested one; declare its fields one by one")
        return self._annotated(kind, declared)

    def _named(self, name: str) -> tuple[Wire, Json]:
        if name in _PLAIN:
            return _PLAIN[name], name
        full = name if "." in name else f"{self._namespace}.{name}"
        if full == f"{self._namespace}.{self._record}":
            raise Refused("expected a flat record, found one that contains itself; recursive schemas are refused")
        if full in self._named_types:
            return self._named_types[full]
        raise _unsupported(name)

    def _annotated(self, kind: str, declared: JsonObject) -> tuple[Wire, Json]:
        logical = declared.get("logicalType")
        if logical is None:
            return self._named(kind)
        wire = _LOGICAL.get((kind, str(logical)))
        if wire is None:
            raise _unsupported(str(logical), f"{logical} on {kind}")
        return wire, {"type": kind, "logicalType": logical, **(_digits(declared) if wire is Wire.DECIMAL else {})}

    def _declared(self, declared: JsonObject, wire: Wire, form: JsonObject) -> tuple[Wire, JsonObject]:
        """The declaration under its full name, by which a later field may refer to it."""
        name = declared["name"]
        if not isinstance(name, str) or not all(_NAME.fullmatch(part) for part in name.split(".")):
            raise Refused("expected a type's name of letters, digits and underscores, found another")
        namespace, _, short = name.rpartition(".")
        given = declared.get("namespace")
        namespace = namespace or (given if isinstance(given, str) else self._namespace)
        kept: JsonObject = {"type": declared["type"], "name": short, "namespace": namespace, **form}
        self._named_types[f"{namespace}.{short}"] = wire, kept
        return wire, kept


def _enum(declared: JsonObject) -> JsonObject:
    symbols = _texts(declared, "symbols")
    if not symbols:
        raise Refused("expected an enum with symbols, found none; use string for free codes")
    form: JsonObject = {"symbols": list(symbols)}
    if "default" in declared:
        form["default"] = declared["default"]
    return form


def _fixed(declared: JsonObject) -> tuple[Wire, JsonObject]:
    logical, size = declared.get("logicalType"), declared["size"]
    if type(size) is not int or not 1 <= size <= _MAX_FIXED_BYTES:
        raise Refused(f"expected fixed of 1 to {_MAX_FIXED_BYTES} bytes, found another size; use bytes for longer ones")
    if logical is None:
        return Wire.FIXED, {"size": size}
    wire = _LOGICAL.get((_FieldType.FIXED, str(logical)))
    if wire is None:
        raise _unsupported(str(logical), f"{logical} on fixed")
    return wire, {"size": size, "logicalType": logical, **_digits(declared)}


def _digits(declared: JsonObject) -> JsonObject:
    """Precision and scale of a decimal; fastavro takes one without a precision, whose values have no bound."""
    precision, scale = declared.get("precision"), declared.get("scale", 0)
    if type(precision) is not int or type(scale) is not int or not 1 <= precision <= _MAX_PRECISION:
        expected = f"expected a decimal with a precision of 1 to {_MAX_PRECISION} and a scale up to it"
        raise Refused(f"{expected}, found another; declare both")
    return {"precision": precision, "scale": scale}


def _array(declared: JsonObject) -> JsonObject:
    items = declared.get("items")
    if isinstance(items, dict) and set(items) == {"type"}:
        items = items["type"]
    if items == "string":
        return {"type": "array", "items": "string"}
    if _is_zero_width(items):
        expected = "expected an array of strings"
        raise Refused(f"{expected}, found items of zero width, of which a few bytes can claim millions")
    raise Refused("expected an array of strings, found an array of something else; declare array<string>")


def _without_null(declared: Json) -> tuple[bool, Json]:
    if not isinstance(declared, list):
        return False, declared
    match declared:
        case ["null", str() | dict() as inner] if inner != "null":
            return True, inner
        case _:
            raise Refused('expected a union of the form ["null", type], found another; write null first and one type')


def _match_only(field: JsonObject, value: ValueShape) -> bool:
    match_only = field.get("match_only", False)
    if not isinstance(match_only, bool):
        raise Refused('expected "match_only": true or false, found another value')
    if match_only and (value.wire is not Wire.TEXT_LIST or value.nullable):
        raise Refused("expected a match_only field to be an array of strings that is never null, found another type")
    return match_only


def _default(value: ValueShape, written: Json) -> Value:
    try:
        return default_from_json(value, written)
    except ValueError as error:
        raise Refused(f"expected a default that the field's type can hold, found {error}") from None


def _is_zero_width(items: Json) -> bool:
    if isinstance(items, dict):
        empty_record = items.get("type") == _FieldType.RECORD and not items.get("fields")
        empty_fixed = items.get("type") == "fixed" and items.get("size") == 0
        return empty_record or empty_fixed or items.get("type") == "null"
    return items == "null"


def _unsupported(name: str, found: str | None = None) -> Refused:
    advice = _ADVICE.get(name)
    return Refused(f"expected {_ALLOWED}, found {found or name}" + (f"; {advice}" if advice else ""))


def _integer(declared: Json, key: str) -> int:
    return cast("int", cast("JsonObject", declared)[key])


def _texts(declared: Json, key: str) -> tuple[str, ...]:
    found = cast("JsonObject", declared).get(key, [])
    if not isinstance(found, list):
        raise Refused(f"expected {key} to be a list of names, found another value")
    texts = tuple(item for item in found if isinstance(item, str))
    if len(texts) != len(found):
        raise Refused(f"expected {key} to be a list of names, found another value")
    return texts
