"""Files and folders as one stream: what is found, what is held back, and that no order of files matters."""

from __future__ import annotations

import gzip
import itertools
import os
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from otel_phi.events import AgentEvent, AgentStart, ParallelLoopEnd, ParallelLoopStart, encode_event
from otel_phi.mapping import semconv as s
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import Span
from otel_phi.pipeline import spans
from otel_phi.recorder.references import ahead_of
from otel_phi.sources.kinds import Kind, kind_of
from otel_phi.sources.reader import BadLine
from otel_phi.sources.stored import NothingHere, Stored
from tests import golden
from tests.laws import as_bytes, role
from tests.streams import LOOP, OTHER, SESSION, at, end, start, turn, whole_loop, whole_turn

SCOPES = [MappingOptions(), MappingOptions(trace_scope="loop")]
SCOPE_NAMES = [options.trace_scope for options in SCOPES]


def write(path: Path, events: Iterable[AgentEvent], *, log: bool = True, age_s: float = 3_600) -> Path:
    lines = [encode_event(event) for event in events]
    if log:
        lines = [b'{"ordinal":%d,"event":%s}' % (number, line) for number, line in enumerate(lines, 1)]
    path.write_bytes(b"\n".join(lines) + b"\n")
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def stored_spans(*paths: Path, options: MappingOptions | None = None, final: bool = False) -> list[Span]:
    stored = Stored(paths, final=final)
    return list(spans(stored.events(), options, ahead=ahead_of(stored.starts)))


def by_identity(found: Iterable[Span]) -> list[Span]:
    """Returns spans in an order that does not tell how the streams were woven."""
    return sorted(found, key=lambda span: (span.trace_id, span.span_id))


# --- what is found -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file or folder"),
        (b"", "the file is empty"),
        (b'{"name":"package"}', "this is JSON, but no AgentEvents"),
        (b"words\n", "this is no file of AgentEvents"),
        (b"\x1f\x8bdamaged", "this is no file of AgentEvents"),
    ],
)
def test_a_path_that_holds_nothing_of_ours_is_said_in_one_clear_line(
    content: bytes | None, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "given.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(NothingHere) as caught:
        Stored([path])
    assert str(caught.value).startswith(f"{path}: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_without_sessions_is_said_with_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(NothingHere, match="the folder is empty"):
        Stored([tmp_path])
    (tmp_path / "notes.txt").write_text("words")
    (tmp_path / "package.json").write_text("{}")
    with pytest.raises(NothingHere, match="none of the folder's 2 files holds AgentEvents"):
        Stored([tmp_path])


def test_a_folder_is_searched_whole_and_what_is_not_ours_is_told_apart(tmp_path: Path) -> None:
    inner = tmp_path / "deep" / "er"
    inner.mkdir(parents=True)
    log = write(inner / "a.events.jsonl", whole_loop(0))
    (tmp_path / "notes.txt").write_text("words")
    (tmp_path / ".hidden.jsonl").write_bytes(log.read_bytes())
    (tmp_path / "s.json.lock").write_bytes(log.read_bytes())
    stored = Stored([tmp_path])
    assert stored.files == (log,)
    assert stored.ignored == [tmp_path / "notes.txt"]


def test_a_file_given_twice_and_within_its_folder_is_read_once(tmp_path: Path) -> None:
    log = write(tmp_path / "a.jsonl", whole_loop(0))
    assert len(list(Stored([tmp_path, log, log]).events())) == len(whole_loop(0))


def test_one_broken_session_file_in_a_folder_costs_itself_alone_and_is_reported(tmp_path: Path) -> None:
    log = write(tmp_path / "a.jsonl", whole_loop(0))
    broken = tmp_path / "b.json"
    broken.write_text('{"session_id": "s", "agent_id": "a", "loops": [')
    bad: list[BadLine] = []
    stored = Stored([tmp_path], on_bad_line=bad.append)
    assert stored.files == (log,)
    assert len(list(stored.events())) == len(whole_loop(0))
    assert [found.source for found in bad] == [str(broken)]
    assert stored.counts["bad_lines"] == 1
    with pytest.raises(NothingHere, match="a saved session that cannot be read"):
        Stored([broken])


def test_bad_lines_are_reported_once_though_the_file_is_read_twice(tmp_path: Path) -> None:
    log = write(tmp_path / "a.jsonl", whole_loop(0))
    with log.open("ab") as stream:
        stream.write(b'{"type":"AgentStart"}\n')
    bad: list[BadLine] = []
    stored = Stored([log], on_bad_line=bad.append)
    list(stored.events())
    assert len(bad) == 1
    assert stored.counts["bad_lines"] == 1


def test_progress_ends_at_the_size_of_all_files(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", whole_loop(0))
    zipped = tmp_path / "b.gz"
    zipped.write_bytes(gzip.compress(write(tmp_path / "x", whole_loop(50, f"{SESSION}.mock.2")).read_bytes()))
    (tmp_path / "x").unlink()
    stored = Stored([tmp_path])
    list(stored.events())
    assert stored.read_bytes == stored.size_bytes > 0


# --- what is still at work -----------------------------------------------------------------------------------------------

UNFINISHED: list[AgentEvent] = [*whole_loop(0), start(20, f"{SESSION}.mock.2"), *whole_turn(21, 0, f"{SESSION}.mock.2")]


def test_a_loop_open_at_the_end_of_a_fresh_file_is_held_back_whole(tmp_path: Path) -> None:
    log = write(tmp_path / "a.jsonl", UNFINISHED, age_s=5)
    assert Stored([log]).held_loops == 1
    assert as_bytes(stored_spans(log)) == as_bytes(spans(whole_loop(0)))


@pytest.mark.parametrize(("age_s", "final"), [(5, True), (601, False)])
def test_an_old_file_or_final_lets_open_loops_leave_as_aborted(age_s: float, final: bool, tmp_path: Path) -> None:
    log = write(tmp_path / "a.jsonl", UNFINISHED, age_s=age_s)
    assert Stored([log], final=final).held_loops == 0
    found = stored_spans(log, final=final)
    assert [span.get(s.LOOP_STATUS) for span in found if role(span) == "loop"] == ["completed", "aborted"]


def test_of_a_repeated_loop_id_only_the_open_occurrence_is_held_back(tmp_path: Path) -> None:
    log = write(tmp_path / "a.jsonl", [*whole_loop(0), start(50), *whole_turn(51)], age_s=5)
    assert as_bytes(stored_spans(log)) == as_bytes(spans(whole_loop(0)))


def test_a_group_with_a_branch_at_work_is_held_back_too(tmp_path: Path) -> None:
    one, two = f"{SESSION}.a.1", f"{SESSION}.b.2"
    story: list[AgentEvent] = [
        ParallelLoopStart(session_id=SESSION, loop_ids=(one, two), timestamp=at(0)),
        *whole_loop(1, one),
        start(1, two),
        ParallelLoopEnd(session_id=SESSION, selected_loop_id=one, timestamp=at(30)),
    ]
    log = write(tmp_path / "a.jsonl", story, log=False, age_s=5)
    assert {role(span) for span in stored_spans(log)} == {"root", "loop", "turn", "chat"}
    assert "group" in {role(span) for span in stored_spans(log, final=True)}


def test_half_a_line_at_the_end_of_a_fresh_file_is_waited_for_and_no_bad_line(tmp_path: Path) -> None:
    log = write(tmp_path / "a.jsonl", UNFINISHED, age_s=5)
    with log.open("ab") as stream:
        stream.write(b'{"ordinal":10,"ev')
    bad: list[BadLine] = []
    stored = Stored([log], on_bad_line=bad.append)
    assert len(list(stored.events())) == len(whole_loop(0))
    assert bad == []
    old = Stored([log], on_bad_line=bad.append, final=True)
    list(old.events())
    assert [found.reason[:22] for found in bad] == ["half a line at the end"]


def test_a_whole_last_line_without_a_newline_is_read_from_a_fresh_file_too(tmp_path: Path) -> None:
    log = write(tmp_path / "a.jsonl", whole_loop(0), age_s=5)
    log.write_bytes(log.read_bytes().removesuffix(b"\n"))
    assert Stored([log]).held_loops == 0
    assert as_bytes(stored_spans(log)) == as_bytes(spans(whole_loop(0)))


def test_an_unreadable_file_in_a_folder_costs_itself_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, locked = write(tmp_path / "a.jsonl", whole_loop(0)), write(tmp_path / "b.jsonl", whole_loop(50))

    def refusing(path: Path) -> Kind:
        if path == locked:
            raise PermissionError(13, "Permission denied")
        return kind_of(path)

    monkeypatch.setattr("otel_phi.sources.found.kind_of", refusing)  # as root, who runs CI, reads everything
    bad: list[BadLine] = []
    stored = Stored([tmp_path], on_bad_line=bad.append)
    assert (stored.files, stored.ignored) == ((log,), [locked])
    assert [found.reason for found in bad] == ["cannot be read: Permission denied"]
    with pytest.raises(NothingHere, match="Permission denied"):
        Stored([locked])


def test_what_is_written_after_the_first_pass_waits_for_the_next_time(tmp_path: Path) -> None:
    log = write(tmp_path / "a.jsonl", whole_loop(0), age_s=5)
    stored = Stored([log])
    with log.open("ab") as stream:
        stream.write(b'{"ordinal":9,"event":%s}\n' % encode_event(start(50, f"{SESSION}.mock.2")))
    found = list(spans(stored.events(), ahead=ahead_of(stored.starts)))
    assert as_bytes(found) == as_bytes(spans(whole_loop(0)))


# --- one stream ----------------------------------------------------------------------------------------------------------


def test_events_of_many_files_come_in_order_of_time_each_files_own_order_kept(tmp_path: Path) -> None:
    one, two = whole_loop(0), whole_loop(3, f"{OTHER}.x.1", session=OTHER)
    write(tmp_path / "b.jsonl", one)
    write(tmp_path / "a.jsonl", two)
    found = list(Stored([tmp_path]).events())
    assert [event for event in found if event.loop_id == LOOP] == one  # type: ignore[union-attr]
    times = [stamp for event in found if (stamp := getattr(event, "timestamp", None)) is not None]
    assert times == sorted(times)


def test_at_one_instant_a_spawning_file_comes_before_the_spawned_one(tmp_path: Path) -> None:
    child = f"{OTHER}.sub.1"
    write(tmp_path / "z.jsonl", [start(0), end(9)])
    write(tmp_path / "a.jsonl", [start(0, child, session=OTHER, parent_loop_id=LOOP), end(9, child)])
    starts = [event.loop_id for event in Stored([tmp_path]).events() if isinstance(event, AgentStart)]
    assert starts == [LOOP, child]


@pytest.mark.parametrize("options", SCOPES, ids=SCOPE_NAMES)
def test_the_demo_logs_give_the_demo_streams_bytes_less_the_group(options: MappingOptions) -> None:
    channel = [span for span in spans(golden.demo(), options) if role(span) != "group"]
    logs = stored_spans(golden.DEMO_LOGS, options=options, final=True)
    assert as_bytes(by_identity(logs)) == as_bytes(by_identity(channel))


def _renamed(folder: Path, target: Path) -> Iterable[Path]:
    """Yields folders in which the same files carry names in every order."""
    files = sorted(folder.glob("*.jsonl"))
    for number, order in enumerate(itertools.permutations(range(len(files)))):
        renamed = target / str(number)
        renamed.mkdir()
        for file, place in zip(files, order, strict=True):
            (renamed / f"{place}.jsonl").write_bytes(file.read_bytes())
        yield renamed


@pytest.mark.parametrize("options", SCOPES, ids=SCOPE_NAMES)
def test_renaming_the_demo_logs_changes_no_byte(options: MappingOptions, tmp_path: Path) -> None:
    found = {
        as_bytes(stored_spans(folder, options=options, final=True)) for folder in _renamed(golden.DEMO_LOGS, tmp_path)
    }
    assert len(found) == 1


@golden.needed
@pytest.mark.parametrize("options", SCOPES, ids=SCOPE_NAMES)
def test_renaming_the_golden_logs_changes_no_byte(options: MappingOptions, tmp_path: Path) -> None:
    logs = golden.FOLDER / "eventlog" / "logs"
    found = {as_bytes(stored_spans(folder, options=options, final=True)) for folder in _renamed(logs, tmp_path)}
    assert len(found) == 1


@golden.needed
@pytest.mark.parametrize("options", SCOPES, ids=SCOPE_NAMES)
def test_the_golden_logs_give_the_channels_bytes_less_the_group_and_what_it_never_showed(
    options: MappingOptions,
) -> None:
    """The golden channel has no events of the hand-written sub-agent: its session stands in the logs alone."""
    folder = golden.FOLDER / "eventlog"
    channel = list(spans(golden.lines_to_events((folder / "channel.events.jsonl").read_bytes()), options))
    shown = {span.get(s.SESSION_ID) for span in channel}
    logs = [
        span for span in stored_spans(folder / "logs", options=options, final=True) if span.get(s.SESSION_ID) in shown
    ]
    if options.trace_scope == "loop":  # there a link needs the child's start, which the channel never showed
        logs = [_unlinked(span) for span in logs]
        channel = [_unlinked(span) for span in channel]
    groupless = [span for span in channel if role(span) != "group"]
    assert as_bytes(by_identity(logs)) == as_bytes(by_identity(groupless))


def _unlinked(span: Span) -> Span:
    kept = tuple(link for link in span.links if dict(link.attributes).get(s.LINK_KIND) != "spawned")
    return msgspec.structs.replace(span, links=kept)


@golden.needed
@pytest.mark.parametrize("options", SCOPES, ids=SCOPE_NAMES)
def test_in_the_golden_logs_parent_and_spawned_session_link_to_each_other(options: MappingOptions) -> None:
    found = stored_spans(golden.FOLDER / "eventlog" / "logs", options=options, final=True)
    spawned_by = [link for span in found for link in span.links if dict(link.attributes)[s.LINK_KIND] == "spawned_by"]
    places = {(span.trace_id, span.span_id): span for span in found}
    for link in spawned_by:
        assert role(places[link.trace_id, link.span_id]) == ("root" if options.trace_scope == "session" else "loop")
    tools = [
        span for span in found if span.get(s.CHILD_LOOP) and any((k.trace_id, k.span_id) in places for k in span.links)
    ]
    assert [span.get(s.TOOL_NAME) for span in tools] == ["researcher"]
    assert len(spawned_by) == 1


def test_turns_of_a_session_in_two_files_stay_one_session(tmp_path: Path) -> None:
    write(tmp_path / "b.jsonl", whole_loop(0))
    write(tmp_path / "a.jsonl", whole_loop(100, f"{SESSION}.mock.2"))
    found = stored_spans(tmp_path)
    assert [role(span) for span in found].count("root") == 1
    assert found[0].start_ns == at(0)


def test_a_session_spelled_in_two_ways_is_one_session_whatever_the_order_of_its_files(tmp_path: Path) -> None:
    two, three = f"{SESSION}.mock.2", f"{SESSION}.mock.3"
    second = [
        *whole_loop(100, two, session=SESSION.upper(), parent_loop_id=LOOP),
        *whole_loop(200, three, session=SESSION.upper(), parent_loop_id=two),
    ]
    results = set()
    for names in ("ab", "ba"):
        folder = tmp_path / names
        folder.mkdir()
        write(folder / f"{names[0]}.jsonl", whole_loop(0))
        write(folder / f"{names[1]}.jsonl", second)
        results.add(as_bytes(stored_spans(folder)))
    assert results == {as_bytes(spans([*whole_loop(0), *second]))}


def test_a_turn_that_no_start_opened_is_read_without_raising(tmp_path: Path) -> None:
    assert stored_spans(write(tmp_path / "a.jsonl", [turn(1), *whole_turn(2)])) == []


def _one_log_a_session(events: list[AgentEvent], folder: Path, *, reverse: bool) -> list[AgentEvent]:
    """Writes the events as phi-core's event logs would hold them; returns those they hold."""
    home: dict[str, str] = {}
    logs: dict[str, list[AgentEvent]] = {}
    held = []
    for event in events:
        if isinstance(event, AgentStart):
            home[event.loop_id] = event.session_id
        session = home.get(getattr(event, "loop_id", None) or "")
        if session is not None:
            logs.setdefault(session, []).append(event)
            held.append(event)
    for number, log in enumerate(logs.values()):
        write(folder / f"{len(logs) - number if reverse else number:04}.jsonl", log)
    return held


@golden.needed
@pytest.mark.parametrize("name", ["recorder_cases", "recorder_wild"])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_random_stream_split_into_logs_gives_its_own_bytes_whatever_the_names(
    name: str, reverse: bool, tmp_path: Path
) -> None:
    """Promised where AgentStarts strictly increase; else a stream read ahead knows better than one that is live."""
    compared = 0
    for case, events in golden.random_streams(name):
        starts = [event.timestamp for event in events if isinstance(event, AgentStart)]
        if not starts or any(one >= two for one, two in itertools.pairwise(starts)):
            continue
        folder = tmp_path / case
        folder.mkdir()
        held = _one_log_a_session(events, folder, reverse=reverse)
        options = SCOPES[compared % 2]
        logs = stored_spans(folder, options=options, final=True)
        assert as_bytes(by_identity(logs)) == as_bytes(by_identity(spans(held, options))), case
        compared += 1
    assert compared > 60
