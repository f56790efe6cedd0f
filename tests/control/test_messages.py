"""Control messages: what is sent is read back, and nothing that anybody sends does more than be refused."""

import json
import unicodedata
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.samples import HEX, MESSAGES
from tellonce.control.messages import (
    MAX_MESSAGE_BYTES,
    MOST_ANSWERED,
    Answer,
    BucketSum,
    DivergenceEvent,
    Heartbeat,
    Mark,
    Message,
    Order,
    PageEntry,
    decode_message,
    encode_message,
)
from tellonce.kafka.settings import MESSAGE_ROOM_BYTES, KafkaSettings
from tellonce.model.divergence import Reason, RecordState
from tellonce.model.errors import PoisonMessageError

SHAPES = pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
LONGEST_SENTENCE = 300

HOSTILE_TEXTS = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        ["", "\x00", "a\x00b", "\x1b[2J\x1b[31m", "\u202e", "[bold red]", "x" * 5_000, "../../etc", "a b", "A"]
    ),
)
HOSTILE_NUMBERS = st.one_of(
    st.integers(),
    st.sampled_from([-1, 2**31, 2**63, -(2**63) - 1, 10**400, 1e308, float("inf"), float("-inf"), float("nan"), 1.5]),
    st.booleans(),
)
HOSTILE: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), HOSTILE_TEXTS, HOSTILE_NUMBERS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(HOSTILE_TEXTS, inner, max_size=4)),
    max_leaves=8,
)


def places_of(document: Any, place: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place in a JSON document at which there is a value."""
    found = [place] if place else []
    if isinstance(document, dict):
        for name, value in document.items():
            found += places_of(value, (*place, name))
    elif isinstance(document, list):
        for number, value in enumerate(document):
            found += places_of(value, (*place, number))
    return found


def spoiled(message: Message, place: tuple[str | int, ...], value: object) -> bytes:
    """The message's JSON with another value at one place."""
    document = json.loads(encode_message(message))
    part = document
    for name in place[:-1]:
        part = part[name]
    part[place[-1]] = value
    return json.dumps(document).encode()


@SHAPES
def test_message_is_read_back_as_it_was_sent(message: Message) -> None:
    """JSON holds everything."""
    assert decode_message(type(message), encode_message(message)) == message


@SHAPES
@given(data=st.data())
def test_whatever_stands_in_a_field_is_refused_in_one_short_sentence_or_bounded(
    message: Message, data: st.DataObject
) -> None:
    """Whoever may write a topic may write anything: it is refused and not quoted, or it is a message in bounds."""
    place = data.draw(st.sampled_from(places_of(json.loads(encode_message(message)))))
    value = data.draw(HOSTILE)
    taken = taken_or_refusal(type(message), spoiled(message, place, value))
    if isinstance(taken, str):
        assert len(taken) < LONGEST_SENTENCE
        assert taken.isprintable()
        return
    # Nothing that is taken is larger than what was there by more than one text of the longest kind.
    assert len(encode_message(taken)) < len(encode_message(message)) + 2_500
    for text in texts_of(taken.model_dump(mode="json")):
        assert not [each for each in text if unicodedata.category(each) in {"Cc", "Zl", "Zp"} or each in TURNING]


TURNING = {chr(number) for number in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
"""What turns the direction of writing."""


def taken_or_refusal(shape: type[Message], data: bytes) -> Message | str:
    """The message, or the sentence with which it is refused."""
    try:
        return decode_message(shape, data)
    except PoisonMessageError as error:
        return str(error)


def texts_of(document: Any) -> list[str]:
    """Every text in a JSON document, names included."""
    if isinstance(document, str):
        return [document]
    if isinstance(document, dict):
        return [text for name, value in document.items() for text in (name, *texts_of(value))]
    return [text for value in document for text in texts_of(value)] if isinstance(document, list) else []


@SHAPES
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"\xff\xfe",
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b'{"format": 2}',
        b'{"view": "\\ud800"}',
        b"9" * 100_000,
    ],
    ids=[
        "empty",
        "null",
        "list",
        "no UTF-8",
        "deep lists",
        "deep objects",
        "another format",
        "half a pair",
        "a number",
    ],
)
def test_bytes_that_are_no_message_are_refused(message: Message, data: bytes) -> None:
    """No depth, no size and no encoding raises anything else."""
    with pytest.raises(PoisonMessageError):
        decode_message(type(message), data)


@pytest.mark.parametrize("word", ["of_a_later_release", "", "x" * 2_000, "\x1b[2J"])
def test_reason_that_is_not_known_is_another(word: str) -> None:
    """A department of a later release is understood, and no message brings a word of its own into a report."""
    event = next(each for each in MESSAGES if isinstance(each, DivergenceEvent))

    assert decode_message(DivergenceEvent, spoiled(event, ("reason",), word)).reason is Reason.OTHER


def longer(field: str, items: Callable[[int], list[object]]) -> Callable[[Message, int], bytes]:
    """The message with so many items in one of its lists."""
    return lambda message, number: spoiled(message, (field,), items(number))


@pytest.mark.parametrize(
    ("shape", "make", "most"),
    [
        ("Inquiry", longer("buckets", lambda n: list(range(n))), 65_536),
        ("Inquiry", longer("departments", lambda n: [f"d{i}" for i in range(n)]), 1_000),
        ("Order", longer("pseudonyms", lambda n: [HEX] * n), 5_000),
        ("RepairRequest", longer("pseudonyms", lambda n: [HEX] * n), 5_000),
    ],
)
def test_lists_are_bounded(shape: str, make: Callable[[Message, int], bytes], most: int) -> None:
    """What a reader keeps of one message has an end."""
    (message,) = (each for each in MESSAGES if type(each).__name__ == shape)

    decode_message(type(message), make(message, most))
    with pytest.raises(PoisonMessageError):
        decode_message(type(message), make(message, most + 1))


def test_message_is_bounded_before_it_is_read() -> None:
    """Many bytes are not looked at."""
    padded = encode_message(MESSAGES[0]) + b" " * MAX_MESSAGE_BYTES

    with pytest.raises(PoisonMessageError, match=f"at most {MAX_MESSAGE_BYTES} bytes"):
        decode_message(Mark, padded)


@pytest.mark.parametrize(
    ("shape", "field", "value"),
    [(Order, "reason", "\x1b[31mred"), (Order, "by", "a\nb"), (DivergenceEvent, "note", "a\u2028b")],
)
def test_text_of_a_person_is_one_line_that_steers_nothing(shape: type[Message], field: str, value: str) -> None:
    """What is shown on terminals and in logs cannot clear, colour or turn them."""
    (message,) = (each for each in MESSAGES if type(each) is shape)

    with pytest.raises(PoisonMessageError, match=f"wrong at {field}"):
        decode_message(shape, spoiled(message, (field,), value))


def test_names_that_a_message_makes_up_are_not_told() -> None:
    """A field's name may be as personal as its value."""
    document = json.loads(encode_message(MESSAGES[-1]))
    other = deepcopy(document) | {"Wang Fang 11010519491231002X": 1}
    other["gauges"] = {"Wang Fang": []}

    with pytest.raises(PoisonMessageError) as caught:
        decode_message(Heartbeat, json.dumps(other).encode())

    assert "Wang" not in str(caught.value)
    assert "gauges" in str(caught.value)


def test_longest_answers_fit_in_a_message() -> None:
    """However large its numbers are, and whatever the reasons: a page, or the sums of the buckets asked at once."""
    most = 2**63 - 1
    of_stream: dict[str, Any] = {
        "view": "v" * 200,
        "partition": 2**31 - 1,
        "inquiry_id": "i" * 100,
        "department": "d" * 200,
    }
    entry = PageEntry(
        pseudonym=HEX,
        epoch=most,
        version=most,
        sequence=most,
        digest=HEX,
        state=max(RecordState, key=len),
        reason=max(Reason, key=len),
    )
    page = Answer(**of_stream, epoch=most, position=most, records=(entry,) * MOST_ANSWERED, next_after=HEX, at_ms=most)
    sums = Answer(
        **of_stream,
        epoch=most,
        position=most,
        buckets=(BucketSum(bucket=65_535, sum=HEX, count=most),) * 4_096,
        at_ms=most,
    )

    limit = KafkaSettings().max_message_bytes - MESSAGE_ROOM_BYTES
    assert max(len(encode_message(each)) for each in (page, sums)) <= limit
