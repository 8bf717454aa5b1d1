"""Adoption: a dead process's segments are opened, and looked through once before they are read."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from otel_phi.delivery.journal.counting import Losses
from otel_phi.delivery.journal.facts import START, LookedUp, Position, RootClaimed, decode_fact
from otel_phi.delivery.journal.filelock import FileLock
from otel_phi.delivery.journal.segment import Segment
from otel_phi.delivery.journal.segment_file import INTERNAL, OWN, segment_name, segment_numbers


class Survey(NamedTuple):
    """A survey says what stands in a journal's lines for whoever replays it."""

    looked_up: dict[Position, LookedUp]
    claimed: dict[Position, RootClaimed]
    events: int


def open_segments(folder: Path) -> list[Segment]:
    """Opens a folder's segments, oldest first; one that cannot be opened counts as missing.

    Raises:
        OSError: none can be opened.
    """
    segments: list[Segment] = []
    for number in segment_numbers(folder):
        with contextlib.suppress(OSError):
            segments.append(Segment(folder / segment_name(number), number))
    if not segments:
        raise FileNotFoundError(f"{folder} holds no journal that can be opened")
    for segment in segments[:-1]:
        segment.sealed = True
        segment.rolled_at = 0.0
    return segments


def survey(segments: Sequence[Segment]) -> Survey:
    """Looks through all lines; a Snapshot or Carried that stands outside its head region is found too."""
    found = Survey({}, {}, 0)
    events = 0
    for segment in segments:
        for _, body in segment.bodies():
            if body.startswith(INTERNAL):
                segment.region.take(body)
            elif body.startswith(OWN):
                _take(decode_fact(body), found)
            else:
                events += 1
        segment.carried = list(segment.region.carried)
        events += len(segment.carried)
    return found._replace(events=events)


def _take(fact: object, found: Survey) -> None:
    match fact:
        case LookedUp(at=at):
            found.looked_up[at] = fact
        case RootClaimed(at=at):
            found.claimed[at] = fact
        case _:
            return


def cut_unfinished(segment: Segment) -> bool:
    """Cuts off a last line that its writer, who is dead, did not finish; tells whether one can be appended there now."""
    if segment.size < segment.preamble.head_end:
        return False  # a power failure left not even its head: a line would stand where nobody reads
    behind = segment.damaged_end()
    if behind is not None and behind.kind == "cut":
        with contextlib.suppress(OSError):
            os.ftruncate(segment.descriptor.number, behind.start)
        return True
    return behind is None


def marks(segments: Sequence[Segment], exporters: int) -> list[Position]:
    """Returns how far each exporter had settled."""
    found = [START] * exporters
    for segment in segments:
        for exporter, mark in enumerate(segment.marks[:exporters]):
            if mark is not None:
                found[exporter] = Position(segment.number, mark.offset)
    return found


def note_holes(segments: Sequence[Segment], losses: Losses) -> None:
    """Notes missing segments and snapshots, and where a snapshot has to be restored because of them."""
    before, broken = 0, False
    for index, segment in enumerate(segments):
        gap = segment.number - before - 1 if index else 0
        if gap:
            losses.missing += gap
            losses.say(f"{segment.path.parent}: segments are missing before {segment.path.name}")
        if segment.region.head is None:
            losses.lose(segment.path.name, "a head that was changed")
        if index == 0 and segment.number > 1 and segment.region.snapshot is None:
            losses.lose(segment.path.name, "no snapshot of what was open before it")
            broken = True
        segment.after_hole = bool(gap or (index and broken)) and segment.region.snapshot is not None
        broken = (broken or bool(gap)) and segment.region.snapshot is None
        before = segment.number


def remove_folder(folder: Path, lock: FileLock) -> None:
    """Removes a folder that could not become a journal."""
    for path in folder.iterdir():
        if path.name != lock.path.name:
            with contextlib.suppress(OSError):
                path.unlink()
    lock.release(remove=True)
    with contextlib.suppress(OSError):
        folder.rmdir()
