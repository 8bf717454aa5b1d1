"""`show` and `export` of other agents' sessions: readable trees, the flags that stand for an agent's folder, what is said on stderr."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.conftest import Snapshots
from tests.sources.agents import opencode_made as opencode
from tests.sources.agents import test_atif as atif
from tests.sources.agents import test_claude_code as claude
from tests.sources.agents import test_codex as codex
from tests.sources.agents import test_gemini as gemini
from tests.sources.agents import test_pi as pi
from tests.sources.agents.samples import written


def old(path: Path, *records: dict[str, Any], age_s: float = 3_600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(written(*records))
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def claude_project(folder: Path) -> Path:
    """Writes a session with a sub-agent, a failed tool, an interrupt and a compaction."""
    side = {"isSidechain": True, "agentId": "a1"}
    interrupt = claude.prompt(31, "i", [{"type": "text", "text": "[Request interrupted by user]"}])
    boundary = claude.line("system", 40, "s", subtype="compact_boundary", compactMetadata={"preTokens": 150_000})
    main = old(
        folder / f"{claude.SESSION}.jsonl",
        claude.prompt(0, "p"),
        claude.spoke(4, "m1", claude.use("toolu_1"), claude.use("toolu_2")),
        claude.result(5, "toolu_2", is_error=True),
        claude.result(20, "toolu_1", toolUseResult={"agentId": "a1", "status": "completed"}),
        claude.spoke(25, "m2", claude.use("toolu_3")),
        interrupt,
        claude.prompt(35, "q"),
        claude.spoke(38, "m3", claude.use("toolu_4")),
        claude.result(39, "toolu_4"),
        boundary,
        claude.spoke(45, "m4"),
        claude.line("system", 46, "t", subtype="turn_duration", durationMs=11_000),
    )
    agent = [claude.prompt(6, "sp"), claude.spoke(12, "s1", claude.use("toolu_5")), claude.result(13, "toolu_5")]
    inner = folder / claude.SESSION / "subagents" / "agent-a1.jsonl"
    old(inner, *({**one, **side} for one in (*agent, claude.spoke(19, "s2"))))
    return main


def codex_sessions(folder: Path) -> Path:
    """Writes a thread that was rolled back, and a fork of it."""
    git = {"branch": "main", "commit_hash": "1c2d3e4f5a6b", "repository_url": "https://u:p@example.org/r.git"}
    one = [codex.task(1, "t1"), codex.CONTEXT, codex.call(3, "c1"), codex.count(3.1, (1_000, 40), (1_000, 40))]
    one += [codex.output(5, "c1", "Exit code: 2\nno"), codex.answer(8), codex.count(8.1, (1_200, 60), (2_200, 100))]
    one += [codex.event("task_complete", 9, turn_id="t1"), codex.event("thread_rolled_back", 10, num_turns=1)]
    two = [codex.task(11, "t2"), codex.call(12, "c2"), codex.event("turn_aborted", 14, reason="interrupted")]
    old(folder / "a.jsonl", codex.meta(git=git), *one, *two)
    fork = [codex.meta(20, codex.PARENT, forked_from_id=codex.THREAD), codex.meta(20.1), codex.task(20.2, "t1")]
    fork += [codex.count(20.3, (1_000, 40), (2_200, 100)), codex.task(22, "t3"), codex.CONTEXT, codex.answer(25)]
    old(folder / "b.jsonl", *fork, codex.count(25.1, (1_500, 30), (3_700, 130)), codex.event("task_complete", 26))
    return folder


def pi_sessions(folder: Path) -> Path:
    """Writes a session with a retry, a branch and a compaction that cost tokens, and a fork of it."""
    usage = {"input": 900, "output": 300}
    compaction = {"type": "compaction", "id": "00000007", "timestamp": pi.at(14), "tokensBefore": 9_000, "usage": usage}
    first = [pi.user(1, 1), pi.spoke(2, 3, stop="error", errorMessage="fetch failed"), pi.spoke(3, 6, "c1", began=4)]
    first += [pi.result(4, 8, "c1", isError=True), pi.spoke(5, 10, began=8), pi.user(6, 12, parent=2)]
    first += [pi.spoke(8, 13, parent=6, began=12), {**compaction, "id": "00000009"}]
    old(folder / f"2026-11-01T10-00-00-000Z_{pi.SESSION}.jsonl", pi.header(), *first)
    other = "019f0000-0000-7000-8000-000000000004"
    begins = pi.header(other, parentSession=f"/s/2026-11-01T10-00-00-000Z_{pi.SESSION}.jsonl", timestamp=pi.at(30))
    old(folder / f"2026-11-01T10-00-30-000Z_{other}.jsonl", begins, *first[:5], pi.user(11, 31), pi.spoke(12, 34))
    return folder


def openclaw_session(folder: Path) -> Path:
    """Writes a session of a gateway whose first model did not answer."""
    snapshot = {"type": "custom", "customType": "model-snapshot", "timestamp": pi.at(1)}
    failed = pi.spoke(2, 2, stop="error", errorMessage="fetch failed")
    hidden = pi.result(5, 7, "c1", details={"status": "error"})
    other = {**snapshot, "timestamp": pi.at(3), "data": {"provider": "openai", "modelId": "m"}}
    return old(
        folder / "agents" / "main" / "sessions" / "x.jsonl",
        pi.header(),
        {**snapshot, "data": {"provider": "ollama", "modelId": "q"}},
        pi.user(1, 1),
        failed,
        other,
        pi.spoke(4, 6, "c1", began=3),
        hidden,
        pi.spoke(6, 9, began=7),
    )


def atif_trial(folder: Path) -> Path:
    """Writes a trial with a sub-agent within its trajectory, one in a file, a tool without a result and a continuation."""
    inner = atif.child("run", "ATIF-v1.7", trajectory_id="look-around")
    within = atif.asks(2, 3, trajectory_id="look-around")
    handoff = [{"subagent_trajectory_ref": [{"trajectory_path": "trajectory.summary-1.json"}]}]
    first = [
        atif.user(1, 0),
        within,
        atif.agent(3, 12, "a", "b"),
        atif.step(4, "system", 14, message="", observation={"results": handoff}),
    ]
    copied = atif.user(1, 0, is_copied_context=True)
    more = atif.trajectory(
        copied, atif.agent(2, 25, llm_call_count=2), atif.agent(3, 30, "finish", results=[]), name="run-cont-1"
    )
    return atif.saved(
        folder / "jobs" / "trial" / "agent",
        trajectory=atif.trajectory(
            *first, version="ATIF-v1.7", name="run", trajectory_id="run", subagent_trajectories=[inner]
        ),
        trajectory__summary_1=atif.child("summary"),
        trajectory__cont_1=more,
    )


def gemini_project(folder: Path) -> Path:
    """Writes a session with a sub-agent, a failed tool, one that was not allowed, an error, a history made shorter, and one gone back to."""
    ran = gemini.answer(
        "a", 4, gemini.call("c1", 20, agentId="scout-1"), gemini.call("c2", 6, "error", "no such folder")
    )
    made = [
        gemini.message("user", "s", 30, [{"text": "<state_snapshot>"}]),
        gemini.message("gemini", "t", 30, [{"text": "Got it."}]),
    ]
    first = [
        gemini.user("u", 0),
        gemini.answer("a", 4, tokens=None),
        ran,
        gemini.history(*made),
        gemini.answer("b", 25),
    ]
    second = [gemini.user("v", 40), gemini.answer("d", 44, gemini.call("c3", 50, "cancelled"))]
    third = [{"$rewindTo": "v"}, gemini.user("w", 60), gemini.message("error", "e", 62, "[API Error: quota]")]
    chats = folder / "abc" / "chats"
    header = gemini.header(), {"$set": {"summary": "Look around"}}
    old(chats / "session-2026-04-01T10-00-f0a689a6.jsonl", *header, *first, *second, *third)
    inner = [gemini.header("scout-1", kind="subagent"), gemini.user("p", 5), gemini.answer("x", 12)]
    old(chats / gemini.SESSION / "scout-1.jsonl", *inner)
    return folder


def opencode_database(folder: Path) -> Path:
    """Writes a session with a sub-agent, a failed tool, a compaction and an interrupt, and a fork of it."""
    return opencode.database(folder / "opencode.db", *opencode.story())


WRITERS: dict[str, Callable[[Path], Path]] = {
    "claude": claude_project,
    "codex": codex_sessions,
    "pi": pi_sessions,
    "openclaw": openclaw_session,
    "opencode": opencode_database,
    "atif": atif_trial,
    "gemini": gemini_project,
}


@pytest.mark.parametrize("agent", WRITERS)
def test_a_tree_of_each_agents_sessions(agent: str, run: Run, snapshots: Snapshots, tmp_path: Path) -> None:
    done = run("show", WRITERS[agent](tmp_path), "--all")
    assert done.exit_code == 0
    snapshots.check(f"cli/show_agent_{agent}", done.stdout + done.stderr)


@pytest.mark.parametrize(
    ("flag", "folder"),
    [("--claude", ".claude/projects/-w"), ("--codex", ".codex/sessions/2026/10/04"), ("--pi", ".pi/agent/sessions/--w--"),
     ("--openclaw", ".openclaw"), ("--opencode", ".local/share/opencode"), ("--atif", ""), ("--gemini", ".gemini/tmp")],
)  # fmt: skip
def test_a_flag_stands_for_the_folder_in_which_an_agent_keeps_its_sessions(
    flag: str, folder: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "CLAUDE_CONFIG_DIR",
        "CODEX_HOME",
        "PI_AGENT_DIR",
        "OPENCLAW_DIR",
        "OPENCLAW_STATE_DIR",
        "GEMINI_CLI_HOME",
        "XDG_DATA_HOME",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    done = run("show", flag)
    assert done.exit_code == 2
    assert "there is no " + ("jobs" if flag == "--atif" else str(tmp_path)) in done.stderr
    WRITERS[flag.removeprefix("--")](tmp_path / folder)
    done = run("export", flag, "--file", tmp_path / "out.jsonl")
    assert done.exit_code == 0
    names = {"--claude": "claude-code", "--atif": "terminus-2", "--gemini": "gemini-cli"}
    resource = json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])["resourceSpans"][0]["resource"]
    told = {pair["key"]: pair["value"]["stringValue"] for pair in resource["attributes"]}
    assert told["service.name"] == names.get(flag, flag.removeprefix("--"))


def test_claudes_own_variable_names_its_folders(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claude_project(tmp_path / "b" / "projects" / "-w")
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", f"{tmp_path}/a, {tmp_path}/b")
    assert claude.SESSION in run("show", "--claude").stdout


def test_opencodes_own_folder_holds_more_than_sessions_and_names_other_databases(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.delenv("OPENCODE_DB", raising=False)
    folder = tmp_path / "opencode"
    (folder / "storage" / "session_diff").mkdir(parents=True)
    (folder / "storage" / "migration").write_text("2")
    opencode.database(folder / "opencode-dev.db", *opencode.of(opencode.story(), opencode.FORK))
    opencode.folder(folder / "storage", *opencode.of(opencode.story(), opencode.SESSION))
    done = run("ls", "--opencode")
    assert done.exit_code == 0
    assert "2 sessions" in done.stdout
    monkeypatch.setenv("OPENCODE_DB", str(tmp_path / "elsewhere.db"))
    opencode.database(tmp_path / "elsewhere.db", *opencode.of(opencode.story(), opencode.CHILD))
    assert "build, explore" in run("ls", "--opencode").stdout  # a sub-agent there, its root's files here


def test_without_a_path_and_without_a_flag_there_is_nothing_to_read(run: Run) -> None:
    done = run("show")
    assert done.exit_code == 2
    assert "give a PATH, or one of --claude, --codex, --pi, --openclaw, --opencode, --atif, --gemini" in done.stderr


@pytest.mark.parametrize(("when", "shown"), [("30m", False), ("2h", True), ("1d", True), ("2000-01-01", True)])
def test_since_leaves_out_what_was_last_written_to_before(when: str, shown: bool, run: Run, tmp_path: Path) -> None:
    done = run("show", claude_project(tmp_path), "--since", when)
    assert (done.exit_code == 0) is shown
    assert run("show", tmp_path, "--since", "soon").exit_code == 2


def test_export_says_what_it_counted_once_and_to_whom_it_left_what(run: Run, tmp_path: Path) -> None:
    history = [claude.prompt(0, "p"), claude.spoke(1, "a")]
    old(tmp_path / "a.jsonl", *history)
    copied = [{**one, "sessionId": "copy"} for one in (*history, claude.prompt(5, "q"), claude.spoke(6, "b"))]
    copy = old(tmp_path / "b.jsonl", *copied)
    out = tmp_path / "out.jsonl"
    assert "1 copied call counted once" in run("export", tmp_path, "--file", out).stderr
    assert f"2 copied records left to {tmp_path / 'a.jsonl'}" in run("export", copy, "--file", out).stderr
    assert "copied" not in run("export", copy, "--file", out, "--all").stderr


def test_where_an_agent_worked_leaves_only_with_source_info(run: Run, tmp_path: Path) -> None:
    path, out = claude_project(tmp_path), tmp_path / "out.jsonl"
    run("export", path, "--file", out)
    assert '"main"' not in out.read_text()
    run("export", path, "--file", out, "--source-info")
    assert '"vcs.ref.head.name"' in out.read_text()


def test_a_loop_at_work_is_held_back_and_counted(run: Run, tmp_path: Path) -> None:
    records = [claude.prompt(0, "p"), claude.spoke(1, "a"), claude.prompt(2, "q")]
    path = old(tmp_path / "a.jsonl", *records, age_s=1)
    done = run("export", path, "--file", tmp_path / "out.jsonl", "--json")
    assert "1 loop still open and held back" not in done.stderr  # a prompt alone is no loop yet
    path = old(tmp_path / "a.jsonl", *records, claude.spoke(3, "b", claude.use("t")), age_s=1)
    done = run("export", path, "--file", tmp_path / "out.jsonl", "--json")
    assert "1 loop still open and held back" in done.stderr
    assert json.loads(done.stdout)["held_loops"] == 1


def test_in_ci_a_run_joins_the_trace_of_the_job_that_started_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller, out = "0af7651916cd43dd8448eb211c80319c", tmp_path / "out.jsonl"
    monkeypatch.setenv("TRACEPARENT", f"00-{caller}-b7ad6b7169203331-01")
    path = claude_project(tmp_path)
    assert run("export", path, "--file", out).exit_code == 0
    assert f'"traceId":"{caller}","spanId":"b7ad6b7169203331"' in out.read_text()
    assert run("export", path, "--file", out, "--trace-scope", "loop", "--join").exit_code == 0
    assert f'"traceId":"{caller}","spanId":"b7ad6b7169203331"' not in out.read_text()
    assert '"parentSpanId":"b7ad6b7169203331"' in out.read_text()


def test_watch_says_that_it_does_not_follow_other_agents_sessions(run: Run, tmp_path: Path) -> None:
    claude_project(tmp_path / "logs")
    done = run("watch", "--once", tmp_path / "logs", "--file", "-", "--state-dir", tmp_path / "state")
    assert done.stdout == ""
    assert done.stderr.count("not followed yet") == 1
