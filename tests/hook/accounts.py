"""Accounts audited: when a hook is shut down, what it counts as waiting is what lies in its folder, and nothing else does.

Counts alone add up even where a span is nowhere. Here they are compared with what another process would find and send.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from otel_phi.delivery.journal import filelock
from otel_phi.delivery.journal.facts import Called, End, Snapshot
from otel_phi.delivery.journal.journal import Journal
from otel_phi.delivery.journal.outbox import Found, Outbox
from otel_phi.delivery.journal.process_folder import LOCK
from otel_phi.delivery.sending.stats import LiveStats
from otel_phi.hook import HookStats
from otel_phi.mapping.options import MappingOptions
from otel_phi.pipeline import Pipeline
from otel_phi.recorder.core import RecorderCore
from otel_phi.testing import Receiver
from otel_phi.wire.events import KnownEvent

EVENTS = KnownEvent.__args__


def audit(state: Path, stats: Sequence[HookStats], arrived: int) -> str:
    """Returns what is wrong with the counts of this process, whose hooks were shut down; "" if nothing is."""
    left = []
    for folder in Outbox(state).folders():
        if folder.pid != os.getpid():
            continue
        lock = filelock.acquire(folder.path / LOCK)
        if lock is None:
            return ""  # it is not closed yet: something hangs, as the test wants it
        if folder.head is not None and folder.segments:
            left.append(spans_left(Found(folder.path, folder.head, lock)))
    queued = sum(each.delivery.queued for each in stats)
    if not queued + sum(each.waiting for each in stats):
        return f"nothing waits, and {left} spans lie there" if any(left) else ""
    # What was settled of a request that was not settled whole lies there too: it is sent again, the same.
    own = queued - sum(each.delivery.adopted for each in stats)
    if sum(left) >= own or (not left and arrived >= own):  # or another process has sent them meanwhile
        return ""
    return f"{own} spans wait, and {left} lie there"


def spans_left(found: Found) -> int:
    """Returns how many spans whoever adopts a journal would send."""
    journal = Journal.adopt(found)
    try:
        mark = min(journal.acknowledged)
        pipeline = Pipeline(msgspec.json.decode(found.head.mapping, type=MappingOptions), sample=found.head.sample)
        if journal.restored is not None:
            pipeline.core = RecorderCore.restore(journal.restored)
        count = 0
        while entries := read(journal, pipeline):
            for entry in entries:
                spans = []
                match entry.fact:
                    case Called(event=event, caller=caller):
                        notices = pipeline.core.on_event(event, caller)
                        spans = [span for notice in notices for span in pipeline.spans(notice)]
                    case End():
                        spans = pipeline.finish()
                    case Snapshot(state=state):
                        pipeline.core = RecorderCore.restore(state)
                    case event if isinstance(event, EVENTS):
                        spans = pipeline.feed(event)
                count += len(spans) if entry.position > mark else 0
        return count + len(pipeline.finish(lost=True))
    finally:
        journal.close(delete=False)


def read(journal: Journal, pipeline: Pipeline) -> list:  # type: ignore[type-arg]
    found = journal.read()
    if journal.wants_snapshot:
        journal.snapshot(pipeline.core.snapshot())
        found = journal.read()
    return found


def assert_arrived(receiver: Receiver, stats: list[LiveStats]) -> None:
    """Asserts that a collector got at least as many spans as deliveries to it alone count as acknowledged."""
    assert len(receiver.spans) >= sum(each.acknowledged for each in stats)
