"""At its start a service compares its compiled codec with fastavro, field by field."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avrocity import DATE, INSTANT, SEX, TEXTS, VIEW, City, field, money, optional
from tellonce.avro import agreement, decoder, encoder
from tellonce.avro.codec import is_compiled
from tellonce.avro.derive import read_wire_schema
from tellonce.avro.fieldshape import FieldShape
from tellonce.avro.lock import extend_lock, load_lock
from tellonce.avro.samples import sample_values
from tellonce.avro.sourcecode import SourceCode
from tellonce.avro.values import ValueShape, Wire, refusal
from tellonce.model.errors import ConfigurationError

# A field of each shape that is compiled, named after it.
FIELDS = {
    Wire.TEXT: field("a_text"),
    Wire.INT: field("an_int", "int"),
    Wire.LONG: field("a_long", "long"),
    Wire.BOOLEAN: optional("a_boolean", "boolean"),
    Wire.BYTES: field("some_bytes", "bytes"),
    Wire.ENUM: field("an_enum", SEX),
    Wire.DECIMAL: optional("a_decimal", money()),
    Wire.DATE: field("a_date", DATE),
    Wire.INSTANT: optional("an_instant", INSTANT),
    Wire.TEXT_LIST: field("a_list", TEXTS),
}


@pytest.mark.parametrize("broken", FIELDS)
def test_an_encoder_that_writes_other_bytes_stops_the_start(
    city: City, monkeypatch: pytest.MonkeyPatch, broken: Wire
) -> None:
    """A wrong byte would lie in the topic for ever, so nothing is published by an encoder that fastavro contradicts."""
    whole = encoder._write_value

    def write_value(code: SourceCode, shape: ValueShape, target: str, present: str) -> None:
        whole(code, shape, target, present)
        if shape.wire is broken:
            code.line(f"{target} += b'\\x00'")

    monkeypatch.setattr(encoder, "_write_value", write_value)

    with pytest.raises(ConfigurationError) as caught:
        city.publish(list(FIELDS.values()))

    assert f"view {VIEW}, schema 1, field {FIELDS[broken]['name']}: expected" in str(caught.value)
    assert caught.value.facts["field"] == FIELDS[broken]["name"]
    assert "found other bytes written; install the versions of requirements.lock" in str(caught.value)


@pytest.mark.parametrize("broken", FIELDS)
def test_a_decoder_that_reads_another_value_stops_the_start(
    city: City, monkeypatch: pytest.MonkeyPatch, broken: Wire
) -> None:
    """A value read wrongly would be applied everywhere and found by nobody, since all departments read alike."""
    whole = decoder._write_value

    def write_value(code: SourceCode, shape: FieldShape, target: str | None, reader: FieldShape | None) -> None:
        whole(code, shape, target, reader)
        if shape.value.wire is broken and target is not None:
            code.line(f"{target} = {target} if {target} != {target} else None")

    monkeypatch.setattr(decoder, "_write_value", write_value)

    with pytest.raises(ConfigurationError) as caught:
        city.publish(list(FIELDS.values()))

    assert f"view {VIEW}, schema 1, field {FIELDS[broken]['name']}: expected" in str(caught.value)
    assert "found another value read" in str(caught.value)


def test_a_reader_of_an_older_version_is_compared_too(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    """History is read by its own code, compiled for the version that wrote it."""
    city.publish([field("a_text"), optional("a_date", DATE)])
    city.write([field("a_text")], version=2)
    extend_lock(city.schemas, city.topology(identity=["a_text"]))
    monkeypatch.setattr(decoder, "_write_skip", lambda code, _: code.line("pos += 2"))

    with pytest.raises(ConfigurationError, match=rf"view {VIEW}, schema 1, its rows as a whole: .* another value read"):
        city.catalogue(identity=["a_text"])


def test_what_is_wrong_around_the_rows_is_said_of_the_envelope(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    """No field is blamed for what the envelope does."""
    monkeypatch.setattr(encoder, "frame_head", lambda _: b"\x00\x00\x00\x00\x09")

    with pytest.raises(ConfigurationError, match=r"schema 1, its envelope: .* found other bytes written"):
        city.publish([field("a_text")])


def test_a_fastavro_that_changed_its_mind_stops_the_start(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither side is believed: what disagrees is found out by a person."""
    monkeypatch.setattr(agreement, "fastavro_bytes", lambda *_: b"")

    with pytest.raises(ConfigurationError, match="found other bytes written"):
        city.publish([field("a_text")])


def test_every_shape_that_is_compiled_is_tried_above(city: City) -> None:
    """A shape that the compiler learns is broken on purpose here too."""
    city.publish(list(FIELDS.values()))
    entry = load_lock(city.schemas).entries[0]
    schema = read_wire_schema(entry.id, entry.envelope)

    assert is_compiled(schema)
    assert {one.value.wire for one in schema.fields} == set(Wire) - {Wire.FIXED, Wire.FIXED_DECIMAL}


@st.composite
def shapes(draw: st.DrawFn) -> ValueShape:
    precision = draw(st.integers(1, 1000))
    return ValueShape(
        wire=draw(st.sampled_from(Wire)),
        nullable=draw(st.booleans()),
        precision=precision,
        scale=draw(st.integers(0, precision)),
        size=draw(st.integers(1, 1024)),
        symbols=tuple(f"s{number}" for number in range(draw(st.integers(1, 300)))),
    )


@given(shapes())
def test_samples_are_values_of_their_type_and_reach_its_ends(shape: ValueShape) -> None:
    """A sample that does not fit would stop every start, and one that is not at the edge proves little."""
    samples = sample_values(shape)

    assert [refusal(shape, value) for value in samples] == [None] * len(samples)
    assert (None in samples) == shape.nullable
    if shape.wire in (Wire.DECIMAL, Wire.FIXED_DECIMAL):
        longest = max(len(value.as_tuple().digits) for value in samples if isinstance(value, Decimal))
        assert longest == shape.precision
    if shape.wire is Wire.ENUM:
        assert {shape.symbols[0], shape.symbols[-1]} <= set(samples)
