"""Dates and instants: the forms columns hold them in, and what is refused."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from tellonce import instant, iso_date, yyyymmdd
from tellonce.declare import CannotHold, Raw, Undecodable, encode_checked
from tellonce.model.errors import ConfigurationError

DAY = date(1949, 12, 31)
MOMENT = datetime(2024, 2, 29, 16, 5, 7, 250_000, tzinfo=UTC)


@pytest.mark.parametrize(
    "raw", [DAY, datetime(1949, 12, 31), "1949-12-31", "1949-12-31 ", "1949-12-31T00:00:00", "1949-12-31 00:00:00.000"]
)
def test_dates_are_read_from_every_form_of_a_date(raw: Raw) -> None:
    """A DATE column, a timestamp column that holds dates, and both in JSON are the same date."""
    assert iso_date().decode(raw) == DAY


@pytest.mark.parametrize(
    "raw",
    [
        "19491231",
        "1949-12-32",
        "1949-W52-6",
        "1949-12-31T08:00:00",
        "infinity",
        "",
        datetime(1949, 12, 31, 8),
        datetime(1949, 12, 31, tzinfo=UTC),
        19491231,
    ],
)
def test_what_is_no_plain_date_is_not_understood(raw: Raw) -> None:
    """A time of day, a zone or another layout means that the declaration does not fit the column."""
    with pytest.raises(Undecodable):
        iso_date().decode(raw)


def test_date_is_written_natively_or_as_text() -> None:
    """A text column gets text, since PostgreSQL refuses a date there."""
    assert encode_checked(iso_date(), DAY) == DAY
    assert encode_checked(iso_date(as_text=True), DAY) == "1949-12-31"


def test_an_instant_is_no_date() -> None:
    """Python's datetime is a date by inheritance, and would lose its time."""
    with pytest.raises(CannotHold):
        encode_checked(iso_date(), datetime(1949, 12, 31, tzinfo=UTC))


@pytest.mark.parametrize("raw", ["19491231", "19491231 ", 19491231, Decimal(19491231), 19491231.0])
def test_eight_digits_are_a_date(raw: Raw) -> None:
    """Digits are the same date in text and in numbers."""
    assert yyyymmdd().decode(raw) == DAY


def test_early_years_keep_their_zeros() -> None:
    """Year 99 is written 0099 as text, and a number column drops the zeros without harm."""
    early = date(99, 1, 2)

    assert encode_checked(yyyymmdd(), early) == "00990102"
    assert encode_checked(yyyymmdd(as_integer=True), early) == 990102


@pytest.mark.parametrize(
    "raw", ["1949-12-31", "19491301", "00000000", "", "1949123", "１９４９１２３１", 0, -19491231, True]
)
def test_other_digits_are_not_understood(raw: Raw) -> None:
    """Zeros and blanks mean no date only where the form says so; full-width digits and 13th months never do."""
    with pytest.raises(Undecodable):
        yyyymmdd().decode(raw)


@pytest.mark.parametrize("raw", ["00000000", "", "        ", None, 0])
def test_zeros_and_blanks_are_null_where_declared(raw: Raw) -> None:
    """Where zeros stand for no date, so do blanks and null."""
    assert yyyymmdd(null="00000000").decode(raw) is None


def test_declared_null_is_written() -> None:
    """A NOT NULL column of dates gets what its application takes for no date."""
    assert encode_checked(yyyymmdd(null="00000000"), None) == "00000000"
    assert encode_checked(yyyymmdd(null=""), None) == ""
    assert encode_checked(yyyymmdd(null="00000000", as_integer=True), None) == 0
    assert encode_checked(yyyymmdd(), None) is None


def test_blank_numbers_are_refused() -> None:
    """A column of numbers cannot be blank."""
    with pytest.raises(ConfigurationError, match="blank"):
        yyyymmdd(null="", as_integer=True)


@pytest.mark.parametrize(
    "raw",
    [
        MOMENT,
        MOMENT.astimezone(timezone(timedelta(hours=8))),
        "2024-02-29T16:05:07.25+00:00",
        "2024-03-01 00:05:07.250+08:00",
        "2024-02-29T16:05:07.250Z",
        "2024-02-29T16:05:07.250999+00:00",
    ],
)
def test_instants_are_read_in_utc_to_the_millisecond(raw: Raw) -> None:
    """A timestamptz, natively and in JSON, in whatever zone the session has, is one instant."""
    assert instant().decode(raw) == MOMENT


@pytest.mark.parametrize("raw", [datetime(2024, 3, 1, 0, 5, 7, 250_000), "2024-03-01 00:05:07.25"])
def test_a_time_without_zone_is_read_in_the_declared_one(raw: Raw) -> None:
    """A timestamp without a zone means nothing until the form says where its clock hung."""
    assert instant(zone="Asia/Shanghai").decode(raw) == MOMENT
    with pytest.raises(Undecodable, match="zone="):
        instant().decode(raw)


def test_zoned_instants_are_written_without_a_zone() -> None:
    """A column without zones gets the local time of the declared zone."""
    assert encode_checked(instant(zone="Asia/Shanghai"), MOMENT) == datetime(2024, 3, 1, 0, 5, 7, 250_000)
    assert encode_checked(instant("text", zone="Asia/Shanghai"), MOMENT) == "2024-03-01 00:05:07.250"


def test_the_hour_that_summer_time_repeats_is_held_once() -> None:
    """China had summer time until 1991; its repeated hour is held at its first pass only."""
    codec = instant(zone="Asia/Shanghai")
    first = datetime(1991, 9, 14, 16, 30, tzinfo=UTC)

    assert codec.decode(encode_checked(codec, first)) == first
    with pytest.raises(CannotHold):
        encode_checked(codec, first + timedelta(hours=1))


@pytest.mark.parametrize(
    ("form", "raw"), [("seconds", "1709222707.25"), ("seconds", 1709222707.25), ("millis", 1709222707250)]
)
def test_counts_since_1970_are_read(form: str, raw: Raw) -> None:
    """Epoch seconds may carry a fraction; milliseconds are whole."""
    codec = instant("seconds") if form == "seconds" else instant("millis")

    assert codec.decode(raw) == MOMENT


def test_whole_seconds_cannot_hold_milliseconds() -> None:
    """A fraction of a second is not dropped."""
    with pytest.raises(CannotHold, match="fraction"):
        encode_checked(instant("seconds"), MOMENT)
    assert encode_checked(instant("millis"), MOMENT) == 1709222707250


@pytest.mark.parametrize(
    ("raw", "millis"), [("0.0019", 1), ("-0.0011", -2), (Decimal("0.0005"), 0), (1709222707.2509, 1709222707250)]
)
def test_fractions_of_a_count_are_cut_downwards(raw: Raw, millis: int) -> None:
    """Cutting to the millisecond goes the same way before and after 1970, and as it does for timestamps."""
    assert instant("seconds").decode(raw) == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=millis)


def test_instants_before_1970_are_counted_down() -> None:
    """Dates of birth lie before the epoch, where careless rounding moves instants."""
    before = datetime(1949, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)

    assert instant("millis").decode(encode_checked(instant("millis"), before)) == before


def test_microseconds_cannot_be_held() -> None:
    """The shared form ends at the millisecond, so finer instants would read back as others."""
    with pytest.raises(CannotHold):
        encode_checked(instant(), MOMENT.replace(microsecond=250_001))


@pytest.mark.parametrize("raw", [10**30, 10.0**300, float("nan"), True, "soon", "", DAY])
def test_counts_outside_the_calendar_are_not_understood(raw: Raw) -> None:
    """A number that is no instant of the years 1 to 9999 is refused, not wrapped."""
    with pytest.raises(Undecodable):
        instant("seconds").decode(raw)


@pytest.mark.parametrize("raw", [1709222707, "2024-02-29", "2024-02-30T00:00:00Z", "infinity", "20240229T160507Z", DAY])
def test_numbers_and_dates_are_no_instants(raw: Raw) -> None:
    """A count is read only where declared, because seconds and milliseconds look alike."""
    with pytest.raises(Undecodable):
        instant().decode(raw)


def test_the_last_hours_of_the_calendar_cannot_be_held_in_an_eastern_zone() -> None:
    """Year 10000 does not exist in Python, so the instant is refused and does not break the service."""
    with pytest.raises(CannotHold, match="calendar"):
        encode_checked(instant(zone="Asia/Shanghai"), datetime(9999, 12, 31, 23, tzinfo=UTC))


def test_an_unknown_zone_is_refused() -> None:
    """A misspelt zone is found when the form is read."""
    with pytest.raises(ConfigurationError, match="Asia/Shenzen"):
        instant(zone="Asia/Shenzen")


def test_a_zone_for_a_count_is_refused() -> None:
    """Epoch counts are the same everywhere, so a zone with them shows a misunderstanding."""
    with pytest.raises(ConfigurationError, match="every zone"):
        instant("seconds", zone="Asia/Shanghai")
