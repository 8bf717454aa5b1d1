"""What wakes the watch: the operating system's word of changed files, and a look at everything now and then.

Rule 1: notification is a convenience: disks of a network, full queues and limits lose it. All files are looked at every ten
        seconds; where there is no notification at all, every second.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from otel_phi.clock import monotonic
from otel_phi.watch.folder import Folder

logger = logging.getLogger("otel_phi")

POLL_S = 1.0
LOOK_AT_ALL_S = 10.0
# Milliseconds: how long changes are gathered, how long a quiet moment is, how often the watch looks up without a change.
_GATHER_MS, _QUIET_MS, _TICK_MS = 100, 20, 250


def _idle() -> bool:
    return False


class _Stop:
    """A stop is what `watchfiles` asks whether to end, like a `threading.Event`."""

    def __init__(self, stopping: Callable[[], bool]) -> None:
        self.is_set = stopping


def wakes(
    folder: Folder, stopping: Callable[[], bool], poll_s: float | None = None, busy: Callable[[], bool] = _idle
) -> Iterator[set[Path] | None]:
    """Yields changed paths, perhaps none, several times a second, and None when all is to be looked at; ends when asked to.

    Args:
        folder: what is watched.
        stopping: whether to end.
        poll_s: look at all every so many seconds instead of asking the operating system; None to ask it.
        busy: whether there is other work: then what it yields comes as soon as it is known that nothing has changed.
    """
    if poll_s is None:
        yield from _notified(folder, stopping, busy)
    while not stopping():
        if busy():
            yield set()
            continue
        _sleep(POLL_S if poll_s is None else poll_s, stopping)
        yield None


def _notified(folder: Folder, stopping: Callable[[], bool], busy: Callable[[], bool]) -> Iterator[set[Path] | None]:
    """Yields what the operating system tells; ends where it cannot."""
    while not stopping():
        there = folder.there
        if not there:
            if busy():
                yield set()
            else:
                _sleep(_TICK_MS / 1000, stopping)
            continue
        looked = ticked = -math.inf  # what changed before the system was asked is not reported
        try:
            for paths, removed in _changes(there, stopping):
                tick = monotonic() - ticked >= _TICK_MS / 1000
                if not paths and not tick:
                    if busy():
                        yield set()
                    continue
                ticked = monotonic()
                anew = folder.there != there or not removed.isdisjoint(there)
                if anew or monotonic() - looked > LOOK_AT_ALL_S:
                    looked = monotonic()
                    yield None
                if anew:
                    break  # the system still listens to the folder that was there before
                yield paths | folder.lone_files
        except (OSError, RuntimeError) as error:
            logger.warning("no word of changed files from the operating system (%s): looking every second", error)
            return


def _changes(there: Iterable[Path], stopping: Callable[[], bool]) -> Iterator[tuple[set[Path], set[Path]]]:
    """Yields the paths that changed, and those of them that were removed."""
    from watchfiles import Change, watch

    for changes in watch(
        *there,
        watch_filter=None,
        debounce=_GATHER_MS,
        step=_QUIET_MS,
        rust_timeout=_QUIET_MS,
        yield_on_timeout=True,
        stop_event=_Stop(stopping),
        raise_interrupt=True,
        ignore_permission_denied=True,
    ):
        yield {Path(path) for _, path in changes}, {Path(path) for what, path in changes if what is Change.deleted}


def _sleep(seconds: float, stopping: Callable[[], bool]) -> None:
    until = monotonic() + seconds
    while not stopping() and (rest_s := until - monotonic()) > 0:
        time.sleep(min(rest_s, _TICK_MS / 1000))
