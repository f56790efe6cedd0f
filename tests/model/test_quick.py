"""Values that are made quickly are what a frozen dataclass is in every other way."""

from dataclasses import dataclass, fields, replace

import pytest

from tellonce.model.quick import quick


@dataclass(frozen=True, slots=True, kw_only=True)
class Slow:
    """What the quick one is compared with."""

    name: str
    count: int = 3


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Quick:
    """The same, made quickly."""

    name: str
    count: int = 3


def test_quick_value_is_that_of_its_dataclass() -> None:
    """Fields, defaults, equality, hash, text and replacing are those of the frozen dataclass."""
    one = Quick(name="a")

    assert (one.name, one.count) == ("a", 3)
    assert [field.name for field in fields(Quick)] == [field.name for field in fields(Slow)]
    assert Quick.__slots__ == Slow.__slots__
    assert not hasattr(one, "__dict__")
    assert one == Quick(name="a", count=3)
    assert hash(one) == hash(Slow(name="a"))
    assert replace(one, count=4) == Quick(name="a", count=4) != one
    assert repr(one) == "Quick(name='a', count=3)"


@pytest.mark.parametrize("given", [{}, {"name": "a", "other": 1}])
def test_quick_value_takes_exactly_its_fields(given: dict[str, object]) -> None:
    """A field that is left out or not known is refused, not forgotten."""
    with pytest.raises(TypeError):
        Quick(**given)  # type: ignore[arg-type]
