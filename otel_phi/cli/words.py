"""Numbers and ids in few words: durations, token counts, short session names."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable

from otel_phi.tree import clean
from otel_phi.wire.uuids import is_uuid

_SHORT = 8  # of a UUID: as git does; enough to tell the sessions of a folder apart
_LONGEST_NAME = 24  # of a session whose id is a sentence


def duration(length_ns: int) -> str:
    """Returns a duration in at most three digits: `640 µs`, `312 ms`, `3.77 s`, `4m 32s`, `1h 05m`, `2d 03h`."""
    if length_ns < 1_000:
        return f"{length_ns} ns"
    if length_ns < 999_500:
        return f"{length_ns / 1e3:.3g} µs"
    if length_ns < 999_500_000:
        return f"{length_ns / 1e6:.3g} ms"
    seconds = length_ns / 1e9
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, smaller, size in (("d", "h", 86_400), ("h", "m", 3_600)):
        if whole >= size:
            return f"{whole // size}{unit} {whole % size // (size // (24 if unit == 'd' else 60)):02d}{smaller}"
    return f"{whole // 60}m {whole % 60:02d}s"


def count(number: int) -> str:
    """Returns a number in at most three digits: `812`, `1.2k`, `45k`, `1.23M`."""
    for size, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if number >= size * 0.9995:
            return f"{number / size:.3g}{unit}"
    return str(number)


def tokens(given: int, made: int) -> str:
    """Returns input and output tokens, `11.1k→187`; nothing for none."""
    return f"{count(given)}→{count(made)}" if given or made else ""


def dollars(amount: float, *, partial: bool = False) -> str:
    """Returns US dollars: `$0.0183`, `$12.40`; `over $1.20` where it is only a part of what was spent."""
    if 0 < amount < 0.0001:
        return "under $0.0001" if not partial else "some cost"
    said = f"${amount:,.2f}" if amount >= 1 or not amount else f"${amount:.4f}"
    return f"over {said}" if partial else said


def many(number: int, noun: str, plural: str | None = None) -> str:
    """Returns a number with its noun: `1 turn`, `12 turns`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {plural or noun + 's'}"


def size(size_bytes: int) -> str:
    """Returns a number of bytes: `812 bytes`, `1.2 KiB`, `45.0 MiB`."""
    for unit, unit_bytes in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size_bytes >= unit_bytes:
            return f"{size_bytes / unit_bytes:.1f} {unit}"
    return many(size_bytes, "byte")


def moment(time_ns: int) -> str:
    """Returns a time in UTC to the second; the number itself where no calendar has it."""
    try:
        when = dt.datetime.fromtimestamp(time_ns // 1_000_000_000, dt.timezone.utc)
    except (ValueError, OverflowError, OSError):
        return f"{time_ns} ns"
    return when.strftime("%Y-%m-%d %H:%M:%S UTC")


def short_names(sessions: Iterable[str]) -> dict[str, str]:
    """Returns a short name for each session id, no two the same: its first 8 characters, with its last 4 if need be."""
    ids = set(sessions)
    names: dict[str, str] = {}
    for shorten in (_begin, _begin_and_end, clean):
        drafts = {session: shorten(session) for session in ids if session not in names}
        taken = Counter(drafts.values())
        names |= {session: name for session, name in drafts.items() if taken[name] == 1}
    return {session: names.get(session, clean(session)) for session in ids}


def _begin(session: str) -> str:
    name = clean(session)
    if is_uuid(name):
        return name[:_SHORT]
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def _begin_and_end(session: str) -> str:
    name = clean(session)
    return f"{name[:_SHORT]}…{name[-4:]}"
