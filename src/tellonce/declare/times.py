"""Codecs for dates and instants."""

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_FLOOR, Decimal
from typing import ClassVar, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tellonce.avro.fields import Kind
from tellonce.declare.codec import CannotHold, Codec, Raw, Undecodable, encode_checked, kind_of, whole_number
from tellonce.model.change import Value
from tellonce.model.errors import ConfigurationError

__all__ = ["CompactDateCodec", "InstantCodec", "IsoDateCodec", "instant", "iso_date", "yyyymmdd"]

# Narrower than fromisoformat, which since Python 3.11 also takes 19491231 and 1949-W52-6: those in a column declared
# as ISO dates mean that the declaration is wrong.
_ISO_DATE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})([T ]00:00(:00(\.0{1,6})?)?)?")
_ISO_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}.*")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_DIGITS = 18
"""Far more than a count of the calendar's milliseconds has; beyond, decimal arithmetic itself gives up."""
_SECONDS = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,9})?")


def _as_date(value: Value) -> date:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise CannotHold(f"a column of dates was given {kind_of(value)}")
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class IsoDateCodec(Codec):
    """Dates as the database's own type or as ISO text; see `iso_date`."""

    kind: ClassVar[Kind] = Kind.DATE

    as_text: bool = False

    def decode(self, raw: Raw) -> Value:
        """Gives the date from a native date, from ISO text, and from either with a time of midnight and no zone."""
        if raw is None:
            return None
        if isinstance(raw, datetime):
            if raw.tzinfo is None and raw.time() == time.min:
                return raw.date()
        elif isinstance(raw, date):
            return raw
        elif isinstance(raw, str) and (match := _ISO_DATE.fullmatch(raw.rstrip(" "))):
            try:
                return date.fromisoformat(match[1])
            except ValueError:
                pass
        raise Undecodable(f"expected a date or text like 1949-12-31, found {kind_of(raw)} that is none")

    def encode(self, value: Value) -> Raw:
        """Gives the native date, or ISO text if so declared."""
        if value is None:
            return None
        day = _as_date(value)
        return day.isoformat() if self.as_text else day


def iso_date(*, as_text: bool = False) -> IsoDateCodec:
    """Declares a column of dates; with `as_text`, a text column that holds them as 1949-12-31."""
    return IsoDateCodec(as_text=as_text)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactDateCodec(Codec):
    """Dates as eight digits; see `yyyymmdd`."""

    kind: ClassVar[Kind] = Kind.DATE

    null: str | None = None
    as_integer: bool = False

    def decode(self, raw: Raw) -> Value:
        """Gives the date from eight digits as text or as a whole number."""
        digits: str | None = None
        if raw is None:
            return None
        if isinstance(raw, str):
            digits = raw.strip(" ")
        elif (number := whole_number(raw)) is not None:
            # A year below 1000 loses its leading zeros in a numeric column, and 00000000 all of them.
            digits = f"{number:08d}"
        if digits is not None:
            if self.null is not None and digits in {"", self.null.strip(" ")}:
                return None
            if len(digits) == 8 and digits.isascii() and digits.isdigit():  # noqa: PLR2004 (yyyymmdd)
                try:
                    return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
                except ValueError:
                    pass
        raise Undecodable(f"expected a date as eight digits like 19491231, found {kind_of(raw)} that is none")

    def encode(self, value: Value) -> Raw:
        """Gives the eight digits, or what the column holds for no date."""
        if value is None:
            return int(self.null) if self.null is not None and self.as_integer else self.null
        day = _as_date(value)
        digits = f"{day.year:04d}{day.month:02d}{day.day:02d}"
        return int(digits) if self.as_integer else digits

    def spellings(self, value: Value) -> tuple[Raw, ...]:
        """Gives the date as written; for no date also null and blank where they mean the same."""
        written = encode_checked(self, value)
        if value is None and self.null is not None:
            return (written, None) if self.as_integer or written == "" else (written, "", None)
        return (written,)


def yyyymmdd(*, null: Literal["00000000", ""] | None = None, as_integer: bool = False) -> CompactDateCodec:
    """Declares a column of dates such as 19491231, as text or (`as_integer`) as a number.

    `null` is what the column holds for no date where it is not null: `"00000000"`, or `""` for blank. It is written
    for no date, and zeros so declared, blank and null are then all read as no date. Without it only null is, and zeros
    are not understood.

    Raises:
        ConfigurationError: blank is asked of a column of numbers.
    """
    if null == "" and as_integer:
        raise ConfigurationError('a column of numbers cannot be blank: use null="00000000" or leave null out')
    return CompactDateCodec(null=null, as_integer=as_integer)


@dataclass(frozen=True, slots=True, kw_only=True)
class InstantCodec(Codec):
    """Instants to the millisecond; see `instant`."""

    kind: ClassVar[Kind] = Kind.INSTANT

    form: Literal["native", "text", "seconds", "millis"] = "native"
    zone: str | None = None
    _zone: ZoneInfo | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Looks the zone up."""
        try:
            object.__setattr__(self, "_zone", None if self.zone is None else ZoneInfo(self.zone))
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ConfigurationError(
                f"expected a time zone that this host knows, such as Asia/Shanghai, found {self.zone!r}; "
                "if the name is right, install the host's tzdata"
            ) from error

    def decode(self, raw: Raw) -> Value:
        """Gives the instant in UTC, cut to the millisecond; numbers are read only where the form is a count."""
        if raw is None:
            return None
        moment: datetime | None = None
        try:
            if self.form in {"seconds", "millis"}:
                moment = self._from_number(raw)
            elif isinstance(raw, datetime):
                moment = raw
            elif isinstance(raw, str) and _ISO_INSTANT.fullmatch(raw):
                moment = datetime.fromisoformat(raw.rstrip(" "))
            if moment is not None and moment.tzinfo is None and self._zone is not None:
                # A database has no `fold`: kept, it would make the round trip succeed here and fail there.
                moment = moment.replace(tzinfo=self._zone, fold=0)
            if moment is not None and moment.tzinfo is not None:
                moment = moment.astimezone(UTC)
                return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
        except (ValueError, OverflowError):
            pass  # outside the calendar: reported below like any other raw value that is no instant
        if moment is not None and moment.tzinfo is None:
            raise Undecodable("the column holds times without a zone; declare which: instant(zone=...)")
        raise Undecodable(f"expected an instant ({self.form}), found {kind_of(raw)} that is none")

    def _from_number(self, raw: Raw) -> datetime | None:
        number: Decimal | None = None
        if isinstance(raw, str) and _SECONDS.fullmatch(raw.strip(" ")):
            number = Decimal(raw.strip(" "))
        elif isinstance(raw, float):
            number = Decimal(repr(raw))
        elif isinstance(raw, int | Decimal) and not isinstance(raw, bool):
            number = Decimal(raw)
        if number is None or not number.is_finite() or number.adjusted() > _MOST_DIGITS:
            return None
        millis = number if self.form == "millis" else number * 1000
        return _EPOCH + timedelta(milliseconds=int(millis.to_integral_value(ROUND_FLOOR)))

    def encode(self, value: Value) -> Raw:
        """Gives the instant in the declared form, in the declared zone if there is one."""
        if value is None:
            return None
        if not isinstance(value, datetime) or value.tzinfo is None:
            raise CannotHold(f"a column of instants was given {kind_of(value)} that is none")
        since = value - _EPOCH
        if self.form in {"seconds", "millis"}:
            whole, rest = divmod(since, timedelta(seconds=1) if self.form == "seconds" else timedelta(milliseconds=1))
            if rest:
                raise CannotHold(f"the column holds whole {self.form}; the instant has a fraction")
            return whole
        moment = value.astimezone(UTC)
        if self._zone is not None:
            try:
                moment = moment.astimezone(self._zone).replace(tzinfo=None)
            except OverflowError:
                raise CannotHold("the instant is outside the calendar in the column's time zone") from None
        if self.form == "native":
            return moment
        return moment.isoformat(sep=" ", timespec="milliseconds" if moment.microsecond else "seconds")


def instant(
    form: Literal["native", "text", "seconds", "millis"] = "native", *, zone: str | None = None
) -> InstantCodec:
    """Declares a column of instants, which are shared in UTC to the millisecond.

    `form` is `native` (a timestamp type), `text` (ISO), or a count since 1970-01-01 UTC in `seconds` or `millis`.
    `zone`, such as `Asia/Shanghai`, is for columns whose times carry no zone: times are then written without one too.
    In the hour that the end of summer time repeats, such a column cannot hold the second pass, because it would read
    back as the first.

    Raises:
        ConfigurationError: the zone is not known on this host, or is given for a count.
    """
    if zone is not None and form in {"seconds", "millis"}:
        raise ConfigurationError(f"{form} since 1970 are the same in every zone: leave zone={zone!r} out")
    return InstantCodec(form=form, zone=zone)
