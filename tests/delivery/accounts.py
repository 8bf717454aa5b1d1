"""Accounts audited: what a hook that was shut down counts as waiting lies in the outbox, and nothing lies there that it does not.

Counters alone add up even where a span is nowhere. Here they are compared with the files, and with what a collector has got.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import otel_phi
from otel_phi.delivery.journal.outbox import Outbox, parse_name
from otel_phi.delivery.sending.stats import LiveStats
from otel_phi.testing import Receiver
from tests.hook.waiting import PATIENCE_S


def assert_in_order(hooks: Iterable[otel_phi.Hook], arrived: int = 0) -> None:
    """Asserts that the accounts of hooks that were shut down balance, and that what they say waits is what this process left.

    Args:
        hooks: of this process.
        arrived: spans that a collector got: what waits and is not of this process lies elsewhere, or another one has sent it.
    """
    by_folder: defaultdict[Path | None, list[otel_phi.HookStats]] = defaultdict(list)
    for hook in hooks:
        end = time.monotonic() + PATIENCE_S  # a shutdown that was short of time goes on a while
        while (stats := hook.stats()).open_loops and not stats.waiting and time.monotonic() < end:
            time.sleep(0.01)
        assert stats.balanced(), stats
        assert stats.open_loops == 0 or stats.waiting, stats  # nothing stays open of what was read to its end
        by_folder[hook.config.state_dir].append(stats)
    for folder, several in by_folder.items():
        if folder is not None:
            queued = sum(each.delivery.queued for each in several)
            elsewhere = queued > 0 and arrived >= queued - sum(each.delivery.adopted for each in several)
            end = time.monotonic() + PATIENCE_S
            while (found := fault(folder, several)) and not elsewhere and time.monotonic() < end:
                time.sleep(0.01)
            assert found == "" or elsewhere, (several, arrived)


def fault(state: Path, several: Iterable[otel_phi.HookStats]) -> str:
    """Returns what is wrong with the counts of this process's hooks, all of them shut down, "" if they are right."""
    waiting = 0
    for one in several:  # each adopts what those before it left, if it comes to send anything
        waiting = waiting if not one.delivery.adopted else 0
        waiting += 0 if one.delivery.in_memory or one.off else one.waiting + one.delivery.queued
    left = sum(
        len(one.segments) for one in Outbox(state).folders() if (name := parse_name(one.path.name)) and name.is_own
    )
    if bool(waiting) == bool(left):
        return ""
    return f"{waiting} facts and spans are counted as waiting, and this process left {left} segments"


def assert_arrived(receiver: Receiver, stats: Iterable[LiveStats]) -> None:
    """Asserts that a collector got at least as many spans as deliveries to it alone count as acknowledged."""
    assert len(receiver.spans) >= sum(each.acknowledged for each in stats)
