"""What the encoder writes and what it refuses, without ever quoting a value."""

import traceback
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum

import pytest

from avrocity import DATE, FIXED, INSTANT, SEX, TEXTS, VIEW, City, event, field, money, optional
from tellonce.avro.errors import CannotEncode
from tellonce.avro.jsonvalue import Json, JsonObject
from tellonce.model.change import Value
from tellonce.model.errors import InvariantError, PoisonMessageError

# A field of a shape that the compiler does not know, whose presence puts the whole schema into fastavro's hands.
FIXED_BESIDE: JsonObject = {**FIXED, "name": "Beside", "size": 2}
EXACT: JsonObject = {**money(4, 2), "type": "fixed", "name": "Exact", "size": 2}
SECRET = "44052418800101001X"


class Code(StrEnum):
    MALE = "male"


@pytest.mark.parametrize(
    ("declared", "value", "said"),
    [
        ("string", 440524188, "expected string, found int"),
        ("string", SECRET.encode(), "expected string, found bytes"),
        ("string", SECRET + "\ud800", "half of a surrogate pair"),
        ("int", 2**31, "more than 32 bits"),
        ("int", -(2**31) - 1, "more than 32 bits"),
        ("int", True, "expected int, found bool"),
        ("int", 1.0, "expected int, found float"),
        ("int", SECRET, "expected int, found str"),
        ("long", 2**63, "more than 64 bits"),
        ("long", -(2**63) - 1, "more than 64 bits"),
        ("long", 2**4000, "more than 64 bits"),
        ("boolean", 1, "expected boolean, found int"),
        ("boolean", "true", "expected boolean, found str"),
        ("bytes", SECRET, "expected bytes, found str"),
        ("bytes", bytearray(b"1"), "expected bytes, found bytearray"),
        (SEX, SECRET, "expected a symbol of the enum, found another text"),
        (SEX, 1, "expected enum, found int"),
        (SEX, ("male",), "expected enum, found tuple"),
        (SEX, ["male"], "expected enum, found list"),
        (DATE, datetime(1949, 12, 31, tzinfo=UTC), "found datetime"),
        (DATE, "1949-12-31", "found str"),
        (DATE, 0, "found int"),
        (INSTANT, datetime(1949, 12, 31), "without"),
        (INSTANT, date(1949, 12, 31), "found date"),
        (INSTANT, datetime(1949, 12, 31, microsecond=1, tzinfo=UTC), "a finer one"),
        (INSTANT, datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))), "years 1 to 9999"),
        (INSTANT, 0, "found int"),
        (money(4, 2), Decimal("100.00"), "does not fit exactly"),
        (money(4, 2), Decimal("1.001"), "does not fit exactly"),
        (money(4, 2), Decimal("NaN"), "does not fit exactly"),
        (money(4, 2), Decimal("sNaN"), "does not fit exactly"),
        (money(4, 2), Decimal("-Infinity"), "does not fit exactly"),
        (money(4, 2), Decimal("1E+999999"), "does not fit exactly"),
        (money(4, 2), Decimal("1E-999999"), "does not fit exactly"),
        (money(4, 2), 1, "expected decimal(4, 2), found int"),
        (money(4, 2), 1.5, "expected decimal(4, 2), found float"),
        (TEXTS, [SECRET], "expected array of strings, found list"),
        (TEXTS, SECRET, "expected array of strings, found str"),
        (TEXTS, (SECRET, None), "found NoneType in the list"),
        (TEXTS, (SECRET, "\udfff"), "half of a surrogate pair in the list"),
        (FIXED, b"1234567", "expected fixed of 8 bytes, found 7"),
        (FIXED, SECRET, "expected fixed of 8 bytes, found str"),
        (EXACT, Decimal("1E+3"), "expected decimal(4, 2), found a decimal that does not fit exactly"),
        (EXACT, 1, "expected decimal(4, 2), found int"),
    ],
)
@pytest.mark.parametrize("is_nullable", [False, True])
@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("beside", [[], [field("moved_by", FIXED_BESIDE)]], ids=["compiled", "fastavro"])
def test_a_value_of_another_type_is_refused_by_field_and_never_quoted(
    city: City, declared: Json, value: Value, said: str, is_nullable: bool, side: str, beside: list[JsonObject]
) -> None:
    """A value that does not fit parks its record, naming view, side and field, and never reaches a log."""
    tried = field("spare", ["null", declared] if is_nullable else declared)
    catalogue = city.publish([field("id_number"), tried, *beside])
    others: dict[str, Value] = {"moved_by": b"ab"} if beside else {}
    change = event(**{side: {"id_number": SECRET, "spare": value, **others}})

    with pytest.raises(CannotEncode) as caught:
        catalogue.encode(VIEW, change)

    assert str(caught.value).startswith(f"{side}.spare of view {VIEW}: ")
    assert said in str(caught.value)
    assert caught.value.facts == {"view": VIEW, "field": f"{side}.spare"}
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value.__context__)
    assert SECRET not in shown
    assert caught.value.__context__ is None, "an exception behind it could hold the value"


@pytest.mark.parametrize("declared", ["string", "int", "boolean", "bytes", SEX, DATE, INSTANT, money(), TEXTS])
def test_null_is_refused_where_the_schema_has_none(city: City, declared: Json) -> None:
    """A field that is not a union with null always has a value."""
    catalogue = city.publish([field("spare", declared)])

    with pytest.raises(CannotEncode, match=r"after\.spare of view citizen\.identity: expected .*, found null"):
        catalogue.encode(VIEW, event({"spare": None}))


@pytest.mark.parametrize(
    ("declared", "value", "written"),
    [
        ("string", "张伟", b"\x0c\xe5\xbc\xa0\xe4\xbc\x9f"),
        ("string", "\0", b"\x02\x00"),
        ("int", -(2**31), b"\xff\xff\xff\xff\x0f"),
        ("long", 2**63 - 1, b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        ("long", -(2**63), b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        ("long", -1, b"\x01"),
        ("boolean", True, b"\x01"),
        (SEX, Code.MALE, b"\x00"),
        (DATE, date(1969, 12, 31), b"\x01"),
        (INSTANT, datetime(1970, 1, 1, 8, tzinfo=timezone(timedelta(hours=8))), b"\x00"),
        (money(4, 2), Decimal("1.5"), b"\x04\x00\x96"),
        (money(4, 2), Decimal("1.5000"), b"\x04\x00\x96"),
        (money(4, 2), Decimal("5E+1"), b"\x04\x13\x88"),
        (money(4, 2), Decimal("-0"), b"\x02\x00"),
        (money(4, 2), Decimal("0E+999"), b"\x02\x00"),
        (TEXTS, (), b"\x00"),
        (TEXTS, ("a", ""), b"\x04\x02a\x00\x00"),
        (FIXED, b"12345678", b"12345678"),
        (EXACT, Decimal("-1.5"), b"\xff\x6a"),
        (EXACT, Decimal("1.50"), b"\x00\x96"),
        (EXACT, Decimal("5E+1"), b"\x13\x88"),
    ],
)
def test_values_are_written_as_avro_says(city: City, declared: Json, value: Value, written: bytes) -> None:
    """The bytes of a value are those of Avro 1.12, whatever spelling of the same number or instant is handed in."""
    catalogue = city.publish([field("spare", declared)])

    message = catalogue.encode(VIEW, event({"spare": value}))

    assert message[:7] == b"\x00\x00\x00\x00\x01\x00\x02"
    assert message[7:].startswith(written + b"\x0cpolice")


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ({}, "after.id_number"),
        ({"id_number": "1"}, "after.name"),
        ({"id_number": "1", "name": None, "phone": "1"}, "after.phone"),
        ({"id_number": "1", "phone": "1"}, "after.name"),
    ],
)
def test_a_row_has_exactly_the_views_fields(city: City, row: dict[str, Value], named: str) -> None:
    """A field too many would leave the department unlawfully, and one too few would read as a null nobody set."""
    catalogue = city.publish([field("id_number"), optional("name")])

    with pytest.raises(CannotEncode) as caught:
        catalogue.encode(VIEW, event(row))

    assert caught.value.facts["field"] == named


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("record_key", None),
        ("record_key", "\ud800"),
        ("epoch", 2**63),
        ("version", True),
        ("sequence", "1"),
        ("committed_at_ms", 1.5),
        ("published_at_ms", None),
        ("department", 1),
        ("op", "x"),
        ("origin", "elsewhere"),
    ],
)
def test_the_envelopes_own_facts_are_checked(city: City, name: str, value: object) -> None:
    """What relays put around a row is validated like the row."""
    catalogue = city.publish([field("id_number")])

    with pytest.raises(CannotEncode) as caught:
        catalogue.encode(VIEW, event(**{name: value}))

    assert caught.value.facts["field"] == name


@pytest.mark.parametrize("changes", [{"view": "citizen.residence"}, {"record_type": "marriage"}])
@pytest.mark.parametrize("declared", ["string", FIXED], ids=["compiled", "fastavro"])
def test_another_views_event_is_a_fault_of_the_program(city: City, changes: dict[str, object], declared: Json) -> None:
    """An event handed to the wrong view must stop the stream, not park an innocent record."""
    catalogue = city.publish([field("id_number", declared)])

    with pytest.raises(InvariantError, match="found one of another view"):
        catalogue.encode(VIEW, event(**changes))


def test_unfit_values_park_one_record() -> None:
    """The reaction to a value that does not fit is to park its record."""
    assert issubclass(CannotEncode, PoisonMessageError)
