"""Flush: a process of its own that sends what an outbox folder holds for one destination, for a person who waits.

Rule 1: files of dead processes are adopted and sent; those of living ones are theirs, and are waited for.
Rule 2: it ends: with what waited when it began gone, or without progress for as long as its patience says.
Rule 3: however it ends, what is not settled is in the folder, for whoever comes next.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from otel_phi.delivery.exporters.open import open_exporter, resource_of
from otel_phi.delivery.folder import DestinationStatus, FolderStatus, Letter, folder_status
from otel_phi.delivery.live import LiveDelivery, place_of
from otel_phi.delivery.otlp.encoder import Encoder
from otel_phi.delivery.sending.stats import LiveStats
from otel_phi.delivery.store import FOLDER
from otel_phi.delivery.waiting import GLANCE_S, Clock, Watched, close, settle

if TYPE_CHECKING:
    from otel_phi.config import Config

INTERRUPTED = "interrupted"


class Flushed(msgspec.Struct, frozen=True):
    """Says how a flush ended.

    Attributes:
        waited: whether there was anything to send.
        stats: of the spans that dead processes left.
        rejection: what the destination last said of spans it rejected, "" if nothing.
        letters: dead letters that were none before.
        trouble: why spans stayed, "" where none did but for those of living processes.
        left: what the folder holds for the destination now.
        stayed: whether spans that waited when it began still wait.
        others: what the folder holds for other destinations.
        unusable: names of the destination's files that are damaged or of another schema: set aside now, or not to be read.
    """

    waited: bool
    left: DestinationStatus
    stats: LiveStats = LiveStats()
    rejection: str = ""
    letters: tuple[Letter, ...] = ()
    trouble: str = ""
    stayed: bool = False
    others: tuple[DestinationStatus, ...] = ()
    unusable: tuple[str, ...] = ()


def flush_outbox(config: Config) -> Flushed:
    """Sends what waits for a configuration's destination; blocks, bounded by `config.give_up_after_s` without progress.

    Raises:
        ConfigError: a header or certificate cannot be used.
        OSError: the folder cannot be written to, so nothing can be adopted.
    """
    began_ns = time.time_ns()
    if not (config.state_folder / FOLDER).exists():
        return Flushed(waited=False, left=DestinationStatus(""))
    name = place_of(config, Encoder(resource_of(config))).destination
    before = folder_status(config.state_folder)
    first = _of(before, name)
    if not (first.queued or first.roots or first.open or set(_unusable(before, name)) - set(before.set_aside)):
        return Flushed(waited=False, left=first, others=_others(before, name))
    watched = Watched(open_exporter(config))
    stats, trouble = _send(config, watched)
    if not trouble:
        trouble = _wait_for_living(config, name, began_ns)
    after = folder_status(config.state_folder)
    left = _of(after, name)
    return Flushed(
        waited=True, left=left, stats=stats, rejection=watched.rejection, trouble=trouble, others=_others(after, name),
        letters=tuple(letter for letter in left.letters if letter not in first.letters),
        stayed=_is_old(left, began_ns),
        unusable=tuple(file for file in _unusable(after, name) if file not in before.set_aside),
    )  # fmt: skip


def _send(config: Config, watched: Watched) -> tuple[LiveStats, str]:
    """Adopts and sends; returns the counts and why it ended early, "" if it did not."""
    delivery = LiveDelivery(config, resource_of(config), transport=watched)
    try:
        unusable = delivery.stats().in_memory
        trouble = "" if unusable else settle(delivery, watched, config)
    except KeyboardInterrupt:
        trouble = INTERRUPTED
    finally:
        close(delivery)
    if unusable:
        raise OSError(f"nothing can be taken from the outbox: {unusable}")
    return delivery.stats(), trouble


def _wait_for_living(config: Config, name: str, began_ns: int) -> str:
    """Waits until living processes have sent what they held at the start; returns "interrupted" if a person had enough."""
    clock = Clock(config.give_up_after_s)
    try:
        while True:
            left = _of(folder_status(config.state_folder), name)
            if not left.processes or not _is_old(left, began_ns):
                return ""
            if clock.waited_s((left.oldest_ns, left.roots)) >= clock.limit_s:
                return ""
            time.sleep(GLANCE_S)
    except KeyboardInterrupt:
        return INTERRUPTED


def _of(status: FolderStatus, name: str) -> DestinationStatus:
    return next((one for one in status.destinations if one.name == name), DestinationStatus(name))


def _others(status: FolderStatus, name: str) -> tuple[DestinationStatus, ...]:
    return tuple(one for one in status.destinations if one.name != name and one.queued + one.roots)


def _unusable(status: FolderStatus, name: str) -> list[str]:
    """Returns the destination's files that hold nobody knows what, those set aside long ago too."""
    return [file for file in (*status.set_aside, *(file for file, _ in status.unreadable)) if file.startswith(name)]


def _is_old(left: DestinationStatus, began_ns: int) -> bool:
    return left.roots > 0 or (left.oldest_ns is not None and left.oldest_ns <= began_ns)
