"""How the decoder meets bytes that are not what the schema says."""

import dataclasses
import random
import tracemalloc
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from avrocity import DATE, FIXED, INSTANT, SEX, TEXTS, VIEW, City, event, field, match_only, money, optional
from tellonce.avro.catalogue import Catalogue
from tellonce.avro.decoder import Decoder, compile_decoder
from tellonce.avro.derive import read_wire_schema
from tellonce.avro.encoder import compile_encoder
from tellonce.avro.errors import UndecodableMessage, UnknownSchemaError
from tellonce.avro.eventrules import SourceNames
from tellonce.avro.fallback import fastavro_decoder
from tellonce.avro.jsonvalue import Json, JsonObject
from tellonce.avro.lock import load_lock
from tellonce.avro.wire import long_bytes
from tellonce.model.change import ChangeEvent, Fields
from tellonce.model.errors import PoisonMessageError

FRAME = b"\x00\x00\x00\x00\x01"
SOURCE = b"\x0cpolice\x0ecitizen\x20citizen.identity"
TAIL = SOURCE + b"\x02k\x02\x04\x06\x0ecapture\x00\x02u\x00"
EXACT: JsonObject = {**money(4, 2), "type": "fixed", "name": "Exact", "size": 2}
TEN = b"\xff" * 9
EVERY_TYPE = [
    field("id_number"),
    optional("name"),
    field("small", "int"),
    field("large", "long"),
    optional("flag", "boolean"),
    field("raw", "bytes"),
    field("sex", SEX),
    optional("amount", money(30, 2)),
    field("born", DATE),
    optional("moved", INSTANT),
    match_only(),
]
ROW: Fields = {
    "id_number": "44052418800101001X",
    "name": "欧阳𠀀" * 12,
    "small": -5,
    "large": 2**40,
    "flag": True,
    "raw": b"\x00\xff",
    "sex": "female",
    "amount": Decimal("-1234567.89"),
    "born": date(1949, 12, 31),
    "moved": datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC),
    "former_id_numbers": ("440524800101001", "旧" * 30),
}


def message(after: bytes, tail: bytes = TAIL) -> bytes:
    return FRAME + b"\x00\x02" + after + tail


def undecodable(catalogue: Catalogue, data: bytes) -> UndecodableMessage:
    with pytest.raises(UndecodableMessage) as caught:
        catalogue.decode(data, view=VIEW)
    assert caught.value.__context__ is None, "an exception behind it could hold the bytes"
    return caught.value


def test_the_examples_of_this_file_are_whole(city: City) -> None:
    """The hand-made message around which the others are broken is itself read."""
    catalogue = city.publish([field("spare")])

    assert catalogue.decode(message(b"\x02x"), view=VIEW) == event(
        {"spare": "x"}, record_key="k", committed_at_ms=0, published_at_ms=0
    )


DAMAGED_VALUES: list[tuple[Json, bytes, str]] = [
    ("string", b"\x01", "a length is negative"),
    ("string", b"\x04\xff\xfe", "not UTF-8"),
    ("string", b"\x06\xed\xa0\x80", "not UTF-8"),
    ("string", b"\x04\xc0\x80", "not UTF-8"),
    ("string", b"\x7e", "it ends before"),
    ("string", TEN + b"\x01", "a length is negative"),
    ("string", b"\xfe" + TEN[:8] + b"\x01", "it ends before"),
    ("string", TEN + b"\x7f", "more than 64 bits"),
    ("string", TEN + b"\xff\x00", "more than ten bytes"),
    ("bytes", b"\xfe" + TEN[:8] + b"\x01", "it ends before"),
    ("int", b"\x80\x80\x80\x80\x10", "more than 32 bits"),
    ("long", TEN + b"\x02", "more than 64 bits"),
    ("boolean", b"\x02", "neither true nor false"),
    (["null", "string"], b"\x01", "neither null nor a value"),
    (["null", "string"], b"\x04", "neither null nor a value"),
    (["null", "string"], b"\x80\x00", "neither null nor a value"),
    (SEX, b"\x04", "none of its symbols"),
    (SEX, b"\x01", "none of its symbols"),
    (DATE, long_bytes(2_932_897), "outside the years"),
    (DATE, long_bytes(-719_163), "outside the years"),
    (DATE, long_bytes(2**62), "outside the years"),
    (INSTANT, long_bytes(253_402_300_800_000), "outside the years"),
    (INSTANT, long_bytes(-(2**63)), "outside the years"),
    (money(4, 2), b"\x00", "a decimal has no digits"),
    (money(4, 2), b"\x04\x27\x10", "more digits than its precision"),
    (money(4, 2), b"\x06\x00\x00\x01", "more than its precision"),
    (TEXTS, b"\x02\x04a", "it ends before"),
    (TEXTS, b"\xfe" + TEN[:8] + b"\x01", "more items than there are bytes"),
    (TEXTS, b"\xff" + TEN[:8] + b"\x01\x00", "smaller than its items"),
    (TEXTS, b"\x01\x06\x02a\x00", "another size than it says"),
    (TEXTS, b"\x01\x01\x02a\x00", "smaller than its items"),
]


@pytest.mark.parametrize(("declared", "damaged", "said"), DAMAGED_VALUES)
def test_damage_to_a_value_is_named_and_nothing_else_is_raised(
    city: City, declared: Json, damaged: bytes, said: str
) -> None:
    """Each way in which bytes are no value of their type parks the record with a reason."""
    catalogue = city.publish([field("spare", declared)])
    # Nothing follows where the value must run out of bytes by itself.
    tail = b"" if said.startswith("it ends") else TAIL

    found = undecodable(catalogue, message(damaged, tail))

    assert said in str(found)
    assert found.facts["view"] == VIEW


@pytest.mark.parametrize(
    ("declared", "damaged"),
    [
        *((declared, damaged) for declared, damaged, _ in DAMAGED_VALUES),
        (FIXED, b"1234567"),
        (EXACT, b"\x27\x10"),
        (EXACT, b"\xd8\xf0"),
        (EXACT, b"\x00"),
    ],
)
def test_fastavro_is_not_asked_to_read_damage(city: City, declared: Json, damaged: bytes) -> None:
    """Bytes that are no value of their type park the record where fastavro reads too, which would take most of them."""
    catalogue = city.publish([field("spare", declared), field("moved_by", {**FIXED, "name": "Beside", "size": 2})])

    # Cut behind the damage, and whole behind it.
    for tail in (b"", b"ab" + TAIL):
        found = undecodable(catalogue, message(damaged, tail))
        assert found.facts["view"] == VIEW


@pytest.mark.parametrize("declared", ["string", FIXED], ids=["compiled", "fastavro"])
@pytest.mark.parametrize(
    ("data", "said"),
    [
        (FRAME, "it ends before"),
        (FRAME + b"\x04", "before is neither null nor a row"),
        (FRAME + b"\x00\x01", "after is neither null nor a row"),
        (FRAME + b"\x00\x00" + TAIL + b"\x00", "bytes follow its end"),
        (FRAME + b"\x00\x00" + TAIL[:-1], "it ends before"),
        (FRAME + b"\x00\x00" + TAIL.replace(b"identity", b"identitY"), "another record type or view"),
        (FRAME + b"\x00\x00" + TAIL.replace(b"citizen\x20", b"citizem\x20"), "another record type or view"),
        (FRAME + b"\x00\x00" + TAIL.replace(b"capture", b"captive"), "none of the known codes"),
        (FRAME + b"\x00\x00" + TAIL.replace(b"\x02u", b"\x02x"), "none of the known codes"),
        (FRAME + b"\x00\x00" + TAIL.replace(b"\x02u", b"\x04u"), "bytes that are none"),
        (b"", "no bytes at all"),
        (b"\x00\x00\x01", "found 3 bytes"),
        (b"{}", "another first byte"),
        (b"\xc3\x01" + b"\x00" * 20, "single-object encoding"),
    ],
)
def test_damage_to_the_frame_or_envelope_is_named(city: City, declared: Json, data: bytes, said: str) -> None:
    """What is no message of ours parks with a reason, whatever it is."""
    catalogue = city.publish([field("spare", declared)])

    assert said in str(undecodable(catalogue, data))


def test_another_authority_of_the_past_is_read(city: City) -> None:
    """A record type may change hands; the events of its former authority stay readable."""
    catalogue = city.publish([field("spare")])

    read = catalogue.decode(message(b"\x02x", TAIL.replace(b"\x0cpolice", b"\x10registry")), view=VIEW)

    assert read.department == "registry"


def test_arrays_in_blocks_with_a_size_are_read(city: City) -> None:
    """Avro lets a writer give each block's size; departments' own tools may use that form."""
    catalogue = city.publish([field("spare", TEXTS)])

    for wanted in (None, frozenset[str]()):
        read = catalogue.decode(message(b"\x03\x08\x02a\x02b\x02\x02c\x00"), view=VIEW, wanted=wanted)
        assert read.after == ({"spare": ("a", "b", "c")} if wanted is None else {})


def test_a_decoded_event_is_an_ordinary_one(city: City) -> None:
    """An event that was read is as frozen, equal and printable as one that was built."""
    catalogue = city.publish([field("spare")])
    change = event({"spare": "x"})

    read = catalogue.decode(catalogue.encode(VIEW, change), view=VIEW)

    assert type(read) is ChangeEvent
    assert (read, repr(read)) == (change, repr(change))
    with pytest.raises(dataclasses.FrozenInstanceError):
        read.epoch = 2  # type: ignore[misc]  # that it is refused is the point


@pytest.mark.parametrize("beside", [[], [field("moved_by", FIXED)]], ids=["compiled", "fastavro"])
def test_an_absurd_length_costs_nothing(city: City, beside: list[JsonObject]) -> None:
    """A message of a few bytes cannot make its reader allocate more than a few kilobytes."""
    catalogue = city.publish([field("spare"), field("list", TEXTS), *beside])
    claims = [message(long_bytes(2**62) + b"x"), message(b"\x02x" + long_bytes(2**62) + b"x" * 50)]
    for claim in claims:
        undecodable(catalogue, claim)

    tracemalloc.start()
    for claim in claims:
        undecodable(catalogue, claim)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak_bytes < 100_000


def damaged(draw: random.Random, whole: bytes) -> bytes:
    """One message with one to three random faults behind its frame."""
    data = bytearray(whole)
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(5, max(len(data), 6))
        match draw.randrange(6):
            case 0:
                data[at : at + 1] = bytes((draw.randrange(256),))
            case 1:
                del data[at:]
            case 2:
                del data[at : at + draw.randint(1, 8)]
            case 3:
                data[at:at] = draw.randbytes(draw.randint(1, 8))
            case 4:
                data[at:at] = long_bytes(draw.choice([-1, 1, 2**31, 2**62, -(2**63)]) * draw.choice([1, 1, -1]) % 2**62)
            case _:
                other = draw.randrange(5, max(len(data), 6))
                data[at : at + 8] = data[other : other + 8]
    return bytes(data)


def test_twenty_thousand_damaged_messages_give_events_or_the_one_error(city: City) -> None:
    """Damage either parks the record or leaves an event valid throughout, and raises nothing else."""
    catalogue = city.publish(EVERY_TYPE)
    draw = random.Random(20_260_101)
    wholes = [
        catalogue.encode(VIEW, event(ROW, ROW)),
        catalogue.encode(VIEW, event(None, {**ROW, "name": None, "amount": None, "former_id_numbers": ()})),
    ]
    outcomes = {"event": 0, "undecodable": 0}

    for number in range(20_000):
        data = damaged(draw, wholes[number % 2])
        wanted = None if number % 3 else frozenset({"name", "born"})
        try:
            read = catalogue.decode(data, view=VIEW, wanted=wanted, with_before=number % 5 != 0)
        except UndecodableMessage:
            outcomes["undecodable"] += 1
        else:
            outcomes["event"] += 1
            if wanted is None:
                catalogue.encode(VIEW, read)

    assert min(outcomes.values()) > 500, f"both outcomes must occur: {outcomes}"


def test_fastavro_reads_damaged_messages_as_the_compiled_reader_does(city: City) -> None:
    """Which of the two reads a view is not to be seen: the same bytes give the same event, or the same park the record.

    The one difference is a length spelled with more bytes than it needs before one of the envelope's names.
    """
    city.publish(EVERY_TYPE)
    entry = load_lock(city.schemas).entries[0]
    schema = read_wire_schema(entry.id, entry.envelope)
    names = SourceNames(department="police", record_type="citizen", view=VIEW)
    compiled = compile_decoder(schema.fields, schema.fields, names, wanted=None, with_before=True)
    fallback = fastavro_decoder(schema, schema.fields, names, wanted=None, with_before=True)
    encode = compile_encoder(schema.fields, names, entry.id)
    draw = random.Random(20_260_102)
    whole = encode(event(ROW, {**ROW, "name": None}))
    outcomes = {"event": 0, "undecodable": 0}

    for _ in range(10_000):
        data = damaged(draw, whole)
        one, other = attempt(compiled, data), attempt(fallback, data)
        assert repr(one) == repr(other)
        outcomes["event" if one else "undecodable"] += 1

    assert min(outcomes.values()) > 100, f"both outcomes must occur: {outcomes}"


def attempt(decode: Decoder, data: bytes) -> ChangeEvent | None:
    try:
        return decode(data)
    except UndecodableMessage:
        return None


def test_errors_park_one_record() -> None:
    """The reaction to an unreadable message is to park its record."""
    assert issubclass(UndecodableMessage, PoisonMessageError)
    assert issubclass(UnknownSchemaError, PoisonMessageError)
