"""Codecs for text, closed code lists, yes and no, and bytes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar

from tellonce.avro.fields import Kind
from tellonce.declare.codec import CannotHold, Codec, Raw, Undecodable, encode_checked, kind_of, whole_number
from tellonce.model.change import Value
from tellonce.model.errors import ConfigurationError

__all__ = ["BooleanCodec", "BytesCodec", "CodeListCodec", "TextCodec", "boolean", "bytes_", "codes", "text"]


_SURROGATE = re.compile("[\ud800-\udfff]")


def _check_limit(what: str, limit: int | None) -> None:
    if limit is not None and limit < 1:
        raise ConfigurationError(f"{what} must be at least 1, found {limit}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextCodec(Codec):
    """Text, character by character as it is written; see `text` for what each field means."""

    kind: ClassVar[Kind] = Kind.TEXT

    max_bytes: int | None = None
    max_chars: int | None = None
    charset: str = "utf-8"
    blank_is_null: bool = False
    padded: bool = False
    upper: bool = False

    def decode(self, raw: Raw) -> Value:
        """Gives the text; a whole number that a loosely typed column made of digits becomes text again."""
        if raw is None:
            return None
        if isinstance(raw, str):
            value = raw
        elif not isinstance(raw, float) and (number := whole_number(raw)) is not None:
            value = str(number)
        else:
            raise Undecodable(f"expected text, found {kind_of(raw)}")
        if not value.isascii() and _SURROGATE.search(value):
            raise Undecodable("the text contains half of a surrogate pair, which is no character")
        if "\0" in value:
            raise Undecodable("the text contains a NUL character")
        if self.padded:
            value = value.rstrip(" ")
        if self.upper:
            value = value.upper()
        return None if self.blank_is_null and not value.strip() else value

    def encode(self, value: Value) -> Raw:
        """Gives the text itself, once it is known to fit."""
        if value is None:
            return None
        if not isinstance(value, str):
            raise CannotHold(f"a text column was given {kind_of(value)}")
        if "\0" in value:
            raise CannotHold("the text contains a NUL character, which the column cannot hold")
        try:
            data = value.encode(self.charset)
            is_faithful = value.isascii() or data.decode(self.charset) == value
        except UnicodeError:
            is_faithful = False
            data = b""
        if not is_faithful:
            # Raised outside the handler: Python's own error carries the text and must not be chained.
            raise CannotHold(f"the text has a character that {self.charset} does not have")
        if self.max_bytes is not None and len(data) > self.max_bytes:
            raise CannotHold(f"the column holds {self.max_bytes} bytes of {self.charset}, the text has {len(data)}")
        if self.max_chars is not None and len(value) > self.max_chars:
            raise CannotHold(f"the column holds {self.max_chars} characters, the text has {len(value)}")
        return value

    def spellings(self, value: Value) -> tuple[Raw, ...]:
        """Gives the text as written, in lower case if `upper` folds it, and filled up to `max_chars` if `padded`."""
        written = encode_checked(self, value)
        if not isinstance(written, str):
            return (written,)
        found = [written]
        if self.upper and written.lower() != written:
            found.append(written.lower())
        if self.padded and self.max_chars is not None:
            found += [spelling.ljust(self.max_chars) for spelling in found if len(spelling) < self.max_chars]
        return tuple(found)


def text(
    *,
    max_bytes: int | None = None,
    max_chars: int | None = None,
    charset: str = "utf-8",
    blank_is_null: bool = False,
    padded: bool = False,
    upper: bool = False,
) -> TextCodec:
    """Declares a text column, whose text is compared and written as it is, without any of Unicode's normal forms.

    `max_bytes` counts bytes in `charset`, `max_chars` Unicode characters. `charset` is what the column's application
    can show or store (`gbk`, `gb18030`, `latin-1`): a value with another character cannot be held. With
    `blank_is_null`, empty or blank text is the same as no value. `padded` is for CHAR(n), whose trailing blanks are no
    part of the value. With `upper`, text in any case stands for its upper-case form, as `x` for `X` at the end of an
    ID number.

    Raises:
        ConfigurationError: a limit is below 1 or the charset is not known to Python.
    """
    _check_limit("max_bytes", max_bytes)
    _check_limit("max_chars", max_chars)
    try:
        "".encode(charset)
    except LookupError as error:
        raise ConfigurationError(
            f"expected a character set that Python knows, such as gbk, found {charset!r}"
        ) from error
    return TextCodec(
        max_bytes=max_bytes,
        max_chars=max_chars,
        charset=charset,
        blank_is_null=blank_is_null,
        padded=padded,
        upper=upper,
    )


def _code_key(raw: Raw) -> str | None:
    # A code comes back as "1", 1, "1 " (CHAR(n)), Decimal(1) or True, depending on the column's type and the path it
    # took.
    if isinstance(raw, str):
        return raw.rstrip(" ")
    number = int(raw) if isinstance(raw, bool) else whole_number(raw)
    return None if number is None else str(number)


def _index_codes(raws: Mapping[Raw, Value]) -> Mapping[str, Value]:
    index: dict[str, Value] = {}
    for raw, value in raws.items():
        key = _code_key(raw)
        if key is None:
            raise ConfigurationError(f"expected codes that are text or whole numbers, found {kind_of(raw)}")
        if key in index:
            raise ConfigurationError(
                f"the code {raw!r} is listed twice (trailing blanks and the type do not tell codes apart)"
            )
        index[key] = value
    return MappingProxyType(index)


@dataclass(frozen=True, slots=True)
class CodeListCodec(Codec):
    """Text kept as codes of a closed list; see `codes`."""

    kind: ClassVar[Kind] = Kind.TEXT

    pairs: tuple[tuple[str | int, str | None], ...]
    _values: Mapping[str, Value] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Indexes the list and checks it."""
        object.__setattr__(self, "_values", _index_codes(dict(self.pairs)))

    def decode(self, raw: Raw) -> Value:
        """Gives the word that the code stands for."""
        key = _code_key(raw)
        if key is not None and key in self._values:
            return self._values[key]
        if raw is None:
            return None
        raise Undecodable(f"expected one of the {len(self.pairs)} codes declared for the column, found another value")

    def encode(self, value: Value) -> Raw:
        """Gives the first code listed for the word."""
        for raw, listed in self.pairs:
            if listed == value:
                return raw
        if value is None:
            return None
        raise CannotHold(f"the value has no code among the {len(self.pairs)} declared for the column")

    def spellings(self, value: Value) -> tuple[Raw, ...]:
        """Gives every code listed for the word."""
        listed = tuple(raw for raw, listed in self.pairs if listed == value)
        return listed or (self.encode(value),)


def codes(list_: Mapping[str, str | None] | Mapping[int, str | None]) -> CodeListCodec:
    """Declares a column of codes: `codes({"1": "male", "2": "female"})`.

    The list is closed: a word without a code cannot be held and a code without a word is not understood. Several codes
    may stand for one word, then the first is written. A code that stands for None is what is written for no value, as
    0 for "not stated".

    Raises:
        ConfigurationError: the list is empty or names a code twice.
    """
    if not list_:
        raise ConfigurationError("expected at least one code in the code list, found none")
    return CodeListCodec(tuple(list_.items()))


@dataclass(frozen=True, slots=True)
class BooleanCodec(Codec):
    """Yes and no as any pair of raw values; see `boolean`."""

    kind: ClassVar[Kind] = Kind.BOOLEAN

    true: str | int | bool
    false: str | int | bool
    _values: Mapping[str, Value] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Checks that the two raw values can be told apart."""
        if _code_key(self.true) == _code_key(self.false):
            raise ConfigurationError("a boolean's two raw values must differ")
        object.__setattr__(self, "_values", _index_codes({self.true: True, self.false: False}))

    def decode(self, raw: Raw) -> Value:
        """Gives True or False for the declared raw value."""
        if raw is None:
            return None
        key = _code_key(raw)
        if key is None or key not in self._values:
            raise Undecodable("expected one of the two raw values declared for yes and no, found another")
        return self._values[key]

    def encode(self, value: Value) -> Raw:
        """Gives the declared raw value."""
        if value is None:
            return None
        if not isinstance(value, bool):
            raise CannotHold(f"a yes-or-no column was given {kind_of(value)}")
        return self.true if value else self.false


def boolean(*, true: str | int | bool = True, false: str | int | bool = False) -> BooleanCodec:
    """Declares a yes-or-no column by the raw values that stand for yes and no: `boolean(true="Y", false="N")`.

    Raises:
        ConfigurationError: the two cannot be told apart.
    """
    return BooleanCodec(true, false)


@dataclass(frozen=True, slots=True, kw_only=True)
class BytesCodec(Codec):
    """Bytes as they are; see `bytes_`."""

    kind: ClassVar[Kind] = Kind.BYTES

    max_bytes: int | None = None

    def decode(self, raw: Raw) -> Value:
        r"""Gives the bytes, also from PostgreSQL's hex form `\x…`, in which they pass through JSON."""
        if raw is None or isinstance(raw, bytes):
            return raw
        if isinstance(raw, str) and raw.startswith("\\x"):
            try:
                return bytes.fromhex(raw[2:])
            except ValueError:
                pass
        raise Undecodable(f"expected bytes, found {kind_of(raw)}")

    def encode(self, value: Value) -> Raw:
        """Gives the bytes themselves, once they are known to fit."""
        if value is None:
            return None
        if not isinstance(value, bytes):
            raise CannotHold(f"a column of bytes was given {kind_of(value)}")
        if self.max_bytes is not None and len(value) > self.max_bytes:
            raise CannotHold(f"the column holds {self.max_bytes} bytes, the value has {len(value)}")
        return value


def bytes_(*, max_bytes: int | None = None) -> BytesCodec:
    """Declares a column of bytes, at most `max_bytes` long.

    Raises:
        ConfigurationError: the limit is below 1.
    """
    _check_limit("max_bytes", max_bytes)
    return BytesCodec(max_bytes=max_bytes)
