"""Whatever is done to a log between looks (rotated, written over, restored, cut, compressed): one stream, each span once."""

from __future__ import annotations

import gzip
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.streams import LOOP, OTHER, SESSION, end, start, whole_turn
from tests.watch.following import Following, append, exported, log_lines

SECOND = f"{SESSION}.mock.2"
# What is gone from the disk cannot be read again after a kill; docs/watch.md says what becomes of it.
_DEEDS = {
    "killed": ["round", "some", "kill", "rotate", "write over", "restore"],
    "not killed": ["round", "some", "rotate", "copy and truncate", "compress"],
}


def two_branches() -> list[bytes]:
    """Returns a log of two loops that overlap, and a third one after them."""
    return log_lines(
        [
            start(0),
            *whole_turn(10),
            start(50, SECOND),
            *whole_turn(60, 0, SECOND),
            *whole_turn(80, 1),
            end(120, SECOND),
            *whole_turn(130, 2),
            end(200, LOOP),
            start(300, f"{SESSION}.mock.3", session=OTHER),
            *whole_turn(310, 0, f"{SESSION}.mock.3"),
            end(400, f"{SESSION}.mock.3"),
        ]
    )


class Writer:
    """Writes a log as an agent does, and does to it what people and their tools do."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "a.jsonl"
        self._spare = folder.parent / "spare"
        self.rotated = 0
        self._here = b""  # what the agent wrote since the last rotation

    def write(self, content: bytes) -> None:
        self._here += content
        append(self.path, content)

    def rotate(self) -> None:
        self.rotated += 1
        if self.path.exists():
            self.path.replace(self.path.with_name(f"a.jsonl.{self.rotated}"))
        self._here = b""

    def copy_and_truncate(self) -> None:
        self.rotated += 1
        if self.path.exists():
            shutil.copy(self.path, self.path.with_name(f"a.jsonl.{self.rotated}"))
            self.path.write_bytes(b"")
        self._here = b""

    def write_over(self) -> None:
        """Puts another file with the same content there, as rsync does."""
        self._spare.write_bytes(self._here)
        self._spare.replace(self.path)

    def compress(self) -> None:
        for path in self.path.parent.glob("a.jsonl.?"):
            path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()

    def restore(self, share: float) -> bytes:
        """Puts a shorter file there that begins as this one; returns what is missing of it."""
        lines = self._here.splitlines(keepends=True)
        kept = lines[: max(4, round(len(lines) * share))]  # a kilobyte, enough to be told by
        self._spare.write_bytes(b"".join(kept))
        self._spare.replace(self.path)
        return b"".join(lines[len(kept) :])


@settings(
    max_examples=25, deadline=None, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(st.data())
@pytest.mark.parametrize("deeds", _DEEDS.values(), ids=_DEEDS.keys())
def test_nothing_that_is_done_to_a_log_between_looks_changes_a_byte(deeds: list[str], data: st.DataObject) -> None:
    lines = two_branches()
    with tempfile.TemporaryDirectory() as place:
        logs = Path(place, "logs")
        logs.mkdir()
        writer = Writer(logs)
        with Following(logs, Path(place, "state")) as following:
            for line in lines:
                cut = data.draw(st.sampled_from([0, len(line), len(line) // 2]))
                writer.write(line[:cut])
                if 0 < cut < len(line):
                    following.round(writer.path)
                writer.write(line[cut:])
                _something(data, following, writer, deeds)
            following.round()
            whole = Path(place, "whole.jsonl")
            whole.write_bytes(b"".join(lines))
            wanted = exported(whole)
            assert following.end() == wanted
            assert len(following.backend.spans) == len(wanted)


def _something(data: st.DataObject, following: Following, writer: Writer, deeds: list[str]) -> None:
    match data.draw(st.sampled_from(["nothing"] * 6 + deeds)):
        case "round":
            following.round()
        case "some":
            following.round(writer.path)
        case "kill":
            following.restart()
        case "rotate":
            following.round(writer.path)
            writer.rotate()
            following.round()
        case "copy and truncate":
            following.round()
            writer.copy_and_truncate()
            following.round()
        case "write over":
            writer.write_over()
            following.round(writer.path)
        case "compress":
            following.round()
            writer.compress()
        case "restore":
            following.round()
            missing = writer.restore(data.draw(st.sampled_from([0.3, 0.6])) if not writer.rotated else 1.0)
            following.round()
            append(writer.path, missing)
