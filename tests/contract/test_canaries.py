"""The search of the canary finds a value in each spelling, so finding none means that there is none."""

import base64
import json
import random
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest

from contract.canaries import Canaries

Spelling = Callable[[str], bytes]
WRITTEN: dict[str, Spelling] = {
    "plain": str.encode,
    "upper": lambda value: value.upper().encode(),
    "lower": lambda value: value.lower().encode(),
    "GBK": lambda value: value.encode("gbk"),
    "UTF-16": lambda value: value.encode("utf-16"),
    "JSON": lambda value: json.dumps({"name": value}).encode(),
    "JSON with capitals": lambda value: json.dumps(value).upper().encode(),
    "URL": lambda value: quote(value).encode(),
    "URL of GBK": lambda value: quote_plus(value, encoding="gbk").lower().encode(),
    "hexadecimal": lambda value: value.encode().hex().upper().encode(),
    "hexadecimal of GBK": lambda value: value.encode("gbk").hex().encode(),
    "shown bytes": lambda value: repr(value.encode()).encode(),
}


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN.keys())
def test_value_is_found_in_each_spelling(written: Spelling) -> None:
    """Whatever wrote a value, it is found, and named with the text that holds it."""
    canaries = Canaries()
    value = canaries.word()

    found = canaries.found_in({"here": b"before " + written(value) + b" after", "there": b"nothing"})

    assert found.keys() == {"here"}
    assert all(repr(value) in each for each in found["here"])


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("charset", ["utf-8", "gbk"])
@pytest.mark.parametrize("before", range(4))
def test_value_is_found_in_base64_wherever_it_begins(
    encode: Callable[[bytes], bytes], charset: str, before: int
) -> None:
    """A value within bytes that were encoded as a whole is found, whatever stands before and after it."""
    canaries = Canaries()
    value = canaries.word()

    text = encode(random.randbytes(before) + value.encode(charset) + random.randbytes(before))

    assert canaries.found_in({"here": text})


@pytest.mark.parametrize(
    "written", [bytes, base64.b64encode, lambda raw: raw.hex().encode(), lambda raw: repr(raw).encode()]
)
def test_bytes_are_found(written: Callable[[bytes], bytes]) -> None:
    """Bytes that are no text are found as they are, and as what is made of them."""
    canaries = Canaries()

    assert canaries.found_in({"here": b"before" + written(canaries.octets()) + b"after"})


def test_every_value_of_a_resident_is_found() -> None:
    """Numbers, dates and the key of a person are sought, not only names."""
    canaries = Canaries()
    one = canaries.resident()
    values = (one.key, one.number, one.short, one.former, one.name, one.street, one.born, one.born.strftime("%Y%m%d"))

    for value in values:
        assert canaries.found_in({"here": f'{{"value": "{value}"}}'.encode()}), value


def test_what_only_looks_alike_is_not_found() -> None:
    """Digits of a longer number, and another person's values, are none of these."""
    canaries, others = Canaries(), Canaries()
    one, other = canaries.resident(), others.resident()

    assert canaries.found_in({"here": f"{other} 9{one.born:%Y%m%d}9 {one.name[:6]}".encode()}) == {}
