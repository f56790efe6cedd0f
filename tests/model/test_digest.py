"""Equal data has equal digests, different data different ones, and sums do not cancel."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tellonce.model.change import Value
from tellonce.model.digest import MODULUS, bucket_of, canonical, element, from_hex, pseudonym_of, to_hex

KEY = b"k" * 32


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Decimal("1.50"), Decimal("1.5")),
        (Decimal("-0.00"), Decimal(0)),
        (Decimal("1E+3"), Decimal(1000)),
        ("é", "é"),
        (datetime(2026, 1, 1, 8, tzinfo=timezone(timedelta(hours=8))), datetime(2026, 1, 1, tzinfo=UTC)),
    ],
)
def test_canonical_form_is_of_the_logical_value(one: Value, other: Value) -> None:
    """Two spellings of one value are the same bytes."""
    assert canonical([one]) == canonical([other])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([None], [""]),
        (["ab", "c"], ["a", "bc"]),
        ([1], [True]),
        (["1"], [1]),
        ([date(2026, 1, 1)], ["2026-01-01"]),
        ([("a", "b")], [("a,b",)]),
        ([Decimal("1.05")], [Decimal("10.5")]),
        ([Decimal("1.5")], [Decimal("-1.5")]),
    ],
)
def test_canonical_form_keeps_different_values_apart(one: list[Value], other: list[Value]) -> None:
    """Values that differ in kind, order or boundary are different bytes."""
    assert canonical(one) != canonical(other)


@given(st.lists(st.one_of(st.none(), st.text(), st.integers(), st.booleans(), st.binary()), max_size=4))
def test_canonical_form_is_stable_for_any_values(values: list[Value]) -> None:
    """The same values give the same bytes each time, lone surrogates aside."""
    try:
        first = canonical(values)
    except UnicodeEncodeError:
        return
    assert canonical(list(values)) == first


def test_element_depends_on_key_record_and_values() -> None:
    """Another key, record or value gives another element."""
    base = element(KEY, "r1", ["v"])

    others = {element(b"l" * 32, "r1", ["v"]), element(KEY, "r2", ["v"]), element(KEY, "r1", ["w"])}

    assert base not in others
    assert len(others) == 3
    assert 0 <= base < MODULUS


def test_hex_form_keeps_leading_zeros() -> None:
    """A small digest is still 32 digits, and comes back."""
    assert to_hex(5) == "0" * 31 + "5"
    assert from_hex(to_hex(MODULUS - 1)) == MODULUS - 1


def test_pseudonym_is_keyed_and_in_a_bucket() -> None:
    """Without the key nobody can compute the pseudonym of a known record."""
    pseudonym = pseudonym_of(KEY, "r1")

    assert pseudonym != pseudonym_of(b"l" * 32, "r1")
    assert len(pseudonym) == 32
    assert 0 <= bucket_of(pseudonym, 16) < 16
