"""Accounts audited: what a hook that was shut down counts as waiting lies in the outbox, and nothing lies there that it does not.

Counters alone add up even where a span is nowhere. Here they are compared with the files, and with what a collector has got.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import otel_phi
from otel_phi.delivery.journal.outbox import Outbox
from otel_phi.delivery.sending.stats import LiveStats
from otel_phi.testing import Receiver


def assert_in_order(hooks: Iterable[otel_phi.Hook]) -> None:
    """Asserts that the accounts of hooks that were shut down balance, and that what they say waits is what this process left."""
    by_folder: defaultdict[Path | None, list[otel_phi.HookStats]] = defaultdict(list)
    for hook in hooks:
        stats = hook.stats()
        assert stats.balanced(), stats
        assert stats.open_loops == 0 or stats.waiting, stats  # nothing stays open of what was read to its end
        by_folder[hook.config.state_dir].append(stats)
    for folder, several in by_folder.items():
        if folder is not None:
            assert fault(folder, several) == ""


def fault(state: Path, several: Iterable[otel_phi.HookStats]) -> str:
    """Returns what is wrong with the counts of this process's hooks, all of them shut down, "" if they are right."""
    waiting = sum(one.waiting + one.delivery.queued for one in several if not (one.delivery.in_memory or one.off))
    left = sum(len(folder.segments) for folder in Outbox(state).folders() if folder.own)
    if bool(waiting) == bool(left):
        return ""
    return f"{waiting} facts and spans are counted as waiting, and this process left {left} segments"


def assert_arrived(receiver: Receiver, stats: Iterable[LiveStats]) -> None:
    """Asserts that a collector got at least as many spans as deliveries to it alone count as acknowledged."""
    assert len(receiver.spans) >= sum(each.acknowledged for each in stats)
