"""Derivations: how an identifier of an older form may correspond to one of today's, for finding rows only."""

from collections.abc import Callable
from dataclasses import dataclass

from stdnum.cn import ric

__all__ = ["Derivation", "from_15_digits"]

_OLD_LENGTH = 15
_NEW_LENGTH = 18
_CENTURY = "19"


@dataclass(frozen=True, slots=True)
class Derivation:
    """A guess of the authority's value from the one in a department's row, stated both ways and never written.

    `forward` gives the candidate for a local value, or None where it has none. `backward` gives every local value
    whose candidate is the authority's value, so that rows can be looked up by index: `forward(v) == a` exactly where
    `v in backward(a)`.
    """

    name: str
    forward: Callable[[str], str | None]
    backward: Callable[[str], tuple[str, ...]]


def _is_digits(value: str) -> bool:
    return value.isascii() and value.isdigit()


def _to_18_digits(local: str) -> str | None:
    if len(local) != _OLD_LENGTH or not _is_digits(local):
        return None
    body = f"{local[:6]}{_CENTURY}{local[6:]}"
    # python-stdnum expects the check character in its place and ignores what it is.
    return body + ric.calc_check_digit(body + "0")


def _to_15_digits(number: str) -> tuple[str, ...]:
    local = number[:6] + number[8:17]
    return (local,) if _to_18_digits(local) == number else ()


from_15_digits = Derivation("from_15_digits", _to_18_digits, _to_15_digits)
"""From a 15-digit resident ID number its 18-digit candidate.

It has 19 after the sixth digit and the check character of ISO 7064 MOD 11-2 at the end.
The century is a default, not a law: people born before 1900 were alive when numbers had 15 digits, and some numbers
were given to two people. So the candidate only finds rows, and several rows found are for a person to decide.
"""
