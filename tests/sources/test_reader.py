"""Lines to events: one bad line costs itself alone, and its report says where and why, never what stood there."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_phi.events import AgentEvent, AgentStart, GenericEvent, MessageUpdate, TurnStart, encode_event
from otel_phi.sources.lines import read_lines
from otel_phi.sources.reader import BadLine, EventReader, read_events
from tests import golden
from tests.streams import end, start, turn

START, TURN, END = (encode_event(event) for event in (start(0), turn(1), end(2)))
DELTA = b'{"type":"MessageUpdate","loop_id":"l","message":{},"delta":{"Text":{"delta":"x"}}}'


def log_line(ordinal: int, event: bytes) -> bytes:
    return b'{"ordinal":%d,"event":%s}' % (ordinal, event)


def read(data: bytes, *, for_spans: bool = False) -> tuple[list[AgentEvent], list[BadLine], dict[str, int]]:
    bad: list[BadLine] = []
    reader = EventReader("file", for_spans=for_spans, on_bad_line=bad.append)
    events = list(reader.read(read_lines(io.BytesIO(data))))
    return events, bad, {key: count for key, count in reader.counts.items() if count}


def kinds(events: list[AgentEvent]) -> list[str]:
    return [type(event).__name__ for event in events]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (START + b"\r\n" + TURN + b"\r\n", "Windows line ends"),
        (b"\xef\xbb\xbf" + START + b"\n" + TURN, "a byte order mark, and no newline at the end"),
        (b"data: " + START + b"\n\ndata:" + TURN + b"\n\n", "server-sent events"),
        (
            b"event: AgentEvent\nid: 4\nretry: 10\n:\n:keep-alive\n: x\ndata: " + START + b"\ndata: " + TURN,
            "all of SSE",
        ),
        (b"\n  \n" + START + b"\n\t" + TURN + b"  \n\n", "blank lines and white space"),
        (log_line(1, START) + b"\n" + log_line(2, TURN) + b"\n", "an event log"),
        (START + b"\n" + log_line(1, TURN) + b"\n", "both in one file"),
        (json.dumps({"ordinal": 1, "event": json.loads(START)}).encode() + b"\n" + TURN, "a spaced log line"),
        (json.dumps({"event": json.loads(START), "ordinal": 1}).encode() + b"\n" + TURN, "a log line's keys reversed"),
        (json.dumps(json.loads(START), sort_keys=True, indent=None).encode() + b"\n" + TURN, "sorted keys, type last"),
    ],
)
def test_an_event_is_known_by_what_it_says(data: bytes, why: str) -> None:
    events, bad, _ = read(data)
    assert (kinds(events), bad) == (["AgentStart", "TurnStart"], []), why


def test_an_event_that_has_the_word_ordinal_in_it_is_still_an_event() -> None:
    line = b'{"type":"ToolExecutionStart","tool_call_id":"ordinal","loop_id":"l","args":{"ordinal":3}}'
    events, bad, _ = read(line)
    assert (kinds(events), bad) == (["ToolExecutionStart"], [])


@pytest.mark.parametrize(
    "line",
    [
        b"plain words",
        b"[1,2]",
        b"42",
        b'{"a":1}',
        b'{"type":5}',
        b'{"type":"AgentStart"}',
        b'{"type":"AgentEnd","loop_id":NaN}',
        b'{"type":"AgentEnd","loop_id":"\xff"}',
        b'{"type":"AgentEnd","loop_id":"l"}}',
        b'{"ordinal":1}',
        b'{"ordinal":1,"event":{"type":"AgentStart","session_id":"s"}}',
        b'{"type":"Deep","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"ordinal":1,"event":{"type":"TurnRequest","loop_id":"l","payload":' + b'{"a":' * 5_000,
        START[:40],
        log_line(1, START)[:60],
    ],
)
def test_a_line_that_is_no_event_costs_itself_alone_and_is_one_bad_line(line: bytes) -> None:
    events, bad, counts = read(START + b"\n" + line + b"\n" + TURN + b"\n")
    assert kinds(events) == ["AgentStart", "TurnStart"]
    assert [(found.line, found.offset, found.length) for found in bad] == [(2, len(START) + 1, len(line))]
    assert counts["bad_lines"] == 1
    assert counts["events"] == 2


def test_a_report_says_where_and_why() -> None:
    _, (bad,), _ = read(START + b'\n{"type":"AgentEnd"}\n')
    assert str(bad) == f"file:2 (byte {len(START) + 1}): Object missing required field `loop_id`"


def test_offsets_of_many_bad_lines_are_true() -> None:
    data = b"".join(b"%s\n" % (b"x" * (n % 7)) if n % 3 else START + b"\n" for n in range(1, 300))
    _, bad, _ = read(data)
    assert all(data[found.offset : found.offset + found.length] == b"x" * found.length for found in bad)
    assert len(bad) == sum(1 for n in range(1, 300) if n % 3 and n % 7)


SECRET = "hunter2-swordfish"


@given(
    where=st.lists(st.integers(0, 9), min_size=1, max_size=4), line=st.sampled_from(golden.demo()), broken=st.booleans()
)
def test_a_report_never_quotes_the_line(where: list[int], line: AgentEvent, broken: bool) -> None:
    found = msgspec.json.decode(encode_event(line))
    target = found
    for number in where[:-1]:
        key = list(target)[number % len(target)]
        if not isinstance(target[key], dict) or not target[key]:
            break
        target = target[key]
    target[list(target)[where[-1] % len(target)]] = SECRET
    data = msgspec.json.encode(found)
    _, bad, _ = read((data[:-1] if broken else data) + b"\n" + log_line(1, data) + b"\n" + SECRET.encode())
    assert SECRET not in str(bad)


# --- half lines --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [1, 5, 12, 20, 60, -1])
@pytest.mark.parametrize("wrap", [lambda event: event, lambda event: log_line(1, event)])
def test_of_a_half_line_and_the_next_one_appended_to_it_the_whole_one_is_read(cut: int, wrap: object) -> None:
    assert callable(wrap)
    half, whole = wrap(TURN)[:cut], wrap(START)
    events, bad, counts = read(half + whole + b"\n" + wrap(END) + b"\n")
    assert kinds(events) == ["AgentStart", "AgentEnd"]
    assert [(found.line, found.offset, found.length) for found in bad] == [(1, 0, len(half))]
    assert counts["bad_lines"] == 1


def test_a_process_that_crashed_three_times_on_one_line_leaves_one_bad_line() -> None:
    events, bad, _ = read(TURN[:30] + END[:20] + log_line(1, TURN)[:40] + START + b"\n")
    assert kinds(events) == ["AgentStart"]
    assert len(bad) == 1


def test_ten_thousand_halves_on_one_line_are_given_up_without_raising() -> None:
    events, bad, _ = read(b'{"type":"AgentEnd",' * 10_000 + b"\n" + START)
    assert kinds(events) == ["AgentStart"]
    assert len(bad) == 1


def test_objects_within_an_event_are_not_taken_for_a_line_appended() -> None:
    args = b'{"type":"ToolExecutionStart","loop_id":"l","args":{"type":"Identifier","name":"x"},"tool_name":7}'
    events, bad, _ = read(args + b"\n")
    assert events == []
    assert len(bad) == 1
    assert "half" not in bad[0].reason


def test_the_last_line_without_a_newline_is_called_half() -> None:
    _, (bad,), _ = read(START + b"\n" + TURN[:20])
    assert bad.reason.startswith("half a line at the end")


# --- ordinals ----------------------------------------------------------------------------------------------------------


def test_ordinals_that_start_again_or_leave_a_gap_are_counted_and_the_events_taken() -> None:
    data = b"\n".join(log_line(number, TURN) for number in (1, 2, 5, 1, 2))
    events, _, counts = read(data)
    assert len(events) == 5
    assert (counts["restarts"], counts["missing"]) == (1, 2)


@pytest.mark.parametrize("for_spans", [False, True])
def test_lines_left_out_for_spans_leave_no_gap_in_the_ordinals(for_spans: bool) -> None:
    data = b"\n".join([log_line(1, START), log_line(2, DELTA), log_line(3, DELTA), log_line(4, TURN)])
    _, _, counts = read(data, for_spans=for_spans)
    assert "missing" not in counts
    assert "restarts" not in counts


def test_a_log_line_whose_event_is_broken_is_no_restart() -> None:
    data = b"\n".join([log_line(1, START), log_line(2, b'{"type":"AgentStart"}'), log_line(3, TURN)])
    assert read(data)[2] == {"events": 2, "bad_lines": 1}


@golden.needed
def test_the_golden_event_logs_have_one_restart_and_no_gap() -> None:
    counts = {}
    for path in sorted((golden.FOLDER / "eventlog" / "logs").glob("*.jsonl")):
        counts[path.name[:8] + path.name[34:36]] = read(path.read_bytes(), for_spans=True)[2]
    assert {name: found.get("restarts", 0) for name, found in counts.items()} == {
        "6f1c5a5201": 1,
        "6f1c5a5202": 0,
        "6f1c5a5203": 0,
        "76676b69fe": 0,
    }
    assert all("missing" not in found and "bad_lines" not in found for found in counts.values())


# --- what no span shows ------------------------------------------------------------------------------------------------


def test_for_spans_what_no_span_shows_is_left_out_undecoded() -> None:
    broken_delta = b'{"type":"MessageUpdate",,,}'
    events, bad, counts = read(b"\n".join([START, DELTA, broken_delta, log_line(1, DELTA)]), for_spans=True)
    assert (kinds(events), bad) == (["AgentStart"], [])
    assert counts["left_out"] == 3


def test_a_line_appended_to_half_a_delta_is_read_for_spans_too() -> None:
    for half in (DELTA[:50], log_line(7, DELTA)[:60]):
        events, bad, _ = read(half + log_line(1, START) + b"\n", for_spans=True)
        assert (kinds(events), len(bad)) == (["AgentStart"], 1)


NOWHERE_LINES = [
    DELTA,
    b'{"type":"MessageUpdate","loop_id":"l"}',
    b'{"type":"MessageUpdate","loop_id":"l","message":{},"delta":{}}',
    b'{"type":"MessageStart","loop_id":"l","message":{"role":"assistant","content":[{"type":"text","text":"{"}]}}',
    b'{"type":"ProgressMessage","loop_id":"l","tool_call_id":"c","tool_name":"t","text":"{\\"type\\":\\"AgentEnd\\"}"}',
    b'{"type":"ToolExecutionUpdate","loop_id":"l","tool_call_id":"c","partial_result":{"t":{"type":1}}}',
]


@pytest.mark.parametrize("wrap", [lambda event: event, lambda event: log_line(1, event)])
@pytest.mark.parametrize("nowhere", NOWHERE_LINES)
def test_whatever_stands_between_lines_left_out_is_read(nowhere: bytes, wrap: object) -> None:
    assert callable(wrap)
    line, found = wrap(nowhere), []
    for shown in (wrap(START), wrap(TURN), wrap(END), TURN, b"rubbish", b"", b'{"a":1}', b"data: " + START):
        cuts = [line[:cut] + shown for cut in range(len(line))]
        for number in range(0, len(cuts), 7):
            data = b"\n".join([line, *cuts[number : number + 7], line, shown, line])
            whole, bad, _ = read(data)
            events, same_bad, _ = read(data, for_spans=True)
            own = nowhere.split(b'"')[3].decode()
            kept = [kind for kind in kinds(whole) if kind != own]
            assert [kind for kind in kinds(events) if kind != own] == kept
            found += kept
            assert set(same_bad) <= set(bad)
    assert {"AgentStart", "TurnStart", "AgentEnd"} <= set(found)


def test_without_that_switch_deltas_are_events() -> None:
    assert isinstance(read(DELTA)[0][0], MessageUpdate)


# --- whole files -------------------------------------------------------------------------------------------------------


def test_read_events_reads_plain_and_gzipped_files_alike(tmp_path: Path) -> None:
    plain, zipped = tmp_path / "a.txt", tmp_path / "b.txt"
    plain.write_bytes(golden.DEMO.read_bytes())
    zipped.write_bytes(gzip.compress(golden.DEMO.read_bytes()))
    assert list(read_events(plain)) == list(read_events(str(zipped))) == golden.demo()


def test_an_event_of_an_unknown_type_is_kept_whole() -> None:
    line = b'{"type":"Dreamt","loop_id":"l","timestamp":"2026-01-01T00:00:00Z","of":["sheep"]}'
    (event,) = read(line)[0]
    assert isinstance(event, GenericEvent)
    assert (event.type, event.loop_id, bytes(event.raw)) == ("Dreamt", "l", line)


@given(data=st.binary(), starts=st.booleans())
def test_reading_never_raises_whatever_the_bytes(data: bytes, starts: bool) -> None:
    events, _, _ = read((START + b"\n" if starts else b"") + data + b"\n" + TURN)
    assert isinstance(events[-1], TurnStart)
    if starts:
        assert isinstance(events[0], AgentStart)
