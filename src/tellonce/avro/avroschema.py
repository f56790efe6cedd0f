"""Avro's own rules for a schema, which fastavro knows, behind the guards that a schema must pass before it."""

from bisect import bisect_left

from fastavro.schema import SchemaParseException, UnknownType, parse_schema
from fastavro.types import Schema

from tellonce.avro.fieldshape import Refused
from tellonce.avro.jsonvalue import Json, JsonObject

__all__ = ["parse_avro"]

# An envelope of ours is 8 deep. fastavro recurses in C, where nothing but the end of the stack stops it.
_MAX_DEPTH = 32
# The marks by which fastavro knows what it has parsed; it takes a schema that carries one as it stands, unchecked.
_MARKS = ("__fastavro_parsed", "__named_schemas")
_MAX_REASON = 120
# What fastavro raises on JSON of the wrong form: its own two for what it looks for, Python's for what it does not.
_REFUSALS = (SchemaParseException, KeyError, TypeError, ValueError, AttributeError, OverflowError)


def parse_avro(schema: JsonObject) -> Schema:
    """The schema as fastavro has parsed and checked it; writing and reading by it need not check again.

    What fastavro has no rule for is left to `read_fields`, and only what passes both may be read by.

    Raises:
        Refused: the schema is nested too deeply, passes itself off as parsed, or breaks a rule of Avro's.
    """
    _guard(schema)
    try:
        return parse_schema(schema)
    except _REFUSALS as error:
        found = f"found {_breach(error)}"
    expected = "expected a schema that keeps Avro's rules"
    raise Refused(f"{expected}, {found}; correct it and run `tellonce schemas check`", _culprit(schema))


def _guard(schema: JsonObject) -> None:
    for mark in _MARKS:
        if mark in schema:
            raise Refused(f"expected a schema as a person writes it, found {mark}; remove this property")
    level: list[Json] = [schema]
    for _ in range(_MAX_DEPTH):
        level = [part for whole in level for part in _parts(whole)]
        if not level:
            return
    raise Refused(f"expected at most {_MAX_DEPTH} levels of JSON in one another, found more; declare a flat record")


def _parts(whole: Json) -> list[Json]:
    if isinstance(whole, dict):
        return list(whole.values())
    return whole if isinstance(whole, list) else []


def _breach(error: Exception) -> str:
    """What fastavro found, without the parts of the schema that it quotes."""
    match error:
        case UnknownType(name=str() as name):
            return f"the type {name[:_MAX_REASON]}, which nothing declares"
        case UnknownType():
            return "a type that Avro does not have"
        case SchemaParseException():
            return _reason(str(error))
        case KeyError():
            return f"a part without {str(error)[:_MAX_REASON]}"
        case _:
            return "a part that is no schema at all"


def _reason(text: str) -> str:
    if text.startswith("Default value <"):
        return "a default that the field's type cannot hold"
    said = text.partition(": {")[0]
    if said.startswith("Record field must be"):
        said = said.partition(":")[0]
    return f"one that does not ({said[:1].lower()}{said[1:_MAX_REASON]})"


def _culprit(schema: JsonObject) -> str | None:
    """The field without which, and without those behind it, the schema would pass."""
    fields = schema.get("fields")
    if not isinstance(fields, list):
        return None

    def is_broken(count: int) -> bool:
        try:
            parse_schema({**schema, "fields": fields[:count]})
        except _REFUSALS:
            return True
        return False

    if is_broken(0):
        return None
    # Once broken, a longer record stays so: names declared are never taken back.
    at = bisect_left(range(1, len(fields) + 1), x=True, key=is_broken)
    field = fields[at]
    name = field.get("name") if isinstance(field, dict) else None
    return name if isinstance(name, str) else None
