"""Adoption: what dead processes left arrives, once, and no trace keeps an orphan."""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from otel_phi.delivery.journal.outbox import Outbox
from otel_phi.delivery.journal.segment_file import make_segment
from otel_phi.testing import Receiver
from tests.faults.disks import mount
from tests.hook.conftest import Install
from tests.hook.stories import arrived, expected, session
from tests.hook.test_processes import MAIN, adopt, lost_spans, run
from tests.hook.waiting import until
from tests.laws import role

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="record locks and forks are POSIX's")
LOST = MAIN[:-4]


def killed(receiver: Receiver, state: Path, count: int = 1) -> None:
    """Leaves journals of agents that were killed with a loop and a turn open."""
    receiver.answer(times=10_000, status=503)
    for _ in range(count):
        run("sigkill", state=state, endpoint=receiver.endpoint)
    receiver.forget_script()


def folders(state: Path) -> list[Path]:
    return sorted({path.parent for path in state.rglob("*.journal")})


def test_what_a_lost_process_held_open_leaves_as_lost_with_its_own_ids_at_its_last_known_time(
    receiver: Receiver, tmp_path: Path
) -> None:
    killed(receiver, tmp_path)
    adopt(tmp_path, receiver)
    assert arrived(receiver) == lost_spans(LOST)
    lost = {role(span): span for span in receiver.spans if span.get("error.type") == "process_lost"}
    assert set(lost) == {"loop", "turn", "tool"}
    assert lost["loop"].end_ns >= max(span.end_ns for span in receiver.spans)
    assert folders(tmp_path) == []


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize(
    ("theirs", "ours", "same"),
    [
        ({}, {}, True),
        ({"headers": {"x": "1"}}, {"headers": {"x": "1"}}, True),
        ({"headers": {"x": "1"}}, {"headers": {"x": "2"}}, False),
        ({"headers": {"x": "1"}}, {}, False),
        ({"service_name": "one"}, {"service_name": "two"}, True),
        ({"headers": lambda: {"x": "1"}}, {"headers": lambda: {"x": "1"}}, True),
        ({"headers": lambda: {"x": "1"}, "service_name": "one"}, {"headers": lambda: {"x": "1"}, "service_name": "two"}, False),
        ({"destination_name": "a"}, {"destination_name": "b"}, False),
        ({"protocol": "http/protobuf"}, {"protocol": "grpc"}, False),
    ],
    ids=["nothing", "same", "other value", "none", "services", "asked for", "asked for by another", "named", "protocol"],
)  # fmt: skip
def test_who_adopts_goes_to_the_same_place_with_the_same_credentials(
    theirs: dict[str, object], ours: dict[str, object], same: bool, install: Install, receiver: Receiver, tmp_path: Path
) -> None:
    pid = os.fork()
    if not pid:
        try:
            install(insecure=True, endpoint="http://127.0.0.1:9", **theirs)(MAIN[0])
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    hook = install(insecure=True, endpoint="http://127.0.0.1:9", **ours)
    hook.flush(0.5)
    until(lambda: not same or hook.stats().delivery.adopted == 2)
    assert hook.stats().delivery.adopted == (2 if same else 0)


def test_a_damaged_and_a_newer_journal_are_left_alone_and_the_rest_arrives(receiver: Receiver, tmp_path: Path) -> None:
    killed(receiver, tmp_path, 3)
    damaged, newer, _ = folders(tmp_path)
    for path in (*damaged.glob("*.journal"), *damaged.glob("*.reserve")):
        path.write_bytes(b"no journal at all, but long enough to be taken for one" * 2_000)
    (head,) = [folder.head for folder in Outbox(tmp_path).folders() if folder.path == newer]
    assert head is not None
    for path in (*newer.glob("*.journal"), *newer.glob("*.reserve")):
        make_segment(path, msgspec.structs.replace(head, format=9))
    before = {path: path.read_bytes() for path in newer.glob("*.journal")}
    adopt(tmp_path, receiver)
    assert set((lost_spans(LOST) - arrived(receiver)).values()) <= {1}  # the root is one of the others', perhaps
    assert set(arrived(receiver)) <= set(lost_spans(LOST))
    assert {damaged, newer} <= set(folders(tmp_path))
    assert {path: path.read_bytes() for path in newer.glob("*.journal")} == before


def test_damaged_lines_cost_themselves_and_the_rest_of_that_journal_arrives(receiver: Receiver, tmp_path: Path) -> None:
    receiver.answer(times=10_000, status=503)
    run("os_exit", state=tmp_path, endpoint=receiver.endpoint)
    receiver.forget_script()
    (path,) = tmp_path.rglob("*.journal")
    content = path.read_bytes()
    at = content.index(b'"turn_index":1')  # the second turn's start
    path.write_bytes(content[:at] + b"?" + content[at + 1 :])
    adopt(tmp_path, receiver, says="00000001.journal: a line that was changed")
    assert len(receiver.spans) == 8
    assert sum((expected(MAIN) - arrived(receiver)).values()) <= 4, "the second turn begins elsewhere"


def test_a_journal_that_can_only_be_read_keeps_nobody_from_the_others(
    install: Install, receiver: Receiver, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    killed(receiver, state, 2)
    fixed, _ = folders(state)
    if not mount("mount", "--bind", "-o", "ro", fixed, fixed) or not mount("mount", "-o", "remount,bind,ro", fixed):
        pytest.skip("SKIPPED, NOT PASSED: no read-only mount can be made here")
    try:
        hook = install()
        wanted = lost_spans(LOST)
        until(lambda: hook.stats().delivery.acknowledged >= wanted.total() - 1)
        assert sum((wanted - arrived(receiver)).values()) <= 1  # the root may be the other's
    finally:
        assert mount("umount", "-l", fixed)
    assert hook.flush(30.0)
    assert folders(state) == [path for path in folders(state) if path.name.startswith(f"{os.getpid()}-")]


def test_a_lost_loop_ends_no_earlier_than_its_child_that_was_open(receiver: Receiver, tmp_path: Path) -> None:
    receiver.answer(times=10_000, status=503)
    run("sigkill_below", state=tmp_path, endpoint=receiver.endpoint)
    receiver.forget_script()
    adopt(tmp_path, receiver)
    loops = {str(span.get("phi.loop.id")): span for span in receiver.spans if role(span) == "loop"}
    parent, child = (loops[f"{session('main')}.agent.{number}"] for number in (1, 2))
    assert (child.parent_span_id, parent.end_ns >= child.end_ns) == (parent.span_id, True)
    assert Counter(span.get("error.type") for span in loops.values()) == {"process_lost": 2}


def test_what_a_process_killed_after_a_clean_shutdown_left_is_aborted_and_never_lost_too(
    receiver: Receiver, tmp_path: Path
) -> None:
    """It said that it ended: whoever adopts it makes the same of what was open, not another span of the same id."""
    receiver.answer(times=10_000, status=503)
    run("open_loop", state=tmp_path, endpoint=receiver.endpoint)
    receiver.forget_script()
    adopt(tmp_path, receiver)
    assert arrived(receiver) == expected(LOST)
