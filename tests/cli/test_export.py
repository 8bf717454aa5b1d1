"""`export`: what arrives, what is printed, and an exit code for every way it can end."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from otel_phi.pipeline import spans
from otel_phi.testing import Receiver
from tests import golden
from tests.cli.conftest import Run, Start
from tests.cli.streams import SESSION, a_session, lines_of

NOWHERE = "http://127.0.0.1:9"  # the discard port: nothing listens there
TRACE = SESSION.replace("-", "")


@pytest.fixture
def stream(tmp_path: Path) -> Path:
    """A file with one session of 3 turns: 11 spans."""
    path = tmp_path / "run.jsonl"
    path.write_bytes(lines_of(a_session(turns=3)))
    return path


def test_everything_arrives_and_the_table_says_what(run: Run, receiver: Receiver) -> None:
    result = run("export", golden.DEMO, "--endpoint", receiver.endpoint)
    assert result.exit_code == 0
    assert sorted(span.span_id for span in receiver.spans) == sorted(span.span_id for span in spans(golden.demo()))
    head, *rows = result.stdout.splitlines()
    assert head.split() == ["session", "trace", "id", "loops", "turns", "tools", "tokens", "errors", "spans"]
    cells = [row.split() for row in rows]
    assert cells[0] == ["3f9a1c7e", "3f9a1c7e5b424d0e8c6192d7e4ab10f5", "5", "9", "6", "45.6k→993", "1", "31"]
    assert cells[1] == ["b70c25d8", "b70c25d81e944f3aa6d258c90b7f4e13", "1", "2", "1", "2.72k→152", "0", "7"]
    assert result.stderr == f"otel-phi: 38 spans accepted by {receiver.endpoint}/v1/traces\n"


def test_links_lead_to_the_traces(run: Run, receiver: Receiver, stream: Path) -> None:
    arguments = ("export", stream, "--endpoint", receiver.endpoint, "--trace-url", "http://j/trace/{trace_id}?x")
    assert f"  http://j/trace/{TRACE}?x\n" in run(*arguments).stdout
    assert json.loads(run(*arguments, "--json").stdout)["sessions"][0]["links"] == [f"http://j/trace/{TRACE}?x"]


def test_json_says_the_same_for_machines(run: Run, receiver: Receiver, stream: Path) -> None:
    report = json.loads(run("export", stream, "--endpoint", receiver.endpoint, "--json").stdout)
    (session,) = report.pop("sessions")
    assert report == {"accepted": 11, "rejected": 0, "dead": 0, "dropped": {}, "held_loops": 0, "bad_lines": 0}
    assert (session["session_id"], session["trace_ids"]) == (SESSION, [TRACE])
    assert (session["loops"], session["turns"], session["tools"], session["spans"]) == (1, 3, 3, 11)
    assert (session["input_tokens"], session["output_tokens"], session["errors"]) == (303, 60, {})


def test_flags_reach_the_spans_and_the_request(run: Run, receiver: Receiver, stream: Path) -> None:
    result = run(
        *("export", stream, "--endpoint", receiver.endpoint, "--header", "x-tenant=a=b", "--service-name", "svc"),
        *("--agent-name", "coder", "--attribute", "env=prod", "--no-tool-spans", "--trace-scope", "loop"),
        *("--compression", "none"),
    )
    assert result.exit_code == 0
    assert receiver.requests[0].headers["x-tenant"] == "a=b"
    assert "content-encoding" not in receiver.requests[0].headers
    assert {span.name for span in receiver.spans} == {"invoke_agent coder", "turn", "chat m-1"}
    assert {span.get("env") for span in receiver.spans} == {"prod"}
    assert receiver.groups[0].resource.get("service.name") == "svc"


def test_over_grpc_too(run: Run, stream: Path) -> None:
    with Receiver(grpc=True) as receiver:
        result = run("export", stream, "--endpoint", receiver.grpc_endpoint, "--protocol", "grpc")
        assert (result.exit_code, len(receiver.spans)) == (0, 11)


def test_a_sampler_for_live_agents_does_not_thin_an_export(
    run: Run, receiver: Receiver, stream: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    assert run("export", stream, "--endpoint", receiver.endpoint).exit_code == 0
    assert len(receiver.spans) == 11
    result = run("export", stream, "--endpoint", receiver.endpoint, "--sample", "0")
    assert (result.exit_code, len(receiver.spans)) == (0, 11)
    assert "11 spans left out by sampling" in result.stderr


def test_some_rejected_is_exit_3_with_the_collectors_words(run: Run, receiver: Receiver, stream: Path) -> None:
    receiver.answer(rejected=2, message="too \x1b[31mold")
    result = run("export", stream, "--endpoint", receiver.endpoint)
    assert result.exit_code == 3
    assert "otel-phi: 9 spans accepted by" in result.stderr
    assert "otel-phi: 2 spans rejected: too [31mold\n" in result.stderr


def test_an_unreachable_collector_is_exit_4_and_says_how_to_go_on(run: Run, stream: Path) -> None:
    result = run("export", stream, "--endpoint", NOWHERE, "--give-up-after", "0")
    assert (result.exit_code, result.stdout) == (4, "")
    last = result.stderr.splitlines()[-1]
    assert "connection refused" in last
    assert f"is a collector running at {NOWHERE}?" in last
    assert last.endswith("run the same command again to send the rest")
    assert "Traceback" not in result.stderr


def test_a_wrong_path_is_exit_4_and_says_which(run: Run, receiver: Receiver, stream: Path) -> None:
    receiver.answer(status=404, body=b"404 page not found", times=99)
    result = run("export", stream, "--endpoint", f"{receiver.endpoint}/wrong", "--give-up-after", "0")
    last = result.stderr.splitlines()[-1]
    assert result.exit_code == 4
    assert "HTTP 404" in last
    assert f"append /v1/traces: {receiver.endpoint}/wrong/v1/traces" in last


def test_missing_credentials_are_exit_4_and_say_so(run: Run, receiver: Receiver, stream: Path) -> None:
    receiver.answer(status=401, times=99)
    result = run("export", stream, "--endpoint", receiver.endpoint, "--give-up-after", "0")
    assert result.exit_code == 4
    assert "give them as --header KEY=VALUE" in result.stderr


def test_run_again_it_sends_the_rest_and_only_that(run: Run, receiver: Receiver, tmp_path: Path) -> None:
    for number in range(30):
        session = f"{number:08x}-e29b-41d4-a716-446655440000"
        (tmp_path / f"{number}.jsonl").write_bytes(lines_of(a_session(session_id=session, turns=2000 // 30)))
    arguments = ("export", tmp_path, "--endpoint", receiver.endpoint, "--compression", "none")
    receiver.answer()
    receiver.answer(status=503, times=999)
    first = run(*arguments, "--give-up-after", "0")
    if first.exit_code == 0:
        pytest.skip("all fitted into one request")
    arrived = len(receiver.spans)
    receiver._script.clear()
    second = run(*arguments)
    assert (first.exit_code, second.exit_code) == (4, 0)
    ids = [(span.trace_id, span.span_id) for span in receiver.spans]
    assert len(ids) == len(set(ids))
    assert len(ids) == 30 * (2 + 3 * (2000 // 30))
    assert f"{arrived:,} spans sent by an earlier run" in second.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ on Windows")
def test_ctrl_c_is_one_line_and_resumable(start: Start, stream: Path) -> None:
    process = start("export", stream, "--endpoint", NOWHERE)
    assert process.stderr is not None
    assert b"connection refused; trying again" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == -signal.SIGINT
    assert process.stderr.read() == b"otel-phi: interrupted; run the same command again to send the rest\n"


def test_to_a_file_it_writes_what_the_collector_reads(run: Run, stream: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    result = run("export", stream, "--file", target)
    assert result.exit_code == 0
    assert result.stderr == f"otel-phi: 11 spans written to {target}\n"
    found = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    traces = {span["traceId"] for line in found for group in line["resourceSpans"] for scope in group["scopeSpans"]
              for span in scope["spans"]}  # fmt: skip
    assert traces == {TRACE}


def test_no_line_of_a_file_is_longer_than_the_collector_reads(run: Run, tmp_path: Path) -> None:
    source, target = tmp_path / "run.jsonl", tmp_path / "out"
    source.write_bytes(lines_of(a_session(turns=1_000)))
    assert run("export", source, "--file", target).exit_code == 0
    lines = target.read_bytes().splitlines()
    assert len(lines) > 1
    assert max(map(len, lines)) < 1 << 20  # its `max_log_size`
    assert sum(line.count(b'"traceId"') for line in lines) == 3_002


def test_to_stdout_the_table_moves_to_stderr(start: Start, stream: Path) -> None:
    out, error = start("export", stream, "--file", "-").communicate(timeout=20)
    assert all("resourceSpans" in json.loads(line) for line in out.splitlines())
    assert TRACE.encode() in error
    assert b"11 spans written to stdout" in error


def test_loops_at_work_are_held_back_and_final_sends_them(run: Run, receiver: Receiver, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(lines_of([*a_session(), *a_session(session_id="other", ended=False, first_s=10)]))
    held = run("export", path, "--endpoint", receiver.endpoint)
    assert (held.exit_code, len(receiver.spans)) == (0, 5)
    assert "1 loop still open and held back; --final sends what is there" in held.stderr
    assert run("export", path, "--endpoint", receiver.endpoint, "--final").exit_code == 0
    assert len(receiver.spans) == 5 + 10
    os.utime(path, (0, 0))
    assert "held back" not in run("export", path, "--endpoint", receiver.endpoint).stderr


def test_lines_that_are_no_events_cost_themselves_alone(run: Run, receiver: Receiver, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    lines = lines_of(a_session()).splitlines(keepends=True)
    path.write_bytes(lines[0] + b"\x1b[2J{broken\n" * 7 + b"".join(lines[1:]))
    result = run("export", path, "--endpoint", receiver.endpoint)
    assert (result.exit_code, len(receiver.spans)) == (0, 5)
    assert result.stderr.count(f"{path}:") == 5
    assert "and 2 more lines could not be read" in result.stderr.replace("otel-phi: 2", "and 2")
    assert "\x1b" not in result.output


@pytest.mark.parametrize("command", ["show", "export"])
@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.write_bytes(b""), "empty"),
        (lambda path: path.write_bytes(b'{"name": "no session"}'), "JSON"),
        (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n\0\0"), "no file of AgentEvents"),
        (lambda path: path.mkdir(), "the folder is empty"),
        (lambda path: (path.mkdir(), (path / "notes.txt").write_text("hello")), "none of the folder's 1 file"),
    ],
)
def test_a_path_that_holds_nothing_is_one_line_and_exit_2(
    run: Run, tmp_path: Path, command: str, make: object, says: str
) -> None:
    path = tmp_path / "given"
    make(path)  # type: ignore[operator]
    result = run(command, path)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert result.stderr.startswith(f"otel-phi: {path}: ")
    assert says in result.stderr


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--endpoint", "localhost:4318"), "write 'http://localhost:4318'"),
        (("--endpoint", "ftp://x"), "write 'http://'"),
        (("--protocol", "http/json"), "use 'http/protobuf' or 'grpc'"),
        (("--timeout", "0"), "use a number of seconds above 0"),
        (("--sample", "2"), "0<=x<=1"),
        (("--trace-url", "http://j/"), "{trace_id}"),
        (("--file", "/nonexistent/x"), "cannot be written"),
        (("--header", "secret"), "write it as KEY=VALUE"),
        (("--profile", "nope"), "jaeger"),
    ],
)
def test_a_flag_that_cannot_be_is_exit_2_with_the_fix(
    run: Run, stream: Path, flags: tuple[str, ...], says: str
) -> None:
    result = run("export", stream, *flags)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr
    assert "secret" not in result.stderr


def test_where_nothing_is_to_leave_it_says_so(run: Run, stream: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    result = run("export", stream)
    assert (result.exit_code, result.stderr) == (0, "otel-phi: OTEL_SDK_DISABLED is true: nothing is sent\n")
