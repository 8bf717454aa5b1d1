"""The watch's own state: full disks, damage, two watches at once, odd names and times, and nothing of content in it."""

from __future__ import annotations

import itertools
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec
import pytest

import otel_phi
from otel_phi.events import AgentEvent, ConfigSnapshot, ParallelLoopEnd, ParallelLoopStart, Usage, encode_event
from otel_phi.watch.cursors import Cursors
from otel_phi.watch.watch import Watch
from tests.streams import (
    LOOP,
    OTHER,
    SESSION,
    answer,
    at,
    end,
    request,
    start,
    text,
    tool,
    tool_end,
    turn,
    turn_end,
    user,
    whole_loop,
    whole_turn,
)
from tests.watch.following import Backend, Following, append, exported, log_lines
from tests.watch.test_outcomes import loops, story


def database(tmp_path: Path) -> Path:
    (found,) = (tmp_path / "state" / "watch").glob("*.sqlite3")
    return found


# --- faults ----------------------------------------------------------------------------------------------------------


def test_a_damaged_state_file_is_set_aside_and_named_and_the_watch_begins_anew(
    following: Following, logs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    append(logs / "a.jsonl", b"".join(story()))
    following.round()
    following.kill()
    path = database(tmp_path)
    path.write_bytes(b"garbage" * 1_000)
    with caplog.at_level(logging.WARNING, "otel_phi"):
        following.watch = following._made()
    assert f"set aside as {path.name}.set-aside" in caplog.text
    assert path.with_name(path.name + ".set-aside").read_bytes().startswith(b"garbage")
    following.round()
    count = len(following.backend.spans)
    following.restart()
    following.round()
    assert len(following.backend.spans) == count  # what was sent since is remembered
    following.end()


def test_a_state_file_damaged_while_it_watches_is_set_aside_too(
    following: Following, logs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = story()
    append(logs / "a.jsonl", b"".join(lines[:6]))
    following.round()
    store = following.watch.cursors._store
    store._connection.close()
    database(tmp_path).write_bytes(b"garbage" * 1_000)
    store._connection = sqlite3.connect(database(tmp_path), isolation_level=None)  # nothing of it is in its cache
    append(logs / "a.jsonl", b"".join(lines[6:]))
    append(logs / "b.jsonl", b"".join(log_lines(whole_loop(5_000, "other", session=OTHER))))
    following.round()
    assert "set aside" in caplog.text
    assert following.end() == exported(logs)
    count = len(following.backend.spans)
    following.watch = following._made()
    following.round()
    assert len(following.backend.spans) == count
    following.end()


def full_disk(connection: sqlite3.Connection) -> None:
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count={pages}")


def read_only(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA query_only=1")


def busy(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA busy_timeout=0")
    other = sqlite3.connect(connection.execute("PRAGMA database_list").fetchone()[2], isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    _open.append(other)


_open: list[sqlite3.Connection] = []


@pytest.mark.parametrize("fault", [full_disk, read_only, busy])
def test_a_state_file_that_takes_no_more_costs_memory_alone(
    fault: Callable[[sqlite3.Connection], None],
    following: Following,
    logs: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    lines = story()
    append(logs / "a.jsonl", b"".join(lines[:6]))
    following.round()
    fault(following.watch.cursors._store._connection)
    for number in range(200):
        agent = whole_loop(5_000 + number, f"{OTHER}.x.{number}", session=OTHER)
        append(logs / f"b{number}.jsonl", b"".join(log_lines(agent)))
    append(logs / "a.jsonl", b"".join(lines[6:]))
    following.round()
    assert len(caplog.records) == 1
    assert "a restarted watch will send again what leaves from now on" in caplog.text
    wanted = exported(logs)
    assert following.backend.by_key() == wanted
    assert len(following.backend.spans) == len(wanted)
    while _open:
        _open.pop().close()
    following.restart()
    following.round()
    assert following.end() == wanted  # sent again, byte for byte


def test_a_state_folder_that_cannot_be_is_said_once(
    logs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state").write_text("a file")
    append(logs / "a.jsonl", b"".join(story()))
    following = Following(logs, tmp_path / "state")
    following.round()
    assert [record.name for record in caplog.records] == ["otel_phi"]
    assert "a restarted watch will begin anew" in caplog.text
    assert following.end() == exported(logs)


def test_two_watches_of_one_destination_share_the_state_file(tmp_path: Path) -> None:
    backend, config = Backend(), otel_phi.resolve(service_name="tests", state_dir=tmp_path / "state")
    folders = [tmp_path / "one", tmp_path / "two"]
    watches = []
    for folder in folders:
        folder.mkdir()
        watches.append(Watch(config, [folder], exporter=backend))
    for count in (6, 14):
        for number, (folder, watch) in enumerate(zip(folders, watches, strict=True)):
            loop = log_lines(
                [start(0, f"loop{number}"), *whole_turn(10, 0, f"loop{number}"), end(900, f"loop{number}")]
            )
            (folder / "a.jsonl").write_bytes(b"".join(loop[:count]))
            watch._watcher.round()
    for watch in watches:
        watch.close()
    assert backend.by_key() == exported(*folders)
    assert len(list((tmp_path / "state" / "watch").glob("*.sqlite3"))) == 1


def test_what_is_printed_is_not_taken_as_sent(logs: Path, tmp_path: Path) -> None:
    append(logs / "a.jsonl", b"".join(story()))
    printed, sent = Backend(), Backend()
    for backend, file in ((printed, "-"), (sent, None)):
        config = otel_phi.resolve(service_name="tests", state_dir=tmp_path / "state", file=file)
        with Watch(config, [logs], once=True, exporter=backend) as watch:
            watch.run()
    assert printed.by_key() == sent.by_key() == exported(logs)


def test_it_stops_in_the_middle_of_a_long_file_and_the_next_watch_goes_on(logs: Path, tmp_path: Path) -> None:
    turns = [event for index in range(8_000) for event in whole_turn(10 + 20 * index, index)]
    append(logs / "a.jsonl", b"".join(log_lines([start(0), *turns, end(999_999)])))
    backend, config = Backend(), otel_phi.resolve(service_name="tests", state_dir=tmp_path / "state")
    wanted = exported(logs)
    for enough in (2, 5, 9, 14):
        asked = itertools.count()
        with Watch(config, [logs], exporter=backend, stopping=partial(_beyond, asked, enough)) as watch:
            watch.run()
        assert len(backend.spans) < len(wanted)
    with Watch(config, [logs], exporter=backend, once=True) as watch:
        watch.run()
    assert backend.by_key() == wanted
    assert len(backend.spans) == len(wanted)


def _beyond(asked: Iterator[int], enough: int) -> bool:
    return next(asked) >= enough


# --- what it holds ---------------------------------------------------------------------------------------------------


def test_a_name_that_is_no_text_is_a_name(following: Following, logs: Path) -> None:
    path = Path(os.fsdecode(bytes(logs) + b"/\xff.jsonl"))
    append(path, b"".join(story()[:6]))
    append(logs / "b.jsonl", b"".join(log_lines(whole_loop(5_000, "other", session=OTHER))))
    following.round()
    following.restart()
    append(path, b"".join(story()[6:]))
    following.round()
    assert following.end() == exported(logs)


@pytest.mark.parametrize("year", [b"9999", b"2300", b"0001"])
def test_times_beyond_what_sqlite_counts_cost_nothing(year: bytes, following: Following, logs: Path) -> None:
    lines = [line.replace(b'"timestamp":"2026', b'"timestamp":"' + year) for line in story()]
    append(logs / "a.jsonl", b"".join(lines[:6]))
    append(logs / "b.jsonl", b"".join(log_lines(whole_loop(5_000, "other", session=OTHER))))
    following.round()
    following.restart()
    append(logs / "a.jsonl", b"".join(lines[6:]))
    following.round()
    assert following.end().keys() == exported(logs).keys()


def test_nothing_of_content_is_in_the_state_or_in_what_it_says(
    logs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "hunter2-swordfish"
    config = ConfigSnapshot(
        model="mock", provider="mock", base_url=f"https://me:{secret}@host.example:8443/v1?key={secret}"
    )
    events: list[AgentEvent] = [
        start(0, metadata=msgspec.Raw(msgspec.json.encode({"note": secret})), config_snapshot=config),
        turn(10),
        user(secret),
        request(11, system_prompt=secret),
        tool("c1"),
        tool_end("c1", error=secret),
        turn_end(20, message=answer(0, 0, content=text(secret), error_message=secret)),
        turn(30, 1),
    ]
    following = Following(logs, tmp_path / "state")
    append(logs / "a.jsonl", b"".join([*log_lines(events), b'{"ordinal":9,"event":{"broken":"%s"\n' % secret.encode()]))
    with caplog.at_level(logging.DEBUG):
        following.round()
        following.kill()
        (logs / "a.jsonl").unlink()
        following.watch = following._made()
        following.round()
    assert len(loops(following)) == 1  # its loop was told from what the state knew
    held = [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
    assert any(LOOP.encode() in path.read_bytes() for path in held)
    assert [path for path in held if secret.encode() in path.read_bytes()] == []
    assert secret not in caplog.text
    following.end()


def test_nothing_is_remembered_for_ever(logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cursors, now = Cursors(tmp_path / "state", "name"), [1_800_000_000.0]
    monkeypatch.setattr("otel_phi.watch.cursors.wall_ns", lambda: int(now[0] * 1e9))
    monkeypatch.setattr("otel_phi.watch.cursors.monotonic", lambda: now[0])
    following = Following(logs, tmp_path / "state")
    following.with_(sample=0.0)
    append(logs / "a.jsonl", b"".join(story()))
    append(logs / "b.jsonl", b"".join(log_lines(whole_loop(5_000, "other", session=OTHER))))
    following.round()
    following.with_(sample=1.0)
    append(logs / "c.jsonl", b"".join(log_lines(whole_loop(9_000, "third", session=OTHER))))
    following.round()
    for name in ("a.jsonl", "b.jsonl", "c.jsonl"):
        (logs / name).unlink()
    following.round()
    now[0] += 31 * 86_400
    following.round()  # a watch that runs for months sweeps too
    rows = {
        table: following.watch.cursors._store.rows(f"SELECT count(*) FROM {table}")[0][0]
        for table in ("file", "loop", "session", "sent")
    }
    assert rows == {"file": 0, "loop": 0, "session": 0, "sent": 0}
    following.end()
    cursors.close()


def test_a_session_that_lives_on_keeps_its_root(following: Following, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_800_000_000.0]
    monkeypatch.setattr("otel_phi.watch.cursors.wall_ns", lambda: int(now[0] * 1e9))
    monkeypatch.setattr("otel_phi.watch.cursors.monotonic", lambda: now[0])
    cursors = following.watch.cursors
    for day in range(0, 60, 20):
        now[0] = 1_800_000_000.0 + day * 86_400
        with cursors.transaction():
            cursors.see_session(SESSION, SESSION, "agent", 1_000 + day)
        cursors.root(SESSION, 2 if day == 0 else 0)
        cursors.sweep()
    assert cursors.session(SESSION) == (SESSION, "agent", 1_000, 2)
    following.end()


# --- parallel groups -------------------------------------------------------------------------------------------------


def channel() -> list[bytes]:
    """Returns an agent's channel: a group of two branches, beside a loop of another session that is open all the while."""
    fast, smart = f"{SESSION}.fast.1", f"{SESSION}.smart.2"
    events: list[AgentEvent] = [
        start(0, "other", session=OTHER),
        *whole_turn(1, 0, "other"),
        ParallelLoopStart(session_id=SESSION, loop_ids=(fast, smart), timestamp=at(10)),
        start(11, fast),
        start(12, smart),
        *whole_turn(20, 0, fast),
        end(31, fast),
        *whole_turn(40, 0, smart),
        end(51, smart),
        ParallelLoopEnd(
            session_id=SESSION,
            selected_loop_id=smart,
            selected_config_index=1,
            evaluation_usage=Usage(1, 1),
            timestamp=at(60),
        ),
        *whole_turn(70, 1, "other"),
        end(90, "other"),
    ]
    return [encode_event(event) + b"\n" for event in events]


@pytest.mark.parametrize("cut", range(1, len(channel())))
def test_a_group_is_whole_wherever_the_watch_was_killed_and_no_span_is_sent_twice(
    cut: int, following: Following, logs: Path
) -> None:
    append(logs / "run.jsonl", b"".join(channel()[:cut]))
    following.round()
    following.restart()
    following.round()
    append(logs / "run.jsonl", b"".join(channel()[cut:]))
    following.round()
    wanted = exported(logs)
    assert following.end() == wanted
    assert len(following.backend.spans) == len(wanted)
