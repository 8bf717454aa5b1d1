"""What becomes of a file that does not just grow: one stated outcome each (docs/watch.md)."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

import otel_phi
from otel_phi.mapping import semconv as s
from otel_phi.mapping.span import Span
from tests import golden
from tests.streams import LOOP, OTHER, SESSION, end, start, turn, whole_loop, whole_turn
from tests.watch.following import Following, append, exported, log_lines

SECOND = f"{SESSION}.mock.2"


def story() -> list[bytes]:
    """Returns a loop of three turns, a line each event."""
    return log_lines([start(0), *whole_turn(10, 0), *whole_turn(200, 1), *whole_turn(400, 2), *whole_loop(0)[-1:]])


def loops(following: Following) -> list[Span]:
    return [span for span in following.backend.by_key().values() if span.get(s.OPERATION) == "invoke_agent"]


def aborted(span: Span) -> bool:
    return span.get(s.LOOP_STATUS) == "aborted"


def orphans(spans: Sequence[Span]) -> list[Span]:
    ids = {span.span_id for span in spans}
    return [span for span in spans if span.parent_span_id and span.parent_span_id not in ids]


def test_half_a_line_is_waited_for(following: Following, logs: Path) -> None:
    lines = story()
    whole, last = b"".join(lines[:-1]), lines[-1]
    append(logs / "a.jsonl", whole + last[:20])
    following.round()
    assert loops(following) == []
    append(logs / "a.jsonl", last[20:])
    following.round()
    assert [aborted(loop) for loop in loops(following)] == [False]
    following.end()


def test_a_last_line_without_a_newline_is_taken_once_it_is_whole(following: Following, logs: Path) -> None:
    append(logs / "a.jsonl", b"".join(story())[:-1])
    following.round()
    assert [aborted(loop) for loop in loops(following)] == [False]
    append(logs / "a.jsonl", b"\n")
    following.round()
    assert following.end() == exported(logs)


def test_a_log_renamed_while_its_loop_is_open_is_one_stream_with_what_follows_it(
    following: Following, logs: Path
) -> None:
    lines, path = story(), logs / "a.jsonl"
    append(path, b"".join(lines[:6]))
    following.round()
    append(path, b"".join(lines[6:8]))  # not seen before it is rotated
    path.rename(logs / "a.jsonl.1")
    append(path, b"".join(lines[8:10]))
    following.round()
    following.restart()
    append(path, b"".join(lines[10:]))
    following.round()
    whole = logs.parent / "whole.jsonl"
    whole.write_bytes(b"".join(lines))
    assert following.end() == exported(whole)


def test_a_log_that_is_rotated_and_compressed_is_not_sent_again(following: Following, logs: Path) -> None:
    path = logs / "a.jsonl"
    append(path, b"".join(story()))
    following.round()
    count = len(following.backend.spans)
    (logs / "a.jsonl.1.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    following.round()
    following.restart()
    following.round()
    assert len(following.backend.spans) == count
    following.end()


def test_a_log_compressed_while_nobody_watched_is_read_to_its_end(following: Following, logs: Path) -> None:
    path, lines = logs / "a.jsonl", story()
    append(path, b"".join(lines[:7]))
    following.round()
    following.kill()
    append(path, b"".join(lines[7:]))
    (logs / "a.jsonl.1.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    following.watch = following._made()
    following.round()
    assert following.end() == exported(logs)


def test_a_log_cut_by_a_new_run_leaves_the_old_runs_loop_as_aborted(following: Following, logs: Path) -> None:
    path, lines = logs / "run.jsonl", story()
    append(path, b"".join(lines[:8]))
    following.round()
    path.write_bytes(b"".join(log_lines(whole_loop(5_000, SECOND))))
    following.round()
    found = {str(loop.get(s.LOOP_ID)): aborted(loop) for loop in loops(following)}
    assert found == {LOOP: True, SECOND: False}
    assert orphans(following.backend.spans) == []
    following.end()


def test_a_log_copied_and_truncated_goes_on_with_its_loop(following: Following, logs: Path) -> None:
    path, lines = logs / "a.jsonl", story()
    append(path, b"".join(lines[:8]))
    following.round()
    shutil.copy(path, logs.parent / "elsewhere.jsonl")
    os.truncate(path, 0)
    following.round()
    append(path, b"".join(lines[8:]))
    following.round()
    whole = logs.parent / "whole.jsonl"
    whole.write_bytes(b"".join(lines))
    assert following.end() == exported(whole)


@pytest.mark.parametrize("restarted", [False, True], ids=["while it watched", "while nobody did"])
def test_a_removed_log_leaves_its_open_loop_as_aborted(restarted: bool, following: Following, logs: Path) -> None:
    path = logs / "a.jsonl"
    append(path, b"".join(story()[:8]))
    following.round()
    if restarted:
        following.kill()
    path.unlink()
    if restarted:
        following.watch = following._made()
    following.round()
    assert [aborted(loop) for loop in loops(following)] == [True]
    assert orphans(following.backend.spans) == []
    (loop,) = loops(following)
    assert loop.get(s.ERROR_TYPE) == ("process_lost" if restarted else "aborted")
    following.restart()
    following.round()
    following.end()  # sent again, if at all, byte for byte


def test_a_restarted_agent_in_the_same_log_is_a_new_loop_and_the_old_one_leaves_at_once(
    following: Following, logs: Path
) -> None:
    path = logs / "a.jsonl"
    append(path, b"".join(log_lines([start(0), *whole_turn(10, 0), turn(300, 1)])))
    following.round()
    append(path, b"".join(log_lines([start(9_000), *whole_turn(9_010, 0)])))  # the same loop id, ordinals from 1
    following.round()
    found = loops(following)
    assert [aborted(loop) for loop in found] == [True]
    append(path, b"".join(log_lines(whole_loop(9_000)[-1:], 20)))
    following.round()
    assert sorted(aborted(loop) for loop in loops(following)) == [False, True]
    assert following.end() == exported(logs)


def test_ordinals_that_start_again_abort_what_was_open_though_no_loop_repeats(following: Following, logs: Path) -> None:
    path = logs / "a.jsonl"
    append(path, b"".join(log_lines([start(0), *whole_turn(10, 0)])))
    following.round()
    append(path, b"".join(log_lines([start(9_000, SECOND)])))
    following.round()
    assert [(loop.get(s.LOOP_ID), aborted(loop)) for loop in loops(following)] == [(LOOP, True)]
    following.end()


def test_a_loop_of_a_file_silent_for_long_is_abandoned(following: Following, logs: Path) -> None:
    path = logs / "a.jsonl"
    append(path, b"".join(story()[:8]))
    os.utime(path, (time.time() - 90_000,) * 2)
    following.round()
    assert [aborted(loop) for loop in loops(following)] == [True]
    following.end()


def test_a_saved_session_beside_its_event_log_is_one_session(following: Following, logs: Path, tmp_path: Path) -> None:
    port = otel_phi.SessionRecorder()
    for event in golden.demo():
        port.on_event(event)
    port.flush()
    for session in port.drain_completed():
        otel_phi.save_session(session, logs / "sessions")
    for path in golden.DEMO_LOGS.glob("*.jsonl"):
        shutil.copy(path, logs)
    following.round()
    assert following.end() == exported(golden.DEMO_LOGS)


@golden.needed
def test_saved_sessions_alone_give_what_export_gives_and_nothing_twice_when_written_again(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    source = next(iter(sorted((golden.FOLDER / "eventlog").glob("*.sessions.json"))))
    for session in json.loads(source.read_text()):
        (logs / f"{session['session_id']}.json").write_text(json.dumps(session))
    following = Following(logs, tmp_path / "state")
    following.with_(abandon_after_s=0.0).round()
    count = len(following.backend.spans)
    for path in logs.iterdir():
        path.write_bytes(path.read_bytes() + b"\n")
    following.round()
    following.restart()
    following.round()
    assert len(following.backend.spans) == count
    assert following.end() == exported(logs, final=True)


def test_what_is_no_log_is_left_alone_until_it_is_one(following: Following, logs: Path) -> None:
    (logs / "notes.txt").write_text("hello\n")
    os.mkfifo(logs / "pipe")
    following.round()
    assert following.backend.spans == []
    (logs / "notes.txt").write_bytes(b"".join(story()))
    following.round()
    assert len(loops(following)) == 1
    following.end()


def test_two_sessions_that_use_one_loop_id_at_once_do_not_disturb_each_other(following: Following, logs: Path) -> None:
    append(logs / "a.jsonl", b"".join(log_lines([start(0, "loop"), *whole_turn(10, 0, "loop")])))
    append(logs / "b.jsonl", b"".join(log_lines([start(5, "loop", session=OTHER), *whole_turn(15, 0, "loop")])))
    following.round()
    assert loops(following) == []
    for name in ("a", "b"):
        append(logs / f"{name}.jsonl", b"".join(log_lines([end(900, "loop")], 20)))
    following.round()
    assert [aborted(loop) for loop in loops(following)] == [False, False]
    following.end()
