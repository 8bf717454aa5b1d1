"""Journals as spans, for `otel-phi show`: what stands in the head and the lines, replayed; beside its owner too."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from otel_phi.cli import words
from otel_phi.cli.outbox.reading import JournalReader
from otel_phi.cli.outbox.replay import Replay
from otel_phi.delivery.journal import filelock
from otel_phi.delivery.journal.facts import FORMAT, Head
from otel_phi.delivery.journal.outbox import LOCK
from otel_phi.delivery.journal.segment_file import SUFFIX, segment_numbers
from otel_phi.errors import SourceError
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import Span
from otel_phi.pipeline import Pipeline
from otel_phi.prices import Prices, prices_of, source_in

_MAGIC = b"otel-phi journal "


class Shown(msgspec.Struct, frozen=True):
    """Shown of a journal are its spans and what its head says.

    Attributes:
        path: the process's folder, or the segment's file.
        spans: what has closed, and what is open, as it would leave now.
        about: version, destination, resource and owner in one line.
        damage: what could not be read, "" if nothing.
    """

    path: Path
    spans: tuple[Span, ...]
    about: str
    damage: str


def journals_in(path: Path) -> list[Path]:
    """Returns the journals at a path: process folders, or the one segment's file that it names; none where it is none."""
    if path.is_file():
        return [path] if _is_segment(path) else []
    if segment_numbers(path):
        return [path]
    return sorted({found.parent for found in path.rglob(f"*{SUFFIX}")})


def _is_segment(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def shown(path: Path, options: MappingOptions | None, prices: Prices | None = None) -> Shown:
    """Reads a journal and maps what it holds.

    Args:
        path: from `journals_in`.
        options: how to map; None for what its head says.
        prices: what model calls cost; None for what its head says.

    Raises:
        SourceError: it is of another format.
        OSError: it cannot be read.
    """
    living = path.is_dir() and not filelock.is_free(path / LOCK)
    reader = JournalReader.of_folder(path, living=living) if path.is_dir() else JournalReader([path])
    head = reader.head
    if head is None and reader.format not in (None, FORMAT):
        raise SourceError(f"{path}: a journal of format {reader.format}, this version of otel-phi reads {FORMAT}")
    survey = reader.survey()
    if prices is None and head is not None:
        prices = prices_of(source_in(head.prices))
    replay = Replay(reader.first_state(), survey.looked_up, prices)
    pipeline = Pipeline(options or _options_of(head))
    spans = [span for entry in reader.entries() for notice in replay.take(entry) for span in pipeline.spans(notice)]
    # What a dead process left open leaves as lost; of a single file nobody knows what comes behind it.
    lost = path.is_dir() and not living
    spans += [span for notice in replay.core.flush(lost=lost) for span in pipeline.spans(notice)]
    lines = survey.damaged_lines + replay.bad_states
    damage = [words.many(lines, "line")] if lines else []
    damage += [words.many(survey.missing_segments, "file")] if survey.missing_segments else []
    said = f"{' and '.join(damage)} could not be read: {'; '.join(survey.messages)}" if damage else ""
    return Shown(path, tuple(spans), _about(path, head, living=living), said)


def _options_of(head: Head | None) -> MappingOptions:
    """Returns how a head says that facts are mapped; the defaults where it does not, or not so that we understand it."""
    if head is None:
        return MappingOptions()
    try:
        return msgspec.json.decode(head.mapping, type=MappingOptions | None) or MappingOptions()
    except msgspec.MsgspecError:
        return MappingOptions()


def _about(path: Path, head: Head | None, *, living: bool) -> str:
    if head is None:
        return f"{path.name}: a journal whose head is damaged"
    resource = dict(_pairs(head))
    service = resource.get("service.name", "")
    name = f", service {service}" if service and not service.startswith("unknown_service") else ""
    where = head.destination.shown or head.destination.name
    return f"journal {path.name} of otel-phi {head.version}{name}, for {where}{'; its process lives' if living else ''}"


def _pairs(head: Head) -> Iterator[tuple[str, str]]:
    with contextlib.suppress(msgspec.MsgspecError):
        for key, value in msgspec.json.decode(head.resource, type=tuple[tuple[str, object], ...] | None) or ():
            yield key, str(value)
