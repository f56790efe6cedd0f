"""Whatever a schema is written and read by, compiled code or fastavro, the bytes are fastavro's and the event ours.

A start compares the two on a few values of the schemas it has; here both are drawn.
"""

import io
from dataclasses import replace
from datetime import UTC
from decimal import Context, Decimal
from pathlib import Path
from typing import NamedTuple

import fastavro
from hypothesis import given, settings
from hypothesis import strategies as st

from avrocity import DATE, INSTANT, TEXTS, City, as_record, event, field, money
from tellonce.avro.codec import make_decoder, make_encoder
from tellonce.avro.derive import WireSchema, derive_envelope, read_wire_schema
from tellonce.avro.eventrules import SourceNames
from tellonce.avro.fieldshape import read_fields
from tellonce.avro.jsonvalue import Json, JsonObject
from tellonce.avro.recordschema import RecordSchema
from tellonce.avro.values import INT_RANGE, LONG_RANGE
from tellonce.model.change import ChangeEvent, Fields, Operation, Origin, Value

NAMES = SourceNames(department="police", record_type="citizen", view="citizen.identity")
HEAD = b"\x00\x00\x00\x00\x07"
EXACT = Context(prec=1000)

TEXT = st.one_of(
    st.text(max_size=40),
    st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF), max_size=30),
    st.text(st.characters(min_codepoint=0x20000, max_codepoint=0x2FFFF), max_size=20),
    st.integers(60, 70).map(lambda length: "x" * length),
    st.integers(1020, 1030).map(lambda length: "x" * length),
)
INTEGER = st.integers(LONG_RANGE.start, LONG_RANGE.stop - 1)
NATURAL = st.one_of(st.integers(0, 2000), st.integers(0, LONG_RANGE.stop - 1))


class Case(NamedTuple):
    """A schema with an event that fits it."""

    schema: WireSchema
    envelope: JsonObject
    change: ChangeEvent


def decimals(precision: int, scale: int) -> st.SearchStrategy[Value]:
    largest = 10**precision - 1
    numbers = st.one_of(st.integers(-largest, largest), st.sampled_from([0, 127, 128, -128, -129, largest, -largest]))
    # A number that the precision has no room for is drawn as zero.
    return numbers.map(lambda number: Decimal(number if abs(number) <= largest else 0).scaleb(-scale, EXACT))


def fixed(name: str, precision: int) -> JsonObject:
    return {"type": "fixed", "name": name, "size": (10**precision).bit_length() // 8 + 1}


@st.composite
def types(draw: st.DrawFn, number: int) -> tuple[Json, st.SearchStrategy[Value]]:
    """An Avro type and the values it holds."""
    precision = draw(st.integers(1, 40))
    scale = draw(st.integers(0, precision))
    symbols = [f"s{index}" for index in range(draw(st.sampled_from([1, 2, 63, 64, 65, 200])))]
    instants = st.datetimes(timezones=st.just(UTC))
    choices: list[tuple[Json, st.SearchStrategy[Value]]] = [
        ("string", TEXT),
        ("int", st.integers(INT_RANGE.start, INT_RANGE.stop - 1)),
        ("long", st.one_of(INTEGER, st.integers(-70, 70))),
        ("boolean", st.booleans()),
        ("bytes", st.binary(max_size=200)),
        (DATE, st.dates()),
        (
            INSTANT,
            instants.map(lambda instant: instant.replace(microsecond=instant.microsecond // 1000 * 1000, fold=0)),
        ),
        (money(precision, scale), decimals(precision, scale)),
        ({"type": "enum", "name": f"E{number}", "symbols": [*symbols]}, st.sampled_from(symbols)),
        (TEXTS, st.lists(TEXT, max_size=5).map(tuple)),
        # Two shapes that the compiler does not know: any schema with one of them is fastavro's to write and read.
        ({"type": "fixed", "name": f"E{number}", "size": 9}, st.binary(min_size=9, max_size=9)),
        ({**money(precision, scale), **fixed(f"E{number}", precision)}, decimals(precision, scale)),
    ]
    return draw(st.sampled_from(choices))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Any schema of up to eight fields, with an event that has both sides, one or none."""
    declared: list[Json] = []
    values: dict[str, st.SearchStrategy[Value]] = {}
    for number in range(draw(st.integers(1, 8))):
        kind, value = draw(types(number))
        is_nullable = draw(st.booleans())
        declared.append(field(f"f{number}", ["null", kind] if is_nullable else kind))
        values[f"f{number}"] = st.one_of(st.none(), value) if is_nullable else value
    record: JsonObject = {"type": "record", "name": "Citizen", "namespace": "tellonce.citizen", "fields": declared}
    shapes = read_fields(record, "tellonce.citizen")
    schema = RecordSchema(file=Path(), record_type="citizen", version=1, fields=shapes, declaration=record)
    envelope = derive_envelope(schema, City(Path()).topology(identity=list(values)).view("citizen.identity"))
    rows = st.one_of(st.none(), st.fixed_dictionaries(values))
    change = event(
        draw(rows),
        draw(rows),
        op=draw(st.sampled_from(Operation)),
        origin=draw(st.sampled_from(Origin)),
        department=draw(st.sampled_from(["police", "civil-affairs"])),
        record_key=draw(TEXT),
        epoch=draw(NATURAL),
        version=draw(NATURAL),
        sequence=draw(NATURAL),
        committed_at_ms=draw(INTEGER),
        published_at_ms=draw(INTEGER),
    )
    return Case(read_wire_schema(7, envelope), envelope, change)


def ours(case: Case) -> bytes:
    return make_encoder(case.schema, NAMES)(case.change)


def theirs(case: Case) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(case.envelope), as_record(case.change))
    return out.getvalue()


@settings(max_examples=2 * settings().max_examples, deadline=None)
@given(cases())
def test_bytes_and_events_are_fastavros(case: Case) -> None:
    """A message is the frame around fastavro's bytes, and either side reads the other's as the event written."""
    decode = make_decoder(case.schema, case.schema, NAMES, wanted=None, with_before=True)

    written = ours(case)
    read = decode(HEAD + theirs(case))

    assert written == HEAD + theirs(case)
    assert fastavro.schemaless_reader(io.BytesIO(written[5:]), fastavro.parse_schema(case.envelope), None) == as_record(
        case.change
    )
    assert read == case.change
    for row, expected in ((read.before, case.change.before), (read.after, case.change.after)):
        # Equal values of another type or with another scale differ here.
        assert repr(sorted((row or {}).items())) == repr(sorted((expected or {}).items()))


@settings(max_examples=settings().max_examples, deadline=None)
@given(cases(), st.data())
def test_a_narrowed_read_is_the_narrowed_event(case: Case, data: st.DataObject) -> None:
    """Reading some fields gives what reading all and dropping the others gives."""
    wanted = data.draw(st.sets(st.sampled_from([one.spec.name for one in case.schema.fields])).map(frozenset))
    with_before = data.draw(st.booleans())
    decode = make_decoder(case.schema, case.schema, NAMES, wanted=wanted, with_before=with_before)

    read = decode(ours(case))

    def narrowed(row: Fields | None) -> Fields | None:
        return None if row is None else {name: value for name, value in row.items() if name in wanted}

    before = narrowed(case.change.before) if with_before else None
    assert read == replace(case.change, before=before, after=narrowed(case.change.after))
