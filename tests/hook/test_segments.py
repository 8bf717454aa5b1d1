"""Many small segments come and go under a hook, and lose nothing."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from otel_phi.delivery.journal.journal import Journal
from otel_phi.testing import Receiver
from tests.hook.conftest import Install
from tests.hook.stories import arrived, expected, loop_of
from tests.hook.waiting import until


def test_segments_come_and_go_and_lose_nothing(
    install: Install, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With small ones, rolled as soon as they are full, and a loop that is open across all of them."""
    monkeypatch.setattr(
        "otel_phi.hook.housekeeping.Journal.create", functools.partial(Journal.create, segment_bytes=20_000)
    )
    monkeypatch.setattr("otel_phi.hook.housekeeping.SYNC_S", 0.0)
    hook = install()
    long = loop_of("long", turns=200)
    seen: set[str] = set()
    for at in range(0, len(long), 50):
        for event in long[at : at + 50]:
            hook(event)
        for event in loop_of(f"beside {at}"):
            hook(event)
        until(lambda: hook.stats().waiting == 0)
        seen |= {path.name for path in tmp_path.rglob("*.journal")}
    assert hook.flush(30.0)
    assert arrived(receiver) == expected(long, *(loop_of(f"beside {at}") for at in range(0, len(long), 50)))
    assert len(seen) > 3
    assert len(list(tmp_path.rglob("*.journal"))) <= 2
