"""Bytes to lines: only a newline ends one, offsets are true, memory is bounded, a gzip file is read to where it breaks."""

from __future__ import annotations

import gzip
import io
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_phi.sources.files import FileChunks
from otel_phi.sources.lines import Block, open_lines, read_lines


class Dripping:
    """Gives its bytes in pieces of the sizes told, then all the rest."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self._stream, self._sizes = io.BytesIO(data), sizes

    def read(self, _size: int = -1, /) -> bytes:
        return self._stream.read(self._sizes.pop(0) if self._sizes else -1)


def flat(blocks: list[Block]) -> list[tuple[int, int, bytes]]:
    """Returns number, offset and bytes of every line."""
    found = []
    for block in blocks:
        offset = block.offset
        for index, line in enumerate(block.lines):
            found.append((block.number + index, offset, line))
            offset += len(line) + 1
    return found


@given(
    lines=st.lists(st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"")), max_size=8),
    ended=st.booleans(),
    sizes=st.lists(st.integers(1, 20), max_size=20),
)
def test_lines_numbers_and_offsets_are_the_same_however_the_bytes_arrive(
    lines: list[bytes], ended: bool, sizes: list[int]
) -> None:
    data = b"\n".join(lines) + (b"\n" if ended else b"")
    found = flat(list(read_lines(Dripping(data, sizes))))
    expected = data.split(b"\n")
    if expected[-1] == b"":
        expected.pop()
    assert [line for _, _, line in found] == expected
    assert [number for number, _, _ in found] == list(range(1, len(expected) + 1))
    assert all(data[offset : offset + len(line)] == line for _, offset, line in found)


def test_line_separators_of_unicode_do_not_end_a_line() -> None:
    data = "{\u2028\u2029\x85\x0b\x0c}\n".encode()
    assert [line for _, _, line in flat(list(read_lines(io.BytesIO(data))))] == [data[:-1]]


def test_the_last_line_says_whether_a_newline_ended_it() -> None:
    assert [block.ended for block in read_lines(io.BytesIO(b"a\nb"))] == [True, False]
    assert [block.ended for block in read_lines(io.BytesIO(b"a\nb\n"))] == [True]


def test_a_line_past_the_limit_is_passed_over_where_it_began_and_the_next_one_is_read() -> None:
    data = b"first\n" + b"x" * 100 + b"\nlast\n"
    blocks = list(read_lines(Dripping(data, [10] * 50), max_line_bytes=50))
    too_long = [block for block in blocks if block.too_long]
    assert [(block.number, block.offset, block.lines) for block in too_long] == [(2, 6, [b""])]
    assert flat(blocks)[-1] == (3, 107, b"last")


def test_a_line_past_the_limit_at_the_end_of_the_file_is_told_of() -> None:
    (block,) = read_lines(Dripping(b"x" * 100, [10] * 50), max_line_bytes=50)
    assert (block.too_long, block.ended, block.lines) == (True, False, [b""])


def test_a_long_line_in_many_pieces_costs_its_length_not_its_square() -> None:
    data = b"x" * 2_000_000 + b"\n"
    (block,) = read_lines(Dripping(data, [100] * 20_000))
    assert block.lines == [data[:-1]]


@pytest.mark.parametrize("through_chunks", [False, True])
def test_a_gzip_file_that_breaks_off_is_read_to_where_it_breaks(tmp_path: Path, through_chunks: bool) -> None:
    noise = random.Random(0)
    text = b"".join(b'{"n":%d,"noise":"%x"}\n' % (n, noise.getrandbits(64)) for n in range(20_000))
    whole = gzip.compress(text)
    path = tmp_path / "log.gz"
    path.write_bytes(whole[: len(whole) * 3 // 4])
    if through_chunks:
        blocks = list(read_lines(FileChunks(path)))
    else:
        with open_lines(path) as stream:
            blocks = list(read_lines(stream))
    got = b"\n".join(line for _, _, line in flat(blocks))
    assert text.startswith(got)
    assert len(got) > len(text) * 0.6


def test_a_damaged_gzip_file_gives_what_lies_before_the_damage(tmp_path: Path) -> None:
    path = tmp_path / "log.gz"
    path.write_bytes(gzip.compress(b"a\nb\n")[:-8] + b"garbage garbage garbage")
    with open_lines(path) as stream:
        assert [line for _, _, line in flat(list(read_lines(stream)))] == [b"a", b"b"]


def test_a_gzip_file_is_known_by_its_first_bytes_whatever_its_name(tmp_path: Path) -> None:
    plain, zipped = tmp_path / "plain.gz", tmp_path / "zipped.jsonl"
    plain.write_bytes(b"a\n")
    zipped.write_bytes(gzip.compress(b"a\n"))
    for path in (plain, zipped):
        with open_lines(path) as stream:
            assert flat(list(read_lines(stream))) == [(1, 0, b"a")]


def test_a_plain_file_is_not_kept_open_between_reads(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"one\ntwo\n")
    chunks = FileChunks(path, 4)
    assert chunks.read() == b"one\n"
    path.rename(tmp_path / "gone.jsonl")
    with pytest.raises(FileNotFoundError):
        chunks.read()
