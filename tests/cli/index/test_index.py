"""With the index `ls` says what it says without: whatever happens to the files, the index, the clock's zone; and far sooner."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import sqlite3
import stat
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_phi.cli.index import store as index_store
from otel_phi.cli.index.reading import Sessions
from otel_phi.cli.index.store import KEPT_DAYS, Store
from otel_phi.cli.listing.objects import session_object, sum_object
from otel_phi.cli.listing.sums import GROUPINGS, sums
from otel_phi.cli.listing.tally import Tallies, day_of
from otel_phi.cli.report.complaints import Complaints
from otel_phi.clock import wall_ns
from otel_phi.mapping.options import options_for
from otel_phi.mapping.price_table import NO_PRICES, Price, PriceSource, PriceTable
from otel_phi.pipeline import spans
from otel_phi.recorder.references import ahead_of
from otel_phi.session.recorder import SessionRecorder
from otel_phi.sources.found import NothingHere
from otel_phi.sources.stored import Stored
from tests import golden
from tests.cli.conftest import Run
from tests.cli.streams import a_session, lines_of
from tests.sources.agents import samples
from tests.sources.agents.samples import written
from tests.sources.agents.test_claude_code import prompt, result, spoke, use

OPTIONS = options_for(source_info=True)
LATER_NS = 3_600 * 1_000_000_000  # as if files had been written an hour ago: nobody waits for two seconds


def said(*paths: Path, cache: Path | None, options: Any = OPTIONS) -> tuple[Any, list[Path]]:
    """Returns all that `ls` can say of some paths, and the files it read for that."""
    complaints = Complaints()
    try:
        sessions = Sessions(paths, options, complaints, folder=cache, now_ns=wall_ns() + LATER_NS)
    except NothingHere as error:
        return str(error), []
    tallies = sessions.tallies()
    by = {name: [sum_object(total, name) for total in sums(tallies, name)] for name in GROUPINGS}
    told = ([session_object(tally) for tally in tallies], by, complaints.count, complaints.files)
    return json.loads(json.dumps(told)), sessions.read_files


def as_without(*paths: Path, cache: Path, options: Any = OPTIONS) -> list[Path]:
    """Holds that the index changes nothing; returns the files that were read for all that."""
    found, read = said(*paths, cache=cache, options=options)
    assert found == said(*paths, cache=None, options=options)[0]
    return read


def saved_session(name: str) -> bytes:
    recorder = SessionRecorder()
    for event in a_session(session_id=name, turns=2):
        recorder.on_event(json.dumps(event).encode())
    recorder.flush()
    (session,) = recorder.drain_completed()
    return json.dumps(session.to_dict()).encode()


def claude(session: str, *, copied: bool = False, turns: int = 2) -> bytes:
    """Returns a session of Claude Code, with a copy of another one's history in front if asked."""
    records: list[dict[str, Any]] = []
    if copied:
        records += [prompt(0, "p", sessionId=session), spoke(1, "msg_1", sessionId=session, uuid="a1")]
    else:
        records += [prompt(0, f"p-{session}", sessionId=session)]
    for turn in range(turns):
        call = f"{session}-{turn}"
        records += [
            prompt(10 * turn + 300, f"q-{call}", sessionId=session),
            spoke(10 * turn + 301, f"m-{call}", use(f"t-{call}"), sessionId=session, uuid=f"u-{call}"),
            {**result(10 * turn + 302, f"t-{call}"), "sessionId": session},
        ]
    return written(*records)


CONTENTS: list[Callable[[int], bytes]] = [
    lambda seed: lines_of(
        a_session(session_id=f"s{seed % 3}", turns=1 + seed % 4, failing=(0,) if seed % 5 == 0 else ())
    ),
    lambda seed: lines_of(a_session(session_id=f"s{seed % 3}", turns=2, ended=False, first_s=86_400.0 * (seed % 4))),
    lambda seed: gzip.compress(lines_of(a_session(session_id=f"z{seed % 2}", model=f"m-{seed % 3}")), mtime=0),
    lambda seed: saved_session(f"s{seed % 3}"),
    lambda seed: claude("00000000-0000-4000-8000-00000000000a", copied=True, turns=1 + seed % 2),
    lambda seed: claude("00000000-0000-4000-8000-00000000000b", copied=True, turns=seed % 3),
    lambda seed: claude("00000000-0000-4000-8000-00000000000c", turns=1 + seed % 2),
    lambda _: b"words\n",
    lambda _: b"",
    lambda seed: lines_of(a_session(session_id=f"s{seed % 3}"))[:-40] + b"\n{bad line\n",
]
NAMES = ["a.jsonl", "b.jsonl", "c.json", "in/d.jsonl", "in/e.events.jsonl"]
_content = st.tuples(st.sampled_from(range(len(CONTENTS))), st.integers(0, 11))
_step = st.one_of(
    st.tuples(st.just("write"), st.sampled_from(NAMES), _content),
    st.tuples(st.just("replace"), st.sampled_from(NAMES), _content),
    st.tuples(st.just("grow"), st.sampled_from(NAMES), _content),
    st.tuples(
        st.sampled_from(["same size", "same size and time", "touch", "delete", "cut"]),
        st.sampled_from(NAMES),
        st.none(),
    ),
    st.tuples(st.just("rename"), st.sampled_from(NAMES), st.sampled_from(NAMES)),
)


def _happen(folder: Path, step: tuple[str, str, Any]) -> None:
    what, name, more = step
    path = folder / name
    if what in {"write", "replace"}:
        kind, seed = more
        target = path if what == "write" else path.with_name("new")
        target.write_bytes(CONTENTS[kind](seed))
        target.replace(path)
    elif path.exists():
        _change(path, what, more, folder)


def _change(path: Path, what: str, more: Any, folder: Path) -> None:
    content, times = path.read_bytes(), path.stat()
    if what == "grow":
        path.write_bytes(content + CONTENTS[more[0]](more[1]))
    elif what in {"same size", "same size and time"}:
        path.write_bytes(
            content.replace(b'"input": 100', b'"input": 777').replace(b'"output_tokens":5', b'"output_tokens":6')
        )
        if what == "same size and time":
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    elif what == "touch":
        path.touch()
    elif what == "delete":
        path.unlink()
    elif what == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif what == "rename":
        path.replace(folder / more)


@settings(
    max_examples=5_000 if os.environ.get("OTEL_PHI_SOAK") else 50,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(st.lists(st.lists(_step, min_size=1, max_size=4), min_size=1, max_size=5))
def test_whatever_happens_to_the_files_the_index_changes_nothing(rounds: list[list[tuple[str, str, Any]]]) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder, cache = Path(place, "logs"), Path(place, "cache")
        (folder / "in").mkdir(parents=True)
        for steps in rounds:
            for step in steps:
                _happen(folder, step)
            as_without(folder, cache=cache)
        alone = [path for name in NAMES if (path := folder / name).exists()]
        if alone:
            as_without(alone[0], cache=cache)
            as_without(*alone, cache=cache)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Returns a folder with a file of each kind."""
    place = tmp_path / "logs"
    place.mkdir()
    (place / "demo.jsonl").write_bytes(golden.DEMO.read_bytes())
    for number, content in enumerate(CONTENTS[:7]):
        (place / f"{number}.jsonl").write_bytes(content(number))
    return place


def test_what_was_read_is_not_read_again(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert len(as_without(folder, cache=cache)) == 8
    assert as_without(folder, cache=cache) == []
    changed = folder / "demo.jsonl"
    with changed.open("ab") as stream:
        stream.write(lines_of(a_session(session_id="new")))
    assert as_without(folder, cache=cache) == [changed]
    assert as_without(folder, cache=cache) == []


def test_a_copy_s_row_holds_while_its_claims_are_answered_as_they_were(tmp_path: Path) -> None:
    folder, cache = tmp_path / "logs", tmp_path / "cache"
    folder.mkdir()
    one, other = folder / "a.jsonl", folder / "b.jsonl"
    one.write_bytes(CONTENTS[4](0))
    other.write_bytes(CONTENTS[5](1))
    assert as_without(folder, cache=cache) == [one, other]
    assert as_without(folder, cache=cache) == []
    one.unlink()
    assert as_without(folder, cache=cache) == [other]  # what it had copied is its own now


def test_a_file_written_just_now_is_not_trusted(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for _ in range(2):
        sessions = Sessions([folder], OPTIONS, Complaints(), folder=cache)
        sessions.tallies()
        assert len(sessions.read_files) == 8


def test_another_zone_has_other_days(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, zones = tmp_path / "cache", []
    try:
        for zone in ("UTC", "Asia/Tokyo", "America/Los_Angeles", "UTC"):
            monkeypatch.setenv("TZ", zone)
            time.tzset()
            day_of.cache_clear()
            as_without(folder, cache=cache)
            zones.append(said(folder, cache=cache)[0])
    finally:
        monkeypatch.undo()
        time.tzset()
        day_of.cache_clear()
    assert zones[0] == zones[3] != zones[2]


def test_other_options_have_other_rows(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    as_without(folder, cache=cache)
    as_without(folder, cache=cache, options=options_for(trace_scope="loop", source_info=True))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5_000])


def _garbage(path: Path) -> None:
    path.write_bytes(b"\xff" * 9_999)


def _zeros(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4_096:] = bytes(len(content) - 4_096)
    path.write_bytes(bytes(content))


def _foreign(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE row (key BLOB, value BLOB, day INTEGER)")
    connection.close()


def _newer(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()


def _lies(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE row SET value = (SELECT value FROM row AS other ORDER BY other.key LIMIT 1)")
    connection.close()


def _flipped(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        for key, value in connection.execute("SELECT key, value FROM row").fetchall():
            connection.execute("UPDATE row SET value = ? WHERE key = ?", (value[:-1] + bytes([value[-1] ^ 1]), key))
    connection.close()


@pytest.mark.parametrize(
    "damage", [_cut, _garbage, _zeros, _foreign, _newer, _lies, _flipped], ids=lambda one: one.__name__
)
def test_an_index_that_is_damaged_or_somebody_else_s_is_thrown_away_and_made_anew(
    damage: Callable[[Path], None], folder: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    as_without(folder, cache=cache)
    damage(cache / "sessions.index")
    as_without(folder, cache=cache)
    as_without(folder, cache=cache)
    assert as_without(folder, cache=cache) == []


@pytest.mark.parametrize("where", ["a file", "a link", "no folder"])
def test_where_no_index_can_be_files_are_read(where: str, folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    if where == "a file":
        cache.write_bytes(b"")
    elif where == "a link":
        cache.mkdir()
        (cache / "sessions.index").symlink_to(tmp_path / "elsewhere")
    found, read = said(folder, cache=cache if where != "no folder" else None)
    assert (found, len(read)) == (said(folder, cache=None)[0], 8)
    assert not (tmp_path / "elsewhere").exists()


def test_the_index_is_for_this_user_alone_and_holds_no_content(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    events = a_session(session_id="private")
    events[2]["message"]["content"].append({"type": "text", "text": "SECRET answer"})
    events[3]["args"] = {"command": "SECRET command"}
    events[4]["result"]["content"][0]["text"] = "SECRET result"
    (folder / "private.jsonl").write_bytes(lines_of(events) + b'{"SECRET": bad line\n')
    (folder / "claude.jsonl").write_bytes(
        claude("00000000-0000-4000-8000-00000000000d").replace(b"do it", b"SECRET prompt")
    )
    as_without(folder, cache=cache)
    (index,) = cache.iterdir()
    assert stat.S_IMODE(index.stat().st_mode) == 0o600
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert b"private" in index.read_bytes()
    assert b"SECRET" not in index.read_bytes()


def test_what_nobody_asked_for_in_a_month_is_deleted_and_what_is_of_use_stays(tmp_path: Path) -> None:
    with Store(tmp_path, today=100) as store:
        store.put(b"used", b"1")
        store.put(b"unused", b"2")
    with Store(tmp_path, today=100 + KEPT_DAYS) as store:
        assert store.get(b"used") == b"1"
    with Store(tmp_path, today=101 + KEPT_DAYS) as store:
        store.put(b"new", b"3")
    with Store(tmp_path, today=101 + KEPT_DAYS) as store:
        assert [store.get(key) for key in (b"used", b"unused", b"new")] == [b"1", None, b"3"]


def test_an_index_over_its_bound_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_store, "MAX_BYTES", 50_000)
    for number in range(100):
        with Store(tmp_path) as store:
            store.put(b"%d" % number, os.urandom(2_000))
        assert (tmp_path / "sessions.index").stat().st_size < 60_000


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as written an hour ago."""
    monkeypatch.setattr("otel_phi.cli.index.reading.wall_ns", lambda: wall_ns() + LATER_NS)


@pytest.mark.usefixtures("settled")
def test_the_command_keeps_an_index_unless_it_is_told_not_to(folder: Path, tmp_path: Path, run: Run) -> None:
    (folder / "bad.jsonl").write_bytes(lines_of(a_session(session_id="bad")) + b"{bad\n" * 9)
    without = run("ls", folder, "--no-cache")
    assert not (tmp_path / "cache").exists()
    first, second = run("ls", folder), run("ls", folder)
    assert (tmp_path / "cache" / "sessions.index").exists()
    assert without.stdout == first.stdout == second.stdout
    assert without.stderr == first.stderr == second.stderr
    assert "4 more lines could not be read" in second.stderr
    shutil.rmtree(tmp_path / "cache")
    assert run("ls", folder).stdout == without.stdout


def _one_stream(*paths: Path) -> list[Any]:
    stored = Stored(paths, final=True)
    found = Tallies()
    found.add_all(spans(stored.events(), OPTIONS, ahead=ahead_of(stored.starts)))
    return sorted(
        (json.loads(json.dumps(session_object(tally))) for tally in found.all()), key=lambda one: str(one["session_id"])
    )


@golden.needed
@pytest.mark.parametrize(
    "place", ["eventlog", "conformance", "agents", *(["pi"] if (golden.FOLDER / "pi").is_dir() else [])]
)
def test_parts_read_apart_say_what_one_stream_of_all_says(place: str) -> None:
    folder = samples.FOLDER if place == "agents" else golden.FOLDER / place
    parts = Sessions([folder], OPTIONS, Complaints()).tallies()
    found = sorted(
        (json.loads(json.dumps(session_object(tally))) for tally in parts), key=lambda one: str(one["session_id"])
    )
    assert found == _one_stream(folder)


def test_parts_of_a_folder_of_all_kinds_say_what_one_stream_says(folder: Path) -> None:
    parts = Sessions([folder], OPTIONS, Complaints()).tallies()
    found = sorted(
        (json.loads(json.dumps(session_object(tally))) for tally in parts), key=lambda one: str(one["session_id"])
    )
    assert found == _one_stream(folder)


def test_prices_are_those_of_now_whatever_was_asked_before(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    sources = [
        NO_PRICES,
        PriceSource(PriceTable((Price(model="m-1", input=Decimal(1), output=Decimal(2)),))),
        PriceSource(PriceTable((Price(model="m-1", input=Decimal(3), output=Decimal(2)),))),
        NO_PRICES,
    ]
    told = []
    for source in sources * 2:
        found = []
        for where in (cache, None):
            sessions = Sessions(
                [folder], OPTIONS, Complaints(), folder=where, now_ns=wall_ns() + LATER_NS, prices=source
            )
            tallies = [session_object(tally) for tally in sessions.tallies()]
            found.append((tallies, list(sessions.notes)))
        assert found[0] == found[1]
        told.append(found[0])
    assert told[0] == told[3] == told[4] != told[1] != told[2]
    assert any(one["cost_usd"] for one in told[1][0])
    assert told[1][1]  # models of other sessions that the table does not know
