"""A message's line shows no personal value, nothing that steers a terminal, and why bytes cannot be read."""

import dataclasses
import json
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from cli.planting import ROOT
from tellonce.avro.catalogue import Catalogue
from tellonce.cli.tail_command import start_of
from tellonce.cli.tail_lines import Line, Received, line_of_control, line_of_event, masked, render_json, render_text
from tellonce.model.change import ChangeEvent, Fields, Operation, Origin, Value
from tellonce.model.errors import ConfigurationError
from tellonce.topology import load_topology

VIEW = "citizen.identity"
PSEUDONYM = "0123456789abcdef0123456789abcdef"
ROW: Fields = {
    "id_number": "110105197001010010",
    "name": "Wang\x1b[31m Fang\u202e\x7f",
    "sex": "female",
    "birth_date": date(1970, 1, 1),
    "life_status": "alive",
    "former_id_numbers": ("110105700101001",),
}
EVENT = ChangeEvent(
    op=Operation.UPDATE,
    department="public-security",
    record_type="citizen",
    view=VIEW,
    record_key="4711-secret",
    epoch=1,
    version=2,
    sequence=3,
    origin=Origin.CAPTURE,
    committed_at_ms=0,
    published_at_ms=5,
    before=ROW,
    after=ROW,
)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    """The schemas of the checkout."""
    return Catalogue.load(ROOT / "schemas", load_topology(ROOT / "topology.yaml"))


def received(value: bytes | None, key: bytes | None = PSEUDONYM.encode()) -> Received:
    """A message of partition 1."""
    return Received(partition=1, offset=9, at_ms=1_000, key=key, value=value)


def shown(line: Line) -> str:
    """Both forms of a line."""
    return render_text(line) + render_json(line)


def test_event_is_shown_with_its_place_and_masks(catalogue: Catalogue) -> None:
    """Time, sequence, version, operation, pseudonym and fields are there, and of the values only kind and length."""
    line = line_of_event(received(catalogue.encode(VIEW, EVENT)), catalogue, VIEW, show_values=False)

    document = json.loads(render_json(line))
    assert render_text(line).startswith("1970-01-01T00:00:00.000Z 1:9 update epoch=1 sequence=3 version=2")
    assert document["pseudonym"] == PSEUDONYM
    assert document["fields"] == {
        "id_number": "<text 9-32>",
        "name": "<text 9-32>",
        "sex": "<text 1-8>",
        "birth_date": "<date>",
        "life_status": "<text 1-8>",
        "former_id_numbers": "<list 1-8>",
    }
    assert not any(part in shown(line) for part in ("Wang", "1101", '1970-01-01"', "female", "alive", "4711"))


def test_values_that_may_be_shown_steer_no_terminal(catalogue: Catalogue) -> None:
    """Escape sequences, changes of direction and DEL reach a terminal as their numbers; JSON keeps the value."""
    line = line_of_event(received(catalogue.encode(VIEW, EVENT)), catalogue, VIEW, show_values=True)

    text, document = render_text(line), render_json(line)
    assert "Wang" in text
    assert text.isprintable()
    assert document.isascii()
    assert document.isprintable()
    assert json.loads(document)["fields"]["name"] == ROW["name"]
    assert "4711" not in text + document


def test_deleted_record_is_shown_as_it_was(catalogue: Catalogue) -> None:
    """A delete has no row after it, so the one before it is shown."""
    event = dataclasses.replace(EVENT, op=Operation.DELETE, after=None)

    line = line_of_event(received(catalogue.encode(VIEW, event)), catalogue, VIEW, show_values=False)

    assert line.what == "delete"
    assert line.fields
    assert "birth_date" in line.fields


@pytest.mark.parametrize(
    ("value", "why"),
    [(b"", "no bytes at all"), (b"Wang Fang", "another first byte"), (b"\x00\x00\x00\x7f\xff1", "schema id")],
)
def test_what_cannot_be_decoded_says_why(catalogue: Catalogue, value: bytes, why: str) -> None:
    """Bytes that are no event are one line, without any of them."""
    line = line_of_event(received(value), catalogue, VIEW, show_values=True)

    assert line.what == "undecodable"
    assert why in shown(line)
    assert "Wang" not in shown(line)
    assert "\n" not in render_text(line)


def test_tombstone_and_foreign_key_are_shown(catalogue: Catalogue) -> None:
    """A null is a tombstone, and a key that a stranger wrote is safe and short."""
    line = line_of_event(received(None, b"\x1b[2J\xff" + b"a" * 500), catalogue, VIEW, show_values=False)

    assert line.what == "tombstone"
    assert shown(line).isprintable()
    assert len(render_text(line)) < 200


@pytest.mark.parametrize(
    ("value", "what"), [(b'{"by": "\\u001b[2J"}', "control"), (b"{", "undecodable"), (None, "tombstone")]
)
def test_control_message_is_its_json(value: bytes | None, what: str) -> None:
    """Control messages are shown as they are, but for what steers a terminal."""
    line = line_of_control(received(value, b"a/0"))

    assert line.what == what
    assert shown(line).isprintable()
    if what == "control":
        assert json.loads(render_json(line))["message"] == {"by": "\x1b[2J"}


@pytest.mark.parametrize(
    ("value", "mask"),
    [
        (None, None),
        ("", "<text empty>"),
        ("a" * 8, "<text 1-8>"),
        ("a" * 9, "<text 9-32>"),
        ("a" * 33, "<text over 32>"),
        (True, "<boolean>"),
        (1, "<integer>"),
        (Decimal("1.5"), "<decimal>"),
        (date(2000, 1, 1), "<date>"),
        (datetime(2000, 1, 1, tzinfo=UTC), "<instant>"),
        (b"\x01", "<bytes 1-8>"),
        (("a",), "<list 1-8>"),
    ],
)
def test_mask_tells_kind_and_class_of_length(value: Value, mask: str | None) -> None:
    """A mask is the same for all values of a kind and a class of length."""
    assert masked(value) == mask


@pytest.mark.parametrize(
    ("text", "start"), [("beginning", "beginning"), ("now", "now"), ("-15m", 100_000), ("-2h", 0), ("-90s", 910_000)]
)
def test_start_is_a_word_or_a_time_ago(text: str, start: str | int) -> None:
    """A time ago is counted from now, and never before 1970."""
    assert start_of(text, 1_000_000) == start


@pytest.mark.parametrize("text", ["15m", "-15", "yesterday", "-1.5h"])
def test_other_starts_are_refused(text: str) -> None:
    """The sentence says what may be given."""
    with pytest.raises(ConfigurationError, match=r"beginning, now or a time ago such as -15m"):
        start_of(text, 0)
