"""Other agents' files through the offline door: totals per file and per folder, whatever the order; copies, sub-agents, what is at work."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from otel_phi.mapping import semconv as s
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import Span
from otel_phi.pipeline import spans
from otel_phi.recorder.references import ahead_of
from otel_phi.sources.agent_files import AgentOptions
from otel_phi.sources.kinds import kind_of
from otel_phi.sources.stored import NothingHere, Stored
from tests import golden
from tests.laws import role
from tests.sources.agents import samples
from tests.sources.agents.samples import FOLDER, FOLDERS, expected, files, sample, written
from tests.sources.agents.test_claude_code import SESSION, line, prompt, result, spoke, use
from tests.sources.agents.test_codex import answer, event, meta, task

USAGE = {
    "input": s.USAGE_INPUT,
    "output": s.USAGE_OUTPUT,
    "cache_read": s.USAGE_CACHE_READ,
    "cache_write": s.USAGE_CACHE_WRITE,
}


def made(
    *paths: Path, final: bool = True, options: MappingOptions | None = None, **more: Any
) -> tuple[list[Span], Stored]:
    stored = Stored(paths, final=final, **more)
    return list(spans(stored.events(), options, ahead=ahead_of(stored.starts))), stored


def tokens(found: list[Span]) -> Counter[str]:
    chats = [span for span in found if role(span) == "chat"]
    return Counter({key: sum(int(str(span.get(name) or 0)) for span in chats) for key, name in USAGE.items()})


def wanted(totals: dict[str, int]) -> Counter[str]:
    return Counter({key: totals[key] for key in USAGE})


def identities(found: list[Span]) -> list[Span]:
    return sorted(found, key=lambda span: (span.trace_id, span.span_id))


def old(path: Path, data: bytes, age_s: float = 3_600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (time.time() - age_s,) * 2)
    return path


# --- the samples -----------------------------------------------------------------------------------------------------------


@samples.needed
@pytest.mark.parametrize(("agent", "name"), files())
def test_a_file_alone_has_its_sessions_tokens_sub_agents_among_them(agent: str, name: str) -> None:
    totals = expected(agent)[name]
    found, _ = made(sample(agent, name))
    assert tokens(found) == wanted(totals.get("all_tokens") or totals["tokens"])


@samples.needed
@pytest.mark.parametrize("agent", [agent for agent in FOLDERS if "_folder" in expected(agent)])
def test_a_folder_has_each_call_once(agent: str) -> None:
    found, _ = made(FOLDER / FOLDERS[agent])
    assert tokens(found) == wanted(expected(agent)["_folder"]["tokens"])


@samples.needed
@pytest.mark.parametrize("agent", FOLDERS)
def test_the_order_in_which_files_are_given_changes_nothing(agent: str) -> None:
    paths = samples.session_files(agent)
    assert identities(made(*paths)[0]) == identities(made(*reversed(paths))[0])


@samples.needed
def test_a_folder_of_all_formats_is_the_sum_of_them_and_keeps_the_laws() -> None:
    found, stored = made(FOLDER)
    alone = [made(FOLDER / name)[0] for name in FOLDERS.values()]
    assert tokens(found) == sum(map(tokens, alone), Counter())
    named = {span.resource[0][1] for span in found if span.resource}
    assert named >= set(FOLDERS) - {"atif"}  # whose files name the agents that they were converted from
    assert "terminus-2" in named
    assert len({(span.trace_id, span.span_id) for span in found}) == len(found)
    known = {(span.trace_id, span.span_id) for span in found}
    assert not [span for span in found if span.parent_span_id and (span.trace_id, span.parent_span_id) not in known]
    assert set(stored.files) == {path for agent in FOLDERS for path in samples.session_files(agent)}


# --- copies ----------------------------------------------------------------------------------------------------------------

OTHER = "8f9c1d2e-0000-4000-8000-000000000002"


def resumed(folder: Path) -> tuple[Path, Path]:
    """Writes a session, and one that was resumed from it: its name comes first, and its own lines last."""
    history = [prompt(0, "p"), spoke(1, "a")]
    first = old(folder / f"{SESSION}.jsonl", written(*history, prompt(5, "q"), spoke(6, "b")))
    copied = [{**record, "sessionId": OTHER} for record in (*history, prompt(9, "r"), spoke(10, "c"))]
    return first, old(folder / f"0-{OTHER}.jsonl", written(*copied))


def test_a_resumed_session_leaves_its_history_to_the_one_that_made_it_whatever_they_are_called(tmp_path: Path) -> None:
    first, second = resumed(tmp_path)
    found, _ = made(tmp_path)
    by_session = Counter(span.get(s.SESSION_ID) for span in found if role(span) == "chat")
    assert by_session == {SESSION: 2, OTHER: 1}
    assert identities(found) == identities(made(second, first)[0])


def test_a_file_alone_says_to_which_file_of_its_folder_it_left_calls_and_can_count_them_all(tmp_path: Path) -> None:
    first, second = resumed(tmp_path)
    found, stored = made(second)
    assert tokens(found)["output"] == 5
    assert stored.agents.left == {first: 2}  # a prompt and its answer
    found, stored = made(second, agents=AgentOptions(whole=True))
    assert (tokens(found)["output"], stored.agents.left) == (10, {})
    assert identities(made(first)[0]) == identities(
        [one for one in made(tmp_path)[0] if one.get(s.SESSION_ID) == SESSION]
    )


# --- sub-agents ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("told", ["meta", "result", "progress"])
def test_a_sub_agent_stands_under_the_tool_that_its_parent_or_a_file_beside_it_names(tmp_path: Path, told: str) -> None:
    side = {"isSidechain": True, "agentId": "a1"}
    ended = result(9, "toolu_1", **({"toolUseResult": {"agentId": "a1"}} if told == "result" else {}))
    main = [prompt(0, "p"), spoke(1, "a", use("toolu_1")), ended, spoke(10, "b")]
    data = {"type": "agent_progress", "agentId": "a1"}
    if told == "progress":
        main.insert(2, {**line("progress", 2, "x"), "data": data, "parentToolUseID": "toolu_1"})
    path = old(tmp_path / f"{SESSION}.jsonl", written(*main))
    inner = tmp_path / SESSION / "subagents" / "agent-a1.jsonl"
    old(inner, written({**prompt(2, "sp"), **side}, {**spoke(3, "sa"), **side}))
    if told == "meta":
        inner.with_suffix(".meta.json").write_text('{"toolUseId": "toolu_1"}')
    found, _ = made(path)
    (sub,) = (span for span in found if role(span) == "loop" and span.get(s.LOOP_KIND) == "subagent")
    assert next(span for span in found if span.span_id == sub.parent_span_id).get(s.TOOL_CALL_ID) == "toolu_1"
    assert identities(found) == identities(made(tmp_path)[0])


def test_a_codex_thread_that_another_spawned_stands_under_its_call(tmp_path: Path) -> None:
    child, root = "01a00000-0000-7000-8000-00000000000c", "01a00000-0000-7000-8000-00000000000a"
    spawn = {"subagent": {"thread_spawn": {"parent_thread_id": root, "agent_nickname": "scout"}}}
    call = {"type": "function_call", "name": "spawn_agent", "call_id": "c1", "arguments": "{}"}
    told = {"type": "function_call_output", "call_id": "c1", "output": f'{{"agent_id":"{child}"}}'}
    items = [
        {"timestamp": f"2026-10-04T08:00:0{n}Z", "type": "response_item", "payload": one}
        for n, one in ((2, call), (3, told))
    ]
    old(tmp_path / "b.jsonl", written(meta(), task(1, "t1"), *items, answer(5), event("task_complete", 6)))
    old(tmp_path / "a.jsonl", written(meta(3, child, source=spawn, session_id=root), task(3.1, "t2"), answer(4)))
    found, _ = made(tmp_path)
    (sub,) = (span for span in found if role(span) == "loop" and span.get(s.LOOP_KIND) == "subagent")
    assert next(span for span in found if span.span_id == sub.parent_span_id).name == "execute_tool spawn_agent"
    assert sub.get(s.AGENT_NAME) == "scout"


# --- what is at work -------------------------------------------------------------------------------------------------------


def test_a_loop_without_an_end_in_a_file_at_work_is_held_back_whole(tmp_path: Path) -> None:
    data = written(prompt(0, "p"), spoke(1, "a"), prompt(2, "q"), spoke(3, "b", use("t")))
    path = old(tmp_path / "x.jsonl", data, age_s=5)
    found, stored = made(path, final=False)
    assert (stored.agents.held_loops, [span.get(s.LOOP_ID) for span in found if role(span) == "loop"]) == (
        1,
        [f"{SESSION}.p"],
    )
    assert len([span for span in made(path)[0] if role(span) == "loop"]) == 2
    found, stored = made(old(path, data), final=False)
    assert (stored.agents.open_loops, len([span for span in found if role(span) == "loop"])) == (1, 2)


def test_an_answer_at_the_end_ends_the_loop_once_the_file_is_silent(tmp_path: Path) -> None:
    data = written(prompt(0, "p"), spoke(1, "a"))
    assert made(old(tmp_path / "x.jsonl", data, age_s=5), final=False)[1].agents.held_loops == 1
    found, stored = made(old(tmp_path / "x.jsonl", data, age_s=200), final=False)
    assert stored.agents.held_loops == 0
    assert [span.get(s.LOOP_STATUS) for span in found if role(span) == "loop"] == ["completed"]


def test_half_a_line_at_the_end_is_a_bad_line_unless_its_writer_is_about_to_finish_it(tmp_path: Path) -> None:
    data = written(prompt(0, "p"), spoke(1, "a")) + b'{"type":"user","mess'
    said: list[Any] = []
    made(old(tmp_path / "x.jsonl", data, age_s=5), final=False, on_bad_line=said.append)
    assert said == []
    made(old(tmp_path / "x.jsonl", data), on_bad_line=said.append)
    assert [(bad.line, bad.reason) for bad in said] == [(3, "half a line at the end")]


def test_sessions_that_were_not_written_to_since_then_are_left_out(tmp_path: Path) -> None:
    old(tmp_path / "old.jsonl", written(prompt(0, "p"), spoke(1, "a")), age_s=9_000)
    old(tmp_path / "new.jsonl", written({**prompt(0, "q"), "sessionId": OTHER}, {**spoke(1, "b"), "sessionId": OTHER}))
    found, _ = made(tmp_path, since_ns=time.time_ns() - 5_000 * 10**9)
    assert {span.get(s.SESSION_ID) for span in found} == {OTHER}
    with pytest.raises(NothingHere, match="since then"):
        Stored([tmp_path], since_ns=time.time_ns())


# --- what may be said, and what a file is ----------------------------------------------------------------------------------


def test_where_an_agent_worked_is_said_only_when_asked_for(tmp_path: Path) -> None:
    path = old(tmp_path / "x.jsonl", written(prompt(0, "p"), spoke(1, "a")))
    assert {span.get(s.SOURCE_CWD) for span in made(path)[0]} == {None}
    asked, _ = made(path, options=MappingOptions(source_info=True))
    assert {(span.get(s.SOURCE_CWD), span.get(s.VCS_BRANCH)) for span in asked if role(span) == "loop"} == {
        ("/w", "main")
    }


def test_a_mixed_folder_holds_phi_cores_sessions_and_other_agents(tmp_path: Path) -> None:
    old(tmp_path / "phi.jsonl", golden.DEMO.read_bytes())
    old(tmp_path / "claude.jsonl", written(prompt(0, "p"), spoke(1, "a")))
    found, _ = made(tmp_path)
    assert {span.get(s.SOURCE_AGENT) for span in found if role(span) == "root"} == {None, "claude-code"}
    assert identities(made(tmp_path / "phi.jsonl")[0]) == identities([span for span in found if not span.resource])


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\xef\xbb\xbf" + written(prompt(0, "p")), "agent"),
        (b"[" + b",\n ".join(written(prompt(0, "p"), spoke(1, "a")).split(b"\n")[:-1]) + b"]", "agent"),
        (written(prompt(0, "p")).decode().encode("utf-16"), "agent"),
        (b"2026-11-01 INFO " + written(prompt(0, "p")), "wrapped"),
        (b"\x28\xb5\x2f\xfd rest", "zstd"),
        (b"[1, 2]", "json"),
        (b"[1, 2", "other"),
    ],
)
def test_a_file_is_what_its_content_says(tmp_path: Path, data: bytes, kind: str) -> None:
    assert kind_of(old(tmp_path / "x", data)) == kind


def test_an_array_is_read_member_by_member_utf_16_as_utf_8_and_a_byte_order_mark_is_no_part_of_the_first_line(
    tmp_path: Path,
) -> None:
    data = written(prompt(0, "p"), spoke(1, "a"))
    lines = made(old(tmp_path / "a.jsonl", b"\xef\xbb\xbf" + data))[0]
    array = made(old(tmp_path / "b" / "b.jsonl", b"[" + b",".join(data.split(b"\n")[:-1]) + b"]"))[0]
    wide = made(old(tmp_path / "c" / "c.jsonl", data.decode().encode("utf-16")))[0]
    assert tokens(lines) == tokens(array) == tokens(wide) == Counter(input=110, output=5, cache_read=100)
    phi = golden.DEMO.read_bytes().strip().split(b"\n")
    path = old(tmp_path / "phi.json", b"[" + b",\n".join(phi) + b"]")
    assert identities(made(path)[0]) == identities(made(golden.DEMO)[0])


@pytest.mark.parametrize(("data", "words"), [(b"INFO ", "log lines"), (b"\x28\xb5\x2f\xfd", "zstd")])
def test_what_only_has_to_be_written_otherwise_is_named_with_what_to_do(
    tmp_path: Path, data: bytes, words: str
) -> None:
    path = old(tmp_path / "x", data + written(prompt(0, "p")))
    with pytest.raises(NothingHere, match=words):
        Stored([path])
