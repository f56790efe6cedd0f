"""Identifiers: numbers that people are found by, compared in one form however a department has spelt them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import ClassVar, cast

from stdnum import get_cc_module

from tellonce.avro.fields import Kind
from tellonce.declare.codec import CannotHold, Codec, Raw, Undecodable, kind_of, whole_number
from tellonce.model.change import Value
from tellonce.model.errors import ConfigurationError

__all__ = ["IdentifierCodec", "identifier"]

_WIDE = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}
"""Full-width forms, as Chinese input methods make them, and what they are in ASCII."""
_TO_WIDE = {narrow: wide for wide, narrow in _WIDE.items() if narrow != ord(" ")}


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentifierCodec(Codec):
    """A number in one canonical form; see `identifier`."""

    kind: ClassVar[Kind] = Kind.TEXT
    keeps_spelling: ClassVar[bool] = True

    of: str | None = None
    max_chars: int | None = None
    _compact: Callable[[str], str] = field(repr=False, compare=False, default=str)

    def decode(self, raw: Raw) -> Value:
        """Gives the number in its canonical form; nothing where the column holds blanks only."""
        if raw is None:
            return None
        number = raw if isinstance(raw, str) else whole_number(raw)
        if number is None or isinstance(raw, float):
            raise Undecodable(f"expected a number that somebody is known by, found {kind_of(raw)}")
        text = str(number)
        if _is_no_text(text):
            raise Undecodable("the number contains what is no character")
        return self.canonical(text) or None

    def canonical(self, text: str) -> str:
        """Gives the one form of a number: no blanks around it, ASCII for full-width forms, upper case."""
        return self._compact(text.translate(_WIDE).strip()).upper()

    def encode(self, value: Value) -> Raw:
        """Gives the number itself, once it is known to be in its canonical form and to fit."""
        if value is None:
            return None
        if not isinstance(value, str) or _is_no_text(value) or self.canonical(value) != value or not value:
            raise CannotHold("the number is not in its canonical form; its authority has to bind it by identifier()")
        if self.max_chars is not None and len(value) > self.max_chars:
            raise CannotHold(f"the column holds {self.max_chars} characters, the number has {len(value)}")
        return value

    def spellings(self, value: Value) -> tuple[Raw, ...]:
        """Gives the number as it is written, in lower case, and in full-width forms; a sweep finds it in any other."""
        written = self.encode(value)
        if not isinstance(written, str):
            return (written,)
        return tuple(dict.fromkeys((written, written.lower(), written.translate(_TO_WIDE))))


def _is_no_text(text: str) -> bool:
    return "\0" in text or any("\ud800" <= character <= "\udfff" for character in text)


def identifier(*, of: str | None = None, max_chars: int | None = None) -> IdentifierCodec:
    """Declares a column of a number that people are found by, such as an ID number.

    It is compared in one form: `x` for `X`, full-width digits and blanks around it make no other number. What stands in
    a row already keeps its spelling. `of` names a number that python-stdnum knows, such as `cn.ric`, and then what that
    number's own rules leave out makes no difference either. `max_chars` is the column's length.

    Raises:
        ConfigurationError: python-stdnum does not know the number, or the length is below 1.
    """
    if max_chars is not None and max_chars < 1:
        raise ConfigurationError(f"max_chars must be at least 1, found {max_chars}")
    if of is None:
        return IdentifierCodec(max_chars=max_chars)
    country, _, name = of.partition(".")
    module = cast("ModuleType | None", get_cc_module(country, name))
    if module is None:
        raise ConfigurationError(f"expected a number that python-stdnum knows, such as cn.ric, found {of!r}")
    return IdentifierCodec(of=of, max_chars=max_chars, _compact=module.compact)
