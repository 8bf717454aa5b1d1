"""opencode's sessions where they are kept: a database beside a living writer, exported documents, the older files."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from otel_phi.delivery.otlp.encoder import Encoder
from otel_phi.delivery.otlp.resource import Resource
from otel_phi.mapping import semconv as s
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import Span
from otel_phi.pipeline import spans
from otel_phi.recorder.references import ahead_of
from otel_phi.sources import opencode_queries
from otel_phi.sources.agent_stores import database_sessions
from otel_phi.sources.kinds import kind_of
from otel_phi.sources.opencode_database import Database
from otel_phi.sources.stored import NothingHere, Stored
from tests import golden
from tests.laws import role
from tests.sources.agents.opencode_made import (
    BASE_MS,
    CHILD,
    FORK,
    SESSION,
    TOKENS,
    Record,
    answer,
    answered,
    database,
    document,
    folder,
    insert,
    ms,
    of,
    open_database,
    ran,
    said,
    second,
    session,
    story,
    task,
    tool,
    user,
)
from tests.sources.agents.test_content import MARKER, planted
from tests.sources.agents.test_stored import identities, made, tokens


def exports(root: Path, records: list[Record]) -> Path:
    """Writes each session as a document of its own."""
    for own in (CHILD, FORK, SESSION):
        document(root / f"{own}.json", *of(records, own))
    return root


def beside(path: Path) -> dict[str, int]:
    return {file.name: file.stat().st_size for file in path.parent.iterdir()}


def under_tools(found: list[Span]) -> dict[str, object]:
    """Returns the loops, each with the call of the tool that it stands under."""
    tools = {span.span_id: span.get(s.TOOL_CALL_ID) for span in found if role(span) == "tool"}
    loops = [span for span in found if role(span) == "loop"]
    return {str(span.get(s.LOOP_ID)): tools.get(span.parent_span_id or 0) for span in loops}


# --- one session, however it is kept -----------------------------------------------------------------------------------------


def test_the_same_sessions_give_the_same_spans_however_they_are_kept(tmp_path: Path) -> None:
    records = story()
    first = identities(made(database(tmp_path / "d" / "opencode.db", *records))[0])
    assert len({(span.trace_id, span.span_id) for span in first}) == len(first)
    assert tokens(first) == {"input": 130 * 8, "output": 7 * 8, "cache_read": 800, "cache_write": 160}
    for path in (
        database(tmp_path / "r" / "opencode.db", *records, wal=False),
        exports(tmp_path / "e", records),
        folder(tmp_path / "f" / "storage", *records),
        folder(tmp_path / "g" / "storage", *records, oldest=True),
    ):
        assert identities(made(path)[0]) == first, path
    found, stored = made(tmp_path)  # all of them together: each call once
    assert tokens(found) == tokens(first)
    assert stored.ignored == []


def test_a_sub_agent_stands_under_the_tool_that_ran_it(tmp_path: Path) -> None:
    found, _ = made(database(tmp_path / "opencode.db", *story()))
    assert {loop: call for loop, call in under_tools(found).items() if call} == {f"{CHILD}.msg_cu": "c2"}
    assert {span.get(s.SESSION_ID) for span in found} == {SESSION, FORK}


def test_a_sub_agent_that_is_asked_again_stands_under_each_tool_that_asked(tmp_path: Path) -> None:
    more = [user("u8", 70), answer("a8", 71, 90, task("c8", 72, 89), to="u8"), answer("a9", 90, 91, to="u8")]
    again = [user("cv", 73, own=CHILD), answer("cw", 74, 80, to="cv", own=CHILD)]
    found, _ = made(database(tmp_path / "opencode.db", *story(), *more, *again))
    under = under_tools(found)
    assert under[f"{CHILD}.msg_cu"] == "c2"
    assert under[f"{CHILD}.msg_cv"] == "c8"


def test_a_sub_agents_sub_agent_is_of_the_roots_session(tmp_path: Path) -> None:
    inner = "ses_4f0000000004dddddddddddddd"
    records = [session(), user("u", 0), answer("a", 1, 20, task("c1", 2, 19)), answer("z", 20, 21)]
    records += [session(CHILD, 2, parentID=SESSION), user("v", 2, own=CHILD)]
    records += [answer("b", 3, 15, task("c2", 4, 14, inner), to="v", own=CHILD), answer("y", 15, 18, to="v", own=CHILD)]
    records += [session(inner, 4, parentID=CHILD), user("w", 4, own=inner), answer("c", 5, 13, to="w", own=inner)]
    for number, path in enumerate(
        (database(tmp_path / "d" / "opencode.db", *records), folder(tmp_path / "f", *records))
    ):
        found, _ = made(path)
        assert {span.get(s.SESSION_ID) for span in found} == {SESSION}, number
        assert under_tools(found) == {f"{SESSION}.msg_u": None, f"{CHILD}.msg_v": "c1", f"{inner}.msg_w": "c2"}


# --- the database ------------------------------------------------------------------------------------------------------------


def test_a_database_that_nobody_has_open_is_read_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = database(tmp_path / "opencode.db", *story())
    before = beside(path)
    assert kind_of(path) == "agent"
    assert made(path)[0]
    assert beside(path) == before == {"opencode.db": path.stat().st_size}


def test_a_folder_that_nobody_may_write_to_is_read(tmp_path: Path) -> None:
    path = database(tmp_path / "d" / "opencode.db", *story())
    path.parent.chmod(0o500)
    try:
        assert made(path)[0]
    finally:
        path.parent.chmod(0o700)


def test_what_a_living_opencode_has_written_is_seen_and_it_never_waits(tmp_path: Path) -> None:
    path = tmp_path / "opencode.db"
    writer = open_database(path)
    writer.execute("PRAGMA busy_timeout = 0")  # it would raise rather than wait
    insert(writer, story())
    before = beside(path)
    assert set(before) == {"opencode.db", "opencode.db-wal", "opencode.db-shm"}
    assert before["opencode.db"] < 40_000  # most of it is in the log alone
    stored = Stored([path], final=True)
    seen = 0
    for seen, _ in enumerate(stored.events(), 1):
        insert(writer, [user(f"late{seen}", 1_000 + seen)])  # between any two of our events
    assert seen > 40
    assert set(beside(path)) == set(before)
    assert writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0  # nobody holds it
    writer.close()


def test_a_writer_without_a_log_never_waits_either(tmp_path: Path) -> None:
    path = database(tmp_path / "opencode.db", *story(), wal=False)
    writer = open_database(path, wal=False)
    writer.execute("PRAGMA busy_timeout = 0")
    for number, _ in enumerate(Stored([path], final=True).events()):
        insert(writer, [user(f"late{number}", 1_000 + number)])
    writer.close()
    assert set(beside(path)) == {"opencode.db"}


def test_a_copy_of_the_folder_with_the_log_alone_is_read_without_adding_to_it(tmp_path: Path) -> None:
    writer = open_database(tmp_path / "opencode.db")
    insert(writer, story())
    copy = tmp_path / "copy" / "opencode.db"
    copy.parent.mkdir()
    for name in ("opencode.db", "opencode.db-wal"):
        shutil.copyfile(tmp_path / name, copy.parent / name)
    before = beside(copy)
    assert identities(made(copy)[0]) == identities(made(tmp_path / "opencode.db")[0])
    assert beside(copy) == before
    writer.close()


def test_a_database_that_somebody_opens_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = database(tmp_path / "opencode.db", *story())
    writers: list[sqlite3.Connection] = []
    ask = opencode_queries.batch

    def meanwhile(*given: Any, **named: Any) -> Any:
        found = ask(*given, **named)
        if not writers:
            writers.append(open_database(path))
            insert(writers[0], [answer("late", 100, 101, to="u5")])
        return found

    monkeypatch.setattr(opencode_queries, "batch", meanwhile)
    row = next(row for row in Database(path).sessions() if row.id.decode() == SESSION)
    found = [record for _, record in Database(path).records(row)]
    assert b"msg_late" in found[-1]  # the first reading of the batch was let go
    writers[0].close()


def test_a_message_is_never_half_of_two_states_and_what_comes_later_is_of_a_later_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opencode_queries, "BATCH_MESSAGES", 2)
    path = tmp_path / "opencode.db"
    writer = open_database(path)
    insert(writer, [session(), *(user(f"m{number}", number, said("old"), said("old")) for number in range(6))])
    row = Database(path).sessions()[0]
    found = []
    for number, (_, record) in enumerate(Database(path).records(row)):
        found.append(record)
        if number == 2:
            insert(writer, [user(f"m{n}", n, said("new"), said("new")) for n in range(6)])
            writer.execute("DELETE FROM message WHERE id = 'msg_m4'")
            writer.commit()
    assert [(one.count(b"old"), one.count(b"new")) for one in found[1:]] == [(2, 0), (2, 0), (0, 2), (0, 2), (0, 2)]
    writer.close()


def test_memory_is_bounded_by_a_batch_not_by_the_session(tmp_path: Path) -> None:
    import tracemalloc

    output = "x" * 100_000
    records = [answer(f"a{n:04}", n, n + 1, tool(f"c{n}", n, n + 0.5, output=output)) for n in range(400)]
    path = database(tmp_path / "opencode.db", session(), user("u", 0), *records)
    del records
    assert path.stat().st_size > 40_000_000
    stored = Stored([path], final=True)
    tracemalloc.start()
    try:
        count = sum(1 for _ in spans(stored.events(), ahead=ahead_of(stored.starts)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count > 1_200
    assert peak < 20_000_000  # two batches: one that is told, one that is read


def test_rows_that_cannot_be_read_cost_themselves(tmp_path: Path) -> None:
    path = tmp_path / "opencode.db"
    writer = open_database(path)
    insert(writer, story())
    writer.execute("UPDATE message SET data = 'no JSON' WHERE id = 'msg_a2'")
    writer.execute("UPDATE message SET data = x'ff00' WHERE id = 'msg_u5'")
    writer.execute('UPDATE part SET data = \'{"type": "tool\' WHERE data LIKE \'%"c1"%\'')
    writer.execute(
        'INSERT INTO message VALUES (\'msg_lone\', \'ses_lone\', 5, 5, \'{"role":"user","time":{"created":5}}\')'
    )
    writer.commit()
    bad: list[Any] = []
    found, stored = made(path, on_bad_line=bad.append)
    assert [(Path(one.source).name, one.reason) for one in bad] == [(f"opencode.db#{SESSION}", "not a JSON object")] * 2
    assert stored.counts["bad_parts"] == 3  # one of each session
    assert sum(role(span) == "chat" for span in found) == 9  # of the broken message the fork has a copy
    writer.close()


def test_a_version_with_other_columns_is_read(tmp_path: Path) -> None:
    path = tmp_path / "opencode.db"
    writer = sqlite3.connect(path)
    writer.executescript(
        "CREATE TABLE session (id text); CREATE TABLE message (id text, session_id text, data text);"
        "CREATE TABLE part (id text, message_id text, data text)"
    )
    writer.execute("INSERT INTO session VALUES (?)", (SESSION,))
    for record in (user("u", 0), answer("v", 1, 5)):
        writer.execute(
            "INSERT INTO message VALUES (?,?,?)", (record["info"]["id"], SESSION, json.dumps(record["info"]))
        )
    writer.commit()
    writer.close()
    assert tokens(made(path)[0])["output"] == 7


def test_a_damaged_database_is_named_and_its_neighbours_are_read(tmp_path: Path) -> None:
    path = database(tmp_path / "opencode.db", *story())
    content = path.read_bytes()
    (tmp_path / "torn.db").write_bytes(content[:1_000])
    (tmp_path / "wiped.db").write_bytes(
        content[:4_096] + bytes(len(content) - 4_096)
    )  # its tables are told, their rows are gone
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE session (id)")
    other.commit()
    other.close()
    bad: list[Any] = []
    found, stored = made(tmp_path, on_bad_line=bad.append)
    assert found
    assert [Path(one.source).name for one in bad] == ["torn.db", "wiped.db"]
    assert sorted(one.name for one in stored.ignored) == ["other.db", "torn.db", "wiped.db"]
    with pytest.raises(NothingHere, match=r"other\.db"):
        Stored([tmp_path / "other.db"])


# --- opencode 2 ----------------------------------------------------------------------------------------------------------------


def second_story(path: Path) -> Path:
    sub = ran("c2", 4, 19, "subagent", metadata={"sessionID": CHILD})
    failed = ran("c1", 3, 3.5, status="error", error={"type": "tool.execution", "message": "no such file"})
    spent = {"status": "completed", "model": {"id": "m", "providerID": "anthropic"}, "tokens": TOKENS, "cost": 0.5}
    return second(
        path,
        ("msg_s0", SESSION, "model-switched", 0, {"model": {"id": "m"}}),
        ("msg_v1", SESSION, "user", 0, {"text": "do it", "files": [{"uri": "file:///w/x", "mime": "text/plain"}]}),
        ("msg_w1", SESSION, "assistant", 0.1, answered(0.1, 2.9, 20, failed, sub)),
        ("msg_cv", CHILD, "user", 4.1, {"text": "look"}),
        ("msg_cw", CHILD, "assistant", 4.2, answered(4.2, 12, 12, agent="general")),
        ("msg_ci", CHILD, "idle", 12, {"outcome": "succeeded"}),
        ("msg_s1", SESSION, "synthetic", 20, {"text": "<system-reminder>"}),
        ("msg_k1", SESSION, "compaction", 20.1, spent),
        ("msg_k2", SESSION, "compaction", 20.2, {"status": "running"}),
        ("msg_w2", SESSION, "assistant", 21, answered(21, 24.9, 25)),
        ("msg_i1", SESSION, "idle", 25, {"outcome": "succeeded"}),
        ("msg_h1", SESSION, "shell", 26, {"command": "ls", "callID": "s", "output": "x"}),
        ("msg_v2", SESSION, "user", 30, {"text": "more"}),
        ("msg_w3", SESSION, "assistant", 30.1, answered(30.1, 31, 33, ran("c3", 31, 32))),
        ("msg_i2", SESSION, "idle", 34, {"outcome": "interrupted"}),
        ("msg_x", SESSION, "assistant", 35, {"content": "odd"}),
        sessions=[session(), session(CHILD, 4, parentID=SESSION)],
    )


def test_a_database_of_opencode_2_is_read(tmp_path: Path) -> None:
    path = second_story(tmp_path / "opencode.db")
    assert kind_of(path) == "agent"
    found, stored = made(path)
    assert tokens(found) == {"input": 130 * 5, "output": 35, "cache_read": 500, "cache_write": 100}
    assert under_tools(found) == {
        f"{SESSION}.msg_v1": None,
        f"{SESSION}.msg_v2": None,
        f"{SESSION}.msg_v2+2": None,  # an answer after the agent had stopped
        f"{SESSION}.msg_k1": None,
        f"{CHILD}.msg_cv": "c2",
    }
    loops = {str(span.get(s.LOOP_ID)): span for span in found if role(span) == "loop"}
    assert [loops[f"{SESSION}.{name}"].get(s.LOOP_STATUS) for name in ("msg_v1", "msg_v2")] == [
        "completed",
        "cancelled",
    ]
    first = next(span for span in found if role(span) == "chat" and span.start_ns == ms(0.1) * 10**6)
    assert first.end_ns == int(2.9 * 10**9) + BASE_MS * 10**6  # streamed: exact beside tools, too
    assert stored.counts["skipped:role/shell"] == 1
    assert Database(path).changed_since(0)[0] == {SESSION, CHILD}


def test_a_database_that_opencode_2_took_over_has_each_message_once(tmp_path: Path) -> None:
    path = database(tmp_path / "opencode.db", *of(story(), SESSION)[:4])
    again = ("msg_a2", SESSION, "assistant", 20, answered(20, 25, 25))
    more = [
        ("msg_v9", SESSION, "user", 60, {"text": "go on"}),
        ("msg_w9", SESSION, "assistant", 60.1, answered(60.1, 62, 62)),
    ]
    second(path, again, *more, sessions=[session(version="2.0.26")])
    found, _ = made(path)
    assert tokens(found)["output"] == 7 * 3
    assert list(under_tools(found)) == [f"{SESSION}.msg_u1", f"{SESSION}.msg_v9"]
    assert {span.resource[1][1] for span in found if span.resource} == {"2.0.26"}


# --- what is at work -----------------------------------------------------------------------------------------------------------


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def test_a_loop_at_work_is_held_back_the_other_sessions_of_the_database_are_not(tmp_path: Path) -> None:
    path, now_ms = tmp_path / "opencode.db", _now_ms()
    writer = open_database(path)
    insert(writer, story())
    old_ms = BASE_MS - 10_000_000
    insert(writer, [{"info": {**session("ses_new")["info"]}}], now_ms)
    writer.execute("UPDATE session SET time_updated = ? WHERE id != 'ses_new'", (old_ms,))
    writer.execute("UPDATE message SET time_updated = ?", (old_ms,))
    insert(writer, [user("n", 1, own="ses_new"), answer("o", 2, None, tool("c", 3), to="n", own="ses_new")], old_ms)
    writer.execute("UPDATE part SET time_updated = ? WHERE session_id = 'ses_new'", (now_ms,))
    writer.commit()
    found, stored = made(path, final=False)
    assert stored.agents.held_loops == 0  # it has not begun: its answer still grows
    assert {span.get(s.SESSION_ID) for span in found} == {SESSION, FORK}
    insert(writer, [answer("o", 2, 4, tool("c", 3, 4), to="n", own="ses_new")], now_ms)
    found, stored = made(path, final=False)
    assert stored.agents.held_loops == 1
    assert {span.get(s.SESSION_ID) for span in found} == {SESSION, FORK}
    insert(writer, [answer("p", 4, 5, to="n", own="ses_new")], now_ms)
    assert {span.get(s.SESSION_ID) for span in made(path, final=False)[0]} == {SESSION, FORK, "ses_new"}
    writer.close()


def test_a_parent_that_only_waits_for_its_sub_agent_is_at_work(tmp_path: Path) -> None:
    path, now_ms = tmp_path / "opencode.db", _now_ms()
    writer = open_database(path)
    insert(writer, [session(), user("u", 0), answer("a", 1, None, task("c", 2, 3))])
    writer.execute("UPDATE part SET time_updated = 5")
    insert(writer, [session(CHILD, 2, parentID=SESSION), user("v", 2, own=CHILD)], now_ms)
    files = database_sessions(path)
    assert {file.written_ns // 1_000_000 for file in files} == {now_ms}
    assert {(file.group.key, file.group.main) for file in files} == {(SESSION, True), (SESSION, False)}
    writer.close()


def test_since_leaves_out_sessions_not_files(tmp_path: Path) -> None:
    path = database(tmp_path / "opencode.db", *story())
    writer = open_database(path)
    insert(
        writer,
        [session("ses_new", 10_000), user("n", 1, own="ses_new"), answer("o", 2, 4, to="n", own="ses_new")],
        _now_ms(),
    )
    writer.close()
    found, _ = made(path, since_ns=(BASE_MS + 1_000_000) * 1_000_000)
    assert {span.get(s.SESSION_ID) for span in found} == {"ses_new"}


def test_a_watcher_is_told_which_sessions_were_written_to_since_it_asked(tmp_path: Path) -> None:
    path = tmp_path / "opencode.db"
    writer = open_database(path)
    insert(writer, story())
    changed, mark = Database(path).changed_since(0)
    assert changed == {SESSION, CHILD, FORK}
    assert Database(path).changed_since(mark) == ({FORK}, mark)  # of that very millisecond
    insert(writer, [answer("late", 200, 201, own=CHILD)])
    assert Database(path).changed_since(mark) == ({CHILD, FORK}, ms(201))
    row = next(row for row in Database(path).sessions() if row.id.decode() == SESSION)
    places = [position for position, _ in Database(path).records(row)]
    assert places == sorted(places)
    assert places[:3] == [0, ms(0), ms(0.1)]
    writer.close()


# --- what opencode itself wrote ------------------------------------------------------------------------------------------------------

# `opencode export` of 1.18.33, run here with a made model on loopback: tools, a compaction, an interrupt, a command of the user's, a revert;
# a prompt with a file, a sub-agent that was asked for, a message without an answer.
REAL = golden.PROJECT / "tests" / "data" / "opencode-1.18.33"


@pytest.mark.parametrize(("name", "loops", "turns", "tools"), [("compacted", 4, 5, 3), ("sub-agent", 2, 4, 3)])
def test_a_document_of_opencodes_own_has_the_numbers_that_it_says_of_itself(
    name: str, loops: int, turns: int, tools: int
) -> None:
    found, stored = made(REAL / f"{name}.json")
    own = json.loads((REAL / f"{name}.json").read_text())["info"]
    spent = own["tokens"]
    assert tokens(found)["input"] == spent["input"] + spent["cache"]["read"] + spent["cache"]["write"]
    assert tokens(found)["output"] == spent["output"] + spent["reasoning"]
    assert sum(
        float(str(span.get(s.COST_USD))) for span in found if role(span) == "chat" and span.get(s.COST_USD)
    ) == pytest.approx(own["cost"])
    assert [sum(role(span) == kind for span in found) for kind in ("loop", "turn", "tool")] == [loops, turns, tools]
    assert not [key for key in stored.counts if key.startswith(("bad", "skipped:part"))]


# --- documents and files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["info first", "info last", "a list of messages", "a plugin's"])
def test_a_document_is_read_whatever_its_order(tmp_path: Path, order: str) -> None:
    head, *messages = of(story(), SESSION)
    content: Any = {
        "info first": {"info": head["info"], "todos": [{"x": [1]}], "messages": messages},
        "info last": {"messages": messages, "more": {"a": 1}, "info": head["info"]},
        "a list of messages": messages,
        "a plugin's": {"type": "close", "sessionID": SESSION, "messages": messages},
    }[order]
    path = tmp_path / "x.json"
    path.write_bytes(b"\xef\xbb\xbf" * (order == "info first") + json.dumps(content, indent=1).encode())
    assert kind_of(path) == "agent"
    found, _ = made(path)
    assert tokens(found)["output"] == 7 * 5
    assert {span.get(s.SESSION_ID) for span in found} == {SESSION}


@pytest.mark.parametrize("how", ["gzip", "utf-16"])  # what PowerShell's `>` writes
def test_a_document_is_read_as_it_was_put_away(tmp_path: Path, how: str) -> None:
    path = document(tmp_path / "a" / "x.json", *of(story(), SESSION))
    content = path.read_bytes()
    other = tmp_path / "b" / "x.json"
    other.parent.mkdir()
    other.write_bytes(gzip.compress(content) if how == "gzip" else content.decode().encode("utf-16"))
    assert identities(made(other)[0]) == identities(made(path)[0])


def test_a_document_that_breaks_off_gives_what_came_before(tmp_path: Path) -> None:
    path = document(tmp_path / "x.json", *of(story(), SESSION))
    path.write_bytes(path.read_bytes()[:-3_000])
    os.utime(path, (time.time() - 3_600,) * 2)
    bad: list[Any] = []
    found, _ = made(path, on_bad_line=bad.append)
    assert 0 < tokens(found)["output"] < 7 * 5
    assert [one.reason for one in bad] == ["half a line at the end"]


@pytest.mark.parametrize(
    "content",
    [
        '{"info": {"title": "an API"}, "paths": {}}',
        '{"info": {"id": 1}}',
        '{"messages": [{"role": "user"}]}',
        '{"info": {',
    ],
)
def test_what_only_begins_like_a_document_is_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    assert kind_of(path) in ("json", "other")


def test_a_fork_given_alone_leaves_what_it_copied_to_the_document_beside_it(tmp_path: Path) -> None:
    exports(tmp_path, story())
    found, stored = made(tmp_path / f"{FORK}.json")
    assert tokens(found)["output"] == 7
    assert stored.agents.left == {tmp_path / f"{SESSION}.json": 3}


def test_documents_that_only_begin_at_one_moment_leave_each_other_nothing(tmp_path: Path) -> None:
    records = [user("u", 0), answer("a", 1, 2)]
    for name in ("a", "b"):
        document(tmp_path / f"{name}.json", session(f"ses_{name}"), *records)  # made ones share times and ids
        found, stored = made(tmp_path / f"{name}.json")
        assert (tokens(found)["output"], stored.agents.left) == (7, {})


def test_files_of_messages_and_parts_are_no_sessions_and_say_where_theirs_is(tmp_path: Path) -> None:
    root = folder(tmp_path / "storage", *story())
    (root / "migration").write_text("2")
    (root / "session_diff").mkdir()
    (root / "session_diff" / "x.json").write_text("[]")
    _, stored = made(root)
    assert sorted(one.name for one in stored.ignored) == ["migration", "x.json"]
    assert len(stored.files) == 3
    part = next((root / "part").rglob("*.json"))
    assert kind_of(part) == "inner"
    with pytest.raises(NothingHere, match="storage folder"):
        Stored([part])


def test_files_that_are_gone_or_broken_cost_themselves(tmp_path: Path) -> None:
    root = folder(tmp_path / "storage", *story())
    (root / "message" / SESSION / "msg_a2.json").write_text("{half")
    (root / "part" / "msg_a3" / "prt_001.json").write_text("")
    bad: list[Any] = []
    found, stored = made(root, on_bad_line=bad.append)
    assert [one.reason for one in bad] == ["not a JSON object"]
    assert (stored.counts["bad_parts"], sum(role(span) == "chat" for span in found)) == (1, 9)


def test_an_id_is_no_way_to_another_place(tmp_path: Path) -> None:
    records = [session("../../secret"), user("u", 0, own=SESSION)]
    path = tmp_path / "storage" / "session" / "prj" / "x.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(records[0]["info"]))
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "msg.json").write_text(json.dumps(records[1]["info"]))
    assert made(path)[0] == []


# --- content -----------------------------------------------------------------------------------------------------------------------

# Strings that name things or say of what kind they are; everything else is planted.
NAMES = ("parentID", "sessionID", "messageID", "callID", "projectID", "sessionId", "hash", "role", "type")


@pytest.mark.parametrize("kept", ["database", "documents", "files"])
def test_no_marker_in_any_string_leaves(kept: str, tmp_path: Path) -> None:
    records = [_planted(record) for record in story()]
    assert json.dumps(records).count(MARKER) > 100
    match kept:
        case "database":
            database(tmp_path / "opencode.db", *records)
        case "documents":
            exports(tmp_path, records)
        case _:
            folder(tmp_path / "storage", *records)
    stored = Stored([tmp_path], final=True)
    encoder = Encoder(Resource((("service.name", "unknown_service"),)))
    for options, leaves in ((MappingOptions(), False), (MappingOptions(source_info=True), True)):
        made_of = [encoder.span(one) for one in spans(stored.events(), options, ahead=ahead_of(stored.starts))]
        assert len(made_of) > 20
        assert (MARKER.encode() in encoder.request(made_of)) is leaves  # the folder it worked in
        stored = Stored([tmp_path], final=True)


def _planted(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: inner if name in (*NAMES, "id") else _planted(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [_planted(inner, key) for inner in value]
    kinds = ("completed", "error", "running", "tool-calls", "MessageAbortedError")
    return planted(value) if isinstance(value, str) and value not in kinds else value
