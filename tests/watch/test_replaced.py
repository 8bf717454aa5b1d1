"""A log replaced, restored, rotated or copied: what comes out is what one file with the same lines gives, each span once."""

from __future__ import annotations

import gzip
import os
import shutil
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from otel_phi.mapping import semconv as s
from otel_phi.mapping.span import Span
from tests.streams import LOOP, start, whole_loop, whole_turn
from tests.watch.following import Following, append, exported, log_lines
from tests.watch.test_outcomes import SECOND, aborted, loops, story

Rounds = Callable[[Following, Path], None]


def look_at_all(following: Following, _: Path) -> None:
    following.round()


def look_at_one(following: Following, path: Path) -> None:
    following.round(path)


how_it_looks = pytest.mark.parametrize("look", [look_at_all, look_at_one])


def in_one_file(folder: Path, lines: list[bytes]) -> dict[bytes, Span]:
    path = folder.parent / "whole.jsonl"
    path.write_bytes(b"".join(lines))
    return exported(path)


def replace(path: Path, lines: list[bytes]) -> None:
    """Writes a new file over the old one, as rsync and editors do."""
    beside = path.parent.parent / "beside"
    beside.write_bytes(b"".join(lines))
    beside.replace(path)


@how_it_looks
def test_a_log_that_is_synchronised_from_elsewhere_is_one_log(look: Rounds, following: Following, logs: Path) -> None:
    lines, path = story(), logs / "a.jsonl"
    for count in range(2, len(lines) + 1):
        replace(path, lines[:count])
        look(following, path)
        if count % 5 == 0:
            following.restart()
    wanted = in_one_file(logs, lines)
    assert following.end() == wanted
    assert len(following.backend.spans) == len(wanted)


@pytest.mark.parametrize("in_place", [False, True], ids=["another inode", "the same inode"])
def test_a_log_restored_from_a_shorter_copy_aborts_nothing(in_place: bool, following: Following, logs: Path) -> None:
    lines, path = story(), logs / "a.jsonl"
    append(path, b"".join(lines[:9]))
    following.round()
    if in_place:
        path.write_bytes(b"".join(lines[:5]))
    else:
        replace(path, lines[:5])
    following.round()
    append(path, b"".join(lines[5:]))
    following.round()
    wanted = in_one_file(logs, lines)
    assert following.end() == wanted
    assert len(following.backend.spans) == len(wanted)


def test_a_log_restored_while_spans_of_it_are_under_way_settles_them_for_both(following: Following, logs: Path) -> None:
    lines, path = story(), logs / "a.jsonl"
    following.backend.down = True
    append(path, b"".join(lines[:9]))
    following.round(settle=False)
    replace(path, lines[:5])
    following.round(settle=False)
    append(path, b"".join(lines[5:]))
    following.round(settle=False)
    following.backend.down = False
    following.settle()
    following.restart()
    following.round()
    wanted = in_one_file(logs, lines)
    assert following.end() == wanted
    assert len(following.backend.spans) == len(wanted)


def test_a_gzipped_log_that_is_still_being_written_is_read_anew_and_sent_once(following: Following, logs: Path) -> None:
    lines, packer = story(), zlib.compressobj(wbits=31)
    for number, line in enumerate(lines):
        append(logs / "a.jsonl.gz", packer.compress(line) + packer.flush(zlib.Z_SYNC_FLUSH))
        following.round()
        if number == 7:
            following.restart()
    append(logs / "a.jsonl.gz", packer.flush())
    following.round()
    wanted = in_one_file(logs, lines)
    assert following.end() == wanted
    assert len(following.backend.spans) == len(wanted)


@how_it_looks
def test_a_log_removed_and_begun_anew_by_a_new_run_leaves_the_old_runs_loop_as_aborted(
    look: Rounds, following: Following, logs: Path
) -> None:
    path = logs / "a.jsonl"
    append(path, b"".join(story()[:8]))
    following.round()
    path.rename(logs.parent / "kept")
    append(path, b"".join(log_lines(whole_loop(5_000, SECOND))))
    look(following, path)
    assert {loop.get(s.LOOP_ID): aborted(loop) for loop in loops(following)} == {LOOP: True, SECOND: False}
    following.end()


@how_it_looks
def test_a_log_rotated_out_of_the_folder_goes_on(look: Rounds, following: Following, logs: Path) -> None:
    lines, path = story(), logs / "a.jsonl"
    append(path, b"".join(lines[:8]))
    following.round()
    path.rename(logs.parent / "kept")
    append(path, b"".join(lines[8:]))
    look(following, path)
    following.round()
    assert following.end() == in_one_file(logs, lines)


def test_an_agent_restarted_after_its_log_was_rotated_leaves_its_loop_as_aborted(
    following: Following, logs: Path
) -> None:
    append(logs / "a.jsonl", b"".join(story()[:8]))
    following.round()
    (logs / "a.jsonl").rename(logs / "a.jsonl.1")
    append(logs / "a.jsonl", b"".join(log_lines(whole_loop(5_000, SECOND))))  # ordinals from 1
    following.round()
    assert {loop.get(s.LOOP_ID): aborted(loop) for loop in loops(following)} == {LOOP: True, SECOND: False}
    following.end()


def test_a_branch_that_begins_right_after_its_log_was_cut_aborts_nothing(following: Following, logs: Path) -> None:
    events = [start(0), *whole_turn(10), *whole_loop(50, SECOND), *whole_turn(200, 1), *whole_loop(0)[-1:]]
    lines, path = log_lines(events), logs / "a.jsonl"
    append(path, b"".join(lines[:5]))
    following.round()
    path.write_bytes(b"")
    following.round()
    append(path, b"".join(lines[5:]))  # an AgentStart first, and ordinals that go on
    following.round()
    assert following.end() == in_one_file(logs, lines)


@pytest.mark.parametrize("name", ["a.jsonl.1", "a.jsonl-20260701", "a.jsonl.1.gz"])
def test_logs_that_were_rotated_before_anybody_watched_are_one_stream(
    name: str, following: Following, logs: Path
) -> None:
    lines = story()
    earlier = b"".join(lines[:6])
    (logs / name).write_bytes(gzip.compress(earlier) if name.endswith("gz") else earlier)
    append(logs / "a.jsonl", b"".join(lines[6:9]))
    following.round()
    following.restart()
    append(logs / "a.jsonl", b"".join(lines[9:]))
    following.round()
    assert following.end() == in_one_file(logs, lines)


def test_three_files_of_one_log_are_read_in_the_order_in_which_they_were_written(
    following: Following, logs: Path
) -> None:
    lines = story()
    for age, (name, content) in enumerate(
        (("a.jsonl", lines[9:]), ("a.jsonl.1", lines[5:9]), ("a.jsonl.2", lines[:5]))
    ):
        append(logs / name, b"".join(content))
        os.utime(logs / name, (time.time() - 100 * age,) * 2)
    following.round()
    assert following.end() == in_one_file(logs, lines)


def test_a_log_rotated_again_and_again_with_a_loop_open_keeps_only_the_files_it_needs(
    following: Following, logs: Path
) -> None:
    path = logs / "a.jsonl"
    for number in range(20):
        loop = f"{LOOP}{number}"
        append(path, b"".join(log_lines([start(number * 100, loop), *whole_turn(number * 100 + 10, 0, loop)])))
        following.round()
        path.rename(logs / f"a.jsonl.{20 - number}")
        append(path, b"".join(log_lines([*whole_loop(number * 100, loop)[-1:]], 50)))
        append(path, b"".join(log_lines([start(number * 100 + 50, f"{SECOND}{number}")], 60)))
        following.round()
        assert len(following.watch._watcher._logs.active) <= 3
    assert len(loops(following)) == 39
    following.end()


def test_of_a_copy_of_a_part_and_the_whole_log_the_whole_is_read(following: Following, logs: Path) -> None:
    lines = story()
    append(logs / "a-backup.jsonl", b"".join(lines[:6]))
    append(logs / "b.jsonl", b"".join(lines[:10]))
    following.round()
    append(logs / "b.jsonl", b"".join(lines[10:]))
    following.round()
    assert following.end() == in_one_file(logs, lines)


def test_a_link_to_the_latest_log_follows_nothing_when_it_points_to_another(following: Following, logs: Path) -> None:
    one, two, latest = logs / "run-1.jsonl", logs / "run-2.jsonl", logs / "latest"
    first = log_lines([start(0), *whole_turn(10), *whole_turn(300, 1), *whole_loop(600)[-1:]])
    second = log_lines([start(100, SECOND), *whole_turn(110, 0, SECOND), *whole_loop(700, SECOND)[-1:]])
    append(one, b"".join(first[:5]))
    latest.symlink_to(one)
    following.round()
    latest.unlink()
    append(two, b"".join(second[:3]))
    latest.symlink_to(two)
    following.round(latest, two)
    append(one, b"".join(first[5:]))
    append(two, b"".join(second[3:]))
    following.round()
    latest.unlink()
    assert following.end() == exported(logs)


def test_a_hard_link_is_the_same_log_and_so_is_what_is_left_of_two(following: Following, logs: Path) -> None:
    lines, path = story(), logs / "a.jsonl"
    append(path, b"".join(lines[:6]))
    os.link(path, logs / "b.jsonl")
    following.round()
    path.unlink()
    append(logs / "b.jsonl", b"".join(lines[6:]))
    following.round()
    wanted = in_one_file(logs, lines)
    assert following.end() == wanted
    assert len(following.backend.spans) == len(wanted)


def test_folders_that_link_to_each_other_are_read_once(following: Following, logs: Path) -> None:
    (logs / "inner").mkdir()
    (logs / "inner" / "loop").symlink_to(logs, target_is_directory=True)
    append(logs / "inner" / "a.jsonl", b"".join(story()))
    following.round()
    following.round(logs / "inner" / "loop")
    assert len(loops(following)) == 1
    assert following.watch.files == 1
    following.end()


def test_a_folder_that_is_away_for_a_moment_aborts_nothing(following: Following, logs: Path, tmp_path: Path) -> None:
    lines, path = story(), logs / "a.jsonl"
    append(path, b"".join(lines[:6]))
    following.round()
    logs.rename(tmp_path / "away")
    following.round()
    following.restart()
    following.round()
    assert loops(following) == []
    shutil.copytree(tmp_path / "away", logs)  # other inodes, as a disk mounted again may have
    append(path, b"".join(lines[6:]))
    following.round()
    assert following.end() == in_one_file(logs, lines)


def test_a_folder_moved_in_is_read_at_once(following: Following, logs: Path, tmp_path: Path) -> None:
    following.round()
    (tmp_path / "elsewhere").mkdir()
    append(tmp_path / "elsewhere" / "a.jsonl", b"".join(story()))
    (tmp_path / "elsewhere").rename(logs / "inner")
    following.round(logs / "inner")  # the operating system tells of the folder alone
    assert len(loops(following)) == 1
    following.end()


def test_a_file_that_cannot_be_read_is_named_once_and_read_when_it_can(
    following: Following, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    following.watch.folder.on_unreadable = lambda bad: said.append(str(bad))
    append(logs / "a.jsonl", b"".join(story()))
    append(logs / "b.jsonl", b"".join(log_lines(whole_loop(5_000, SECOND))))
    real: Any = Path.open

    def opened(self: Path, *arguments: str) -> object:
        if self.name == "a.jsonl":
            raise PermissionError(13, "Permission denied")
        return real(self, *arguments)

    with monkeypatch.context() as denied:
        denied.setattr(Path, "open", opened)
        following.round()
        following.round()
    assert len(loops(following)) == 1
    assert said == [f"{logs / 'a.jsonl'}: cannot be read: Permission denied; it is tried again"]
    following.round()
    assert len(loops(following)) == 2
    following.end()


def test_a_second_kill_in_a_row_does_not_make_it_send_what_the_first_watch_sent(
    following: Following, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = [event for index in range(40) for event in whole_turn(10 + 20 * index, index)]
    append(logs / "a.jsonl", b"".join(log_lines([start(0), *turns])))
    following.round()
    count = len(following.backend.spans)
    following.restart()
    with monkeypatch.context() as slow:
        slow.setattr("otel_phi.watch.watcher.added_lines", lambda *_: iter(()))
        following.round()  # killed before it has read again what the first one had
    following.restart()
    append(logs / "a.jsonl", b"".join(log_lines(whole_loop(0)[-1:], 1_000)))
    following.round()
    assert len(following.backend.spans) == count + 1
    assert following.end() == exported(logs)


def test_a_middle_part_that_is_compressed_is_not_taken_for_a_continuation(following: Following, logs: Path) -> None:
    lines, path = story(), logs / "a.jsonl"
    for number, content in enumerate((lines[:5], lines[5:9], lines[9:11])):
        append(path, b"".join(content))
        following.round()
        path.rename(logs / f"a.jsonl.{3 - number}")
        following.round()
    append(path, b"".join(lines[11:12]))
    following.round()
    middle = logs / "a.jsonl.2"
    (logs / "a.jsonl.2.gz").write_bytes(gzip.compress(middle.read_bytes()))
    middle.unlink()
    following.round()
    append(path, b"".join(lines[12:]))
    following.round()
    assert following.end() == in_one_file(logs, lines)


def test_an_announced_group_that_never_begins_is_let_go_with_its_file(following: Following, logs: Path) -> None:
    path = logs / "a.jsonl"
    append(path, b'{"type":"ParallelLoopStart","session_id":"s","loop_ids":["x"],"timestamp":"2026-07-01T00:00:00Z"}\n')
    os.utime(path, (time.time() - 90_000,) * 2)
    following.round()
    following.round()
    assert not following.watch._watcher._logs.active
    following.end()
