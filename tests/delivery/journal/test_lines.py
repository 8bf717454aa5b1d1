"""A reader finds every undamaged line of a file, invents none, and takes an unfinished last one for what it is."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_phi.delivery.journal.append import Descriptor
from otel_phi.delivery.journal.lines import LineReader, frame, read_bytes, scan

bodies = st.lists(st.binary(max_size=40), min_size=1, max_size=12)


def found(data: bytes, *, closed: bool = True) -> list[bytes]:
    return [body for _, _, body in scan(data, closed=closed).lines]


@given(bodies)
def test_what_is_framed_is_found(some: list[bytes]) -> None:
    data = b"".join(map(frame, some))
    result = scan(data, 100)
    assert [body for _, _, body in result.lines] == some
    assert result.damages == []
    assert result.end == 100 + len(data)
    assert [data[start - 100 : end - 100] for start, end, _ in result.lines] == [frame(body) for body in some]


@given(bodies, st.integers(0, 11), st.integers(0, 60), st.integers(1, 255))
def test_a_flipped_byte_costs_its_own_line(some: list[bytes], which: int, at: int, change: int) -> None:
    which %= len(some)
    lines = [bytearray(frame(body)) for body in some]
    lines[which][at % len(lines[which])] ^= change
    result = scan(b"".join(lines))
    rest = some[:which] + some[which + 1 :]
    kept = [body for _, _, body in result.lines]
    assert kept in (rest, some)  # a digit of a length or a sum may become another way to write the same
    if kept == rest:
        assert sum(damage.lines for damage in result.damages) == 1


@given(bodies, st.integers(0, 600), st.integers(1, 200), st.sampled_from([b"\0", b"\n", b" ", b"x"]))
def test_a_hole_costs_the_lines_that_it_touches(some: list[bytes], at: int, length: int, fill: bytes) -> None:
    data = b"".join(map(frame, some))
    at %= len(data)
    end = min(at + length, len(data))
    spans = [(start, stop) for start, stop, _ in scan(data).lines]
    untouched = [body for body, (start, stop) in zip(some, spans, strict=True) if stop <= at or start >= end]
    kept = found(data[:at] + fill * (end - at) + data[end:])
    assert [body for body in kept if body in untouched] == kept or set(kept) <= set(some)
    assert len(kept) >= len(untouched)
    remaining = iter(kept)
    assert all(body in remaining for body in untouched), "an undamaged line is lost, or out of order"


@given(bodies, st.integers(0, 600))
def test_a_cut_tail_costs_nothing_before_it_and_waits_while_the_file_is_open(some: list[bytes], cut: int) -> None:
    data = b"".join(map(frame, some))
    cut %= len(data)
    whole = [body for body, (_, stop, _) in zip(some, scan(data).lines, strict=True) if stop <= cut]
    open_ = scan(data[:cut], closed=False)
    assert [body for _, _, body in open_.lines] == whole
    assert open_.damages == []
    closed = scan(data[:cut])
    assert [body for _, _, body in closed.lines] == whole
    assert {damage.kind for damage in closed.damages} <= {"cut"}
    again = scan(data[open_.end :], open_.end)
    assert [body for _, _, body in (*open_.lines, *again.lines)] == some


def test_a_line_that_was_cut_short_does_not_swallow_the_next() -> None:
    data = frame(b"one") + frame(b"two" * 10)[:20] + frame(b"three")
    result = scan(data)
    assert [body for _, _, body in result.lines] == [b"one", b"three"]
    assert [(damage.kind, damage.bytes, damage.lines) for damage in result.damages] == [("cut", 20, 1)]


def test_kinds_of_damage_are_told_apart_and_lines_in_it_counted() -> None:
    changed = frame(b"two").replace(b"two", b"tow")
    data = frame(b"one") + changed + changed + b"\0" * 50 + frame(b"three") + b"zzz"
    assert [(damage.kind, damage.lines) for damage in scan(data).damages] == [("checksum", 2), ("no line", 1)]


def test_blanks_between_lines_are_nothing() -> None:
    result = scan(frame(b"one") + b" " * 100 + frame(b"two") + b"  ")
    assert [body for _, _, body in result.lines] == [b"one", b"two"]
    assert result.damages == []


def test_a_body_may_hold_what_looks_like_a_line() -> None:
    inner = frame(b"inner")
    assert found(frame(inner) + frame(b"next")) == [inner, b"next"]


def open_file(data: bytes) -> Descriptor:
    number, name = tempfile.mkstemp()
    Path(name).unlink()
    os.write(number, data)
    return Descriptor(number)


@pytest.mark.parametrize("max_bytes", [1, 10, 64, 1 << 20])
def test_a_reader_gives_the_same_lines_whatever_it_reads_at_once(max_bytes: int) -> None:
    some = [b"x" * (number * 37 % 300) for number in range(60)]
    data = b"".join(map(frame, some[:30])) + b"\0damage\n" + b"".join(map(frame, some[30:]))
    file = open_file(data)
    reader, kept, lost = LineReader(file.number, 0), [], 0
    while (result := reader.read(max_bytes, closed=True)).moved:
        kept += [body for _, _, body in result.lines]
        lost += sum(damage.bytes for damage in result.damages)
    assert kept == some
    assert lost == len(b"\0damage\n")


def test_a_length_that_became_huge_hides_nothing_behind_it() -> None:
    data = frame(b"one") + frame(b"damaged").replace(b" 7 ", b" 999999999 ") + frame(b"two")
    file = open_file(data)
    reader = LineReader(file.number, 0)
    kept = []
    while (result := reader.read(16, closed=False)).moved:
        kept += [body for _, _, body in result.lines]
    assert kept == [b"one", b"two"]


def test_blocks_that_the_disk_cannot_read_cost_the_lines_in_them(monkeypatch: pytest.MonkeyPatch) -> None:
    some = [b"%06d" % number for number in range(2000)]
    data = b"".join(map(frame, some))
    file, real = open_file(data), os.pread

    def failing(number: int, count: int, offset: int) -> bytes:
        if offset < 8192 < offset + count:
            raise OSError(5, "Input/output error")
        if offset == 8192:
            raise OSError(5, "Input/output error")
        return real(number, count, offset)

    monkeypatch.setattr(os, "pread", failing)
    kept = [body for _, _, body in scan(read_bytes(file.number, 1 << 20, 0)).lines]
    assert len(some) - 4096 // 18 - 2 <= len(kept) < len(some)
    assert [body for body in some if body in set(kept)] == kept
