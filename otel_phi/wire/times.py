"""Times on the wire: RFC 3339 text to integer nanoseconds and back.

Rule 1: nothing is rounded. `datetime` stops at microseconds, so the fraction is read here.
Rule 2: what chrono reads is read (an offset, a space for `T`, second 60); what it refuses is refused (no zone, numbers).
Rule 3: what is written is chrono's AutoSi form: 0, 3, 6 or 9 fraction digits and `Z`.
"""

from __future__ import annotations

import datetime as dt
import functools
import re

from otel_phi.wire.foreign import pass_on

NANOSECONDS = 1_000_000_000
_EPOCH_ORDINAL = dt.date(1970, 1, 1).toordinal()
_SECOND_NS = {f"{second:02}": second * NANOSECONDS for second in range(60)}
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII)


class Instant(int):
    """An instant is a point in time: nanoseconds since the Unix epoch, printed on the wire as RFC 3339 in UTC."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Instant({format_time(self)!r})"


@functools.lru_cache(maxsize=64)  # a stream lives on few dates at a time
def _day_seconds(date: str) -> int:
    return (dt.date.fromisoformat(date).toordinal() - _EPOCH_ORDINAL) * 86_400


def parse_time(text: str) -> Instant:
    """Reads an RFC 3339 time.

    Args:
        text: such as `2026-05-26T09:14:02.118402117Z`; an offset and a space for `T` are accepted.

    Returns:
        Nanoseconds since the epoch; digits past the ninth are cut off.

    Raises:
        ValueError: the text is not RFC 3339, or names no zone.
    """
    try:
        # What chrono writes, read by few steps in C. Anything else, wrong or merely unusual, is looked at below.
        digits = "0" if len(text) == 20 else text[20:-1]
        if text[-1] == "Z" and (text[19] == "." or len(text) == 20) and digits.isdigit() and text.isascii():
            fraction = int(digits) if len(digits) == 9 else int(digits[:9].ljust(9, "0"))
            return Instant(_minute_ns(text[:17]) + _SECOND_NS[text[17:19]] + fraction)
    except (ValueError, KeyError, IndexError, OverflowError) as error:
        pass_on(error)
        return _parse_unusual(text)
    return _parse_unusual(text)


@functools.lru_cache(maxsize=64)  # a stream's events stand close together in time
def _minute_ns(text: str) -> int:
    """Returns the time of a minute, given as `2026-05-26T09:14:`, in nanoseconds since the epoch.

    Raises:
        ValueError: it is none, or not written so.
    """
    if [text[at : at + 1] for at in (4, 7, 10, 13, 16)] != ["-", "-", "T", ":", ":"] or text[11:13] == "24":
        raise ValueError("not written as chrono does")
    return int(dt.datetime.fromisoformat(f"{text}00+00:00").timestamp()) * NANOSECONDS


def _parse_unusual(text: str) -> Instant:
    found = _RFC3339.fullmatch(text)
    if found is None:
        raise ValueError("not an RFC 3339 time with a zone")
    date, hour, minute, second, fraction, sign, off_hour, off_minute = found.groups()
    hours, minutes, seconds = int(hour), int(minute), int(second)
    if hours > 23 or minutes > 59 or seconds > 60:
        raise ValueError("hour, minute or second out of range")
    total = _day_seconds(date) + hours * 3600 + minutes * 60 + seconds
    if sign:
        offset = int(off_hour) * 3600 + int(off_minute) * 60
        total += offset if sign == "-" else -offset
    return Instant(total * NANOSECONDS + (int(fraction[:9].ljust(9, "0")) if fraction else 0))


def format_time(time_ns: int) -> str:
    """Writes nanoseconds since the epoch as chrono does: `2026-05-26T09:14:02.118Z`, digits in threes as needed.

    Raises:
        ValueError: the time lies outside the years 1 to 9999.
    """
    seconds, fraction = divmod(time_ns, NANOSECONDS)
    try:
        moment = dt.datetime(1970, 1, 1) + dt.timedelta(seconds=seconds)
    except OverflowError as error:
        pass_on(error)
        raise ValueError("time outside the years 1 to 9999") from None
    text = moment.isoformat(timespec="seconds")
    if fraction == 0:
        return f"{text}Z"
    digits = f"{fraction:09d}"
    keep = 3 if fraction % 1_000_000 == 0 else 6 if fraction % 1_000 == 0 else 9
    return f"{text}.{digits[:keep]}Z"
