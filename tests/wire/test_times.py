"""Times to integer nanoseconds and back: nothing rounded, chrono's forms read, everything else refused."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from otel_phi.events import Instant, format_time, parse_time
from otel_phi.wire import times

MINUTE_ONE, LAST = -62_135_596_800 * 10**9, 253_402_300_799 * 10**9 + 999_999_999
SECOND = 1_779_786_842 * 10**9


@given(st.integers(MINUTE_ONE, LAST))
@example(MINUTE_ONE)
@example(LAST)
@example(-1)
@example(0)
def test_what_is_written_is_read_again_to_the_nanosecond(time_ns: int) -> None:
    assert parse_time(format_time(time_ns)) == time_ns


@given(st.integers(MINUTE_ONE, LAST), st.integers(-23 * 60 - 59, 23 * 60 + 59))
def test_an_offset_names_the_same_instant(time_ns: int, offset_minutes: int) -> None:
    local = time_ns + offset_minutes * 60 * 10**9
    if not MINUTE_ONE <= local <= LAST:
        return
    hours, minutes = divmod(abs(offset_minutes), 60)
    zone = f"{'-' if offset_minutes < 0 else '+'}{hours:02}:{minutes:02}"
    assert parse_time(format_time(local).removesuffix("Z") + zone) == time_ns


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-05-26T09:14:02Z", SECOND),
        ("2026-05-26T09:14:02.1Z", SECOND + 100_000_000),
        ("2026-05-26T09:14:02.118Z", SECOND + 118_000_000),
        ("2026-05-26T09:14:02.118402Z", SECOND + 118_402_000),
        ("2026-05-26T09:14:02.118402117Z", SECOND + 118_402_117),
        ("2026-05-26T09:14:02.1184021179999Z", SECOND + 118_402_117),
        ("2026-05-26 09:14:02Z", SECOND),
        ("2026-05-26t09:14:02z", SECOND),
        ("2026-05-26T11:14:02+02:00", SECOND),
        ("2026-05-26T11:14:02.5+02:00", SECOND + 500_000_000),
        ("2026-05-26T04:44:02-04:30", SECOND),
        ("2026-05-26T09:14:02+00:00", SECOND),
        ("2016-12-31T23:59:60Z", 1_483_228_800 * 10**9),
        ("1969-12-31T23:59:59.999999999Z", -1),
    ],
)
def test_what_chrono_reads_is_read(text: str, expected: int) -> None:
    assert parse_time(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-05-26",
        "2026-05-26T09:14:02",
        "2026-05-26T09:14Z",
        "2026-05-26T09:14:02.Z",
        "2026-05-26T24:00:00Z",
        "2026-05-26T09:60:00Z",
        "2026-05-26T09:14:61Z",
        "2026-02-30T09:14:02Z",
        "2026-13-01T09:14:02Z",
        "0000-01-01T00:00:00Z",
        "2026-W10-1T09:14:02Z",
        "20260526T091402Z",
        "2026-05-26T091402.1.5Z",
        "2026-05-26T09:14:02,5Z",
        "2026-05-26T09:14:02.5 Z",
        "2026-05-26T09:14:02.\u0665Z",
        "2026-05-26T09:14:02.5+02",
        "+2026-05-26T09:14:02Z",
        " 2026-05-26T09:14:02Z",
        "2026-05-26T09:14:02Z\n",
        "1779786842118",
        "now",
    ],
)
def test_what_chrono_refuses_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_time(text)


@given(
    st.from_regex(
        r"[0-9]{4}-[0-9W]{2}-[0-9]{2}[T ][0-9]{2}:?[0-9]{2}:?[0-9]{2}([.,][0-9.]{0,12})?(Z|[+-][0-9]{2}:[0-9]{2})?"
    )
)
@example("2026-W10-1T09:14:02Z")
@example("2026-05-26T091402.1.5Z")
@example("2026-05-26T09:14:02.Z")
@example("2026-05-26T09:14:02.123456789Z")
@example("2026-05-26T09:14:60.123456789Z")
@example("2026-05-26T09:14:02.12345678٩Z")
@example("2026-05-26T24:14:02.123456789Z")
def test_the_fast_ways_and_the_slow_way_agree(text: str) -> None:
    def read(parse: Callable[[str], int]) -> int | None:
        try:
            return parse(text)
        except ValueError:
            return None

    assert read(parse_time) == read(times.parse_ns) == read(times._parse_unusual)


@pytest.mark.parametrize(
    ("time_ns", "text"),
    [
        (SECOND, "2026-05-26T09:14:02Z"),
        (SECOND + 100_000_000, "2026-05-26T09:14:02.100Z"),
        (SECOND + 118_402_000, "2026-05-26T09:14:02.118402Z"),
        (SECOND + 1, "2026-05-26T09:14:02.000000001Z"),
    ],
)
def test_times_are_written_as_chrono_does_with_0_3_6_or_9_digits(time_ns: int, text: str) -> None:
    assert format_time(time_ns) == text


@given(st.datetimes(min_value=dt.datetime(1, 1, 2), max_value=dt.datetime(9999, 12, 30)))
def test_times_agree_with_datetime(moment: dt.datetime) -> None:
    aware = moment.replace(tzinfo=dt.timezone.utc)
    micros = (aware - dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)) // dt.timedelta(microseconds=1)
    assert parse_time(aware.isoformat()) == micros * 1_000


@pytest.mark.parametrize("time_ns", [MINUTE_ONE - 1, LAST + 1, 10**30])
def test_a_time_outside_the_years_1_to_9999_cannot_be_written(time_ns: int) -> None:
    with pytest.raises(ValueError, match="years 1 to 9999"):
        format_time(time_ns)


def test_an_instant_shows_itself_as_text_and_counts_as_a_number() -> None:
    assert repr(Instant(SECOND)) == "Instant('2026-05-26T09:14:02Z')"
    assert Instant(SECOND) == SECOND
