"""Adoption: what dead processes left arrives, once; what lives, and what is for somebody else, is left alone."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from otel_phi.delivery.journal.outbox import Outbox
from otel_phi.pipeline import Pipeline
from otel_phi.testing import Answer, Receiver
from tests.hook.children import alive, closed, fork, hooked, journals, lost, run, wait_for
from tests.hook.conftest import Install
from tests.hook.stories import OPTIONS, arrived, as_count, expected, loop_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks and record locks are POSIX's")
STORY = loop_of("main")


def adopt(endpoint: str, state: Path, **options: Any) -> Callable[[], None]:
    """Returns what a process does that sends what others left, and nothing of its own."""

    def adopter() -> None:
        hook = hooked(endpoint, state, **options)
        assert hook.flush(60.0)
        assert hook.stats().balanced()
        assert hook.shutdown(20.0)

    return adopter


def test_two_processes_that_adopt_at_once_send_everything_once(receiver: Receiver, tmp_path: Path) -> None:
    names = [f"lost {number}" for number in range(6)]
    for name in names:
        lost(receiver.endpoint, tmp_path, loop_of(name))
    wait_for(*(fork(adopt(receiver.endpoint, tmp_path)) for _ in range(2)))
    assert arrived(receiver) == expected(*map(loop_of, names))
    assert journals(tmp_path) == []


class Watching(Receiver):
    """A collector in the same process as the hook, which notes how many files that has open with each request."""

    def __init__(self) -> None:
        self.open_files = [0]
        super().__init__()

    def take(self, path: str, headers: Mapping[str, str], body: bytes, connection: str) -> Answer:
        self.open_files.append(len(os.listdir("/proc/self/fd")))  # noqa: PTH208  # names alone, and no more files for it
        return super().take(path, headers, body, connection)


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors are counted in /proc")
def test_hundreds_of_dead_processes_cost_few_descriptors_at_once_and_all_are_sent(
    install: Install, tmp_path: Path
) -> None:
    with Watching() as receiver:
        state = tmp_path / "state"
        lost(receiver.endpoint, state, STORY)
        (folder,) = {path.parent for path in journals(state)}
        for number in range(99):
            shutil.copytree(folder, folder.with_name(f"{900_000 + number}-feedbeef{number:08x}"))
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # as above
        hook = install(endpoint=receiver.endpoint)
        assert hook.flush(60.0)
        whole = expected(STORY)
        assert hook.stats().delivery.adopted == 100 * (whole.total() - 1) + 1  # one session has one root
        assert set(arrived(receiver)) == set(whole)
        assert max(receiver.open_files) <= before + 8 * 3 + 24, "three of each of eight, and this process's own"
        assert journals(state) == [path for path in journals(state) if f"{os.getpid()}-" in path.parent.name]


def test_a_living_process_is_left_alone(receiver: Receiver, tmp_path: Path) -> None:
    receiver.answer(times=10_000, status=503)
    with alive(lambda: hooked(receiver.endpoint, tmp_path, STORY)):
        receiver.wait_for_requests(1, 60.0)
        run(adopt(receiver.endpoint, tmp_path))
        assert receiver.spans == ()
        assert len(journals(tmp_path)) == 1


def test_what_is_for_another_destination_is_left_alone(receiver: Receiver, tmp_path: Path) -> None:
    with Receiver() as other:
        lost(other.endpoint, tmp_path, STORY)
        run(adopt(receiver.endpoint, tmp_path))
        assert (receiver.spans, other.spans) == ((), ())
        run(adopt(other.endpoint, tmp_path))
        assert arrived(other) == expected(STORY)


HARMS = {"damaged": (b'{"type":"Head"', b'{"type":"Haed"'), "newer": (b"otel-phi journal 1", b"otel-phi journal 9")}


def test_what_nobody_here_can_read_is_left_alone_and_the_rest_arrives(receiver: Receiver, tmp_path: Path) -> None:
    for name in ("damaged", "newer", "whole"):
        before = set(tmp_path.rglob("*.*"))
        lost(receiver.endpoint, tmp_path, loop_of(name))
        for path in set(tmp_path.rglob("*.*")) - before:
            if name in HARMS and path.suffix in (".journal", ".reserve"):
                path.write_bytes(path.read_bytes().replace(*HARMS[name]).replace(*HARMS["damaged"]))
    run(adopt(receiver.endpoint, tmp_path))
    assert arrived(receiver) == expected(loop_of("whole"))
    problems = [folder.problem for folder in Outbox(tmp_path).folders()]
    assert sorted(problems) == ["format 9 is not ours (1)", "its head is damaged"]


def test_a_forked_child_leaves_its_dead_parent_s_journal_to_others(receiver: Receiver, tmp_path: Path) -> None:
    """Its locks seem its own to the child: of what the parent holds it must not take anything for its to send."""
    receiver.answer(times=10_000, status=503)
    lives, dies = os.pipe()

    def parent() -> None:
        hook = hooked(receiver.endpoint, tmp_path, loop_of("parent"))
        family = os.getpid()

        def child() -> None:
            os.close(lives)
            while os.getppid() == family:
                time.sleep(0.005)
            for event in loop_of("child"):
                hook(event)
            os.write(dies, b"recorded")
            while hook.stats().delivery.acknowledged < 8:
                time.sleep(0.005)
            assert hook.flush(60.0)
            assert hook.stats().delivery.adopted == 0
            assert hook.shutdown(20.0)
            os.write(dies, b"sent")

        fork(child)

    run(parent)
    os.close(dies)
    assert os.read(lives, 8) == b"recorded"
    receiver.forget_script()
    assert os.read(lives, 8) == b"sent"
    assert os.read(lives, 1) == b""
    os.close(lives)
    assert arrived(receiver) == expected(loop_of("child"))
    run(adopt(receiver.endpoint, tmp_path))
    assert arrived(receiver) == expected(loop_of("child"), loop_of("parent"))


def test_the_next_hook_of_the_same_process_sends_what_the_one_before_could_not(
    install: Install, receiver: Receiver, tmp_path: Path
) -> None:
    receiver.answer(times=10_000, status=503, headers={"Retry-After": "3600"})
    first = install()
    for event in STORY:
        first(event)
    assert not first.shutdown(0.5)
    closed(tmp_path / "state")
    receiver.forget_script()
    second = install()
    assert second.flush(60.0)
    assert second.stats().delivery.adopted == expected(STORY).total()
    assert arrived(receiver) == expected(STORY)


# --- whose they are --------------------------------------------------------------------------------------------------------


def asked() -> Mapping[str, str]:
    return {"authorization": "Bearer of this tenant"}


@pytest.mark.parametrize(
    ("left_by", "left_alone_by", "sent_by"),
    [
        ({"headers": {"x-api-key": "a"}}, {"headers": {"x-api-key": "b"}}, {"headers": {"X-API-Key": "a"}}),
        ({"headers": {"x-api-key": "a"}}, {}, {"headers": {"x-api-key": "a"}}),
        ({}, {"headers": {"x-api-key": "a"}}, {}),
        ({"headers": asked}, {"headers": asked, "service_name": "another"}, {"headers": asked}),
        ({"headers": asked, "destination_name": "n"}, {"headers": asked}, {"headers": asked, "destination_name": "n"}),
    ],
    ids=["other headers", "none", "some", "asked for, of another service", "asked for, by name"],
)
def test_what_was_meant_for_other_credentials_is_left_alone(
    left_by: dict[str, Any], left_alone_by: dict[str, Any], sent_by: dict[str, Any], receiver: Receiver, tmp_path: Path
) -> None:
    lost(receiver.endpoint, tmp_path, STORY, **left_by)
    run(adopt(receiver.endpoint, tmp_path, **left_alone_by))
    assert receiver.spans == ()
    run(adopt(receiver.endpoint, tmp_path, **sent_by))
    assert arrived(receiver) == expected(STORY)


def test_what_was_open_leaves_once_as_lost(receiver: Receiver, tmp_path: Path) -> None:
    lost(receiver.endpoint, tmp_path, STORY[:-4])
    for _ in range(2):
        run(adopt(receiver.endpoint, tmp_path))
    pipeline = Pipeline(OPTIONS)
    whole = [*(span for event in STORY[:-4] for span in pipeline.feed(event)), *pipeline.finish(lost=True)]
    assert arrived(receiver) == as_count(whole)
