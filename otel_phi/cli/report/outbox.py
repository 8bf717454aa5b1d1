"""The outbox folder in words and as an object, for `otel-phi status`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from otel_phi.cli import words
from otel_phi.tree import clean

if TYPE_CHECKING:
    from otel_phi.delivery.folder import DestinationStatus, FolderStatus, Letter

_LABEL = 14  # columns: the longest label and a gap
_REASONS_SHOWN = 5
_LETTERS_SHOWN = 3  # of each reason; --json has them all
_PIDS_SHOWN = 8
_FILES_SHOWN = 5
_Fact = tuple[str, str, str]  # label, words, style


def status_lines(found: FolderStatus, width: int) -> Iterator[Text]:
    """Yields the outbox in words, in lines of at most `width` columns; a longer path or URL stays whole."""
    now_ns = time.time_ns()
    if not found.queued and not found.dead and not any(one.open for one in found.destinations):
        yield from _wrapped("Nothing waits, nothing is open, no dead letters.", width)
    yield Text.assemble(("outbox".ljust(_LABEL), "dim"), clean(found.folder))  # whole, to be copied
    for fact in _folder_facts(found):
        yield from _row(fact, 0, width)
    shown = [one.endpoint for one in found.destinations]
    for one in found.destinations:
        yield Text()
        # The same collector with other headers is another destination.
        name = f" ({one.name[:8]})" if shown.count(one.endpoint) > 1 else ""
        yield Text(clean(f"{one.endpoint or '(unknown destination)'}{name}"), style="bold")
        for fact in _facts(one, now_ns):
            yield from _row(fact, 2, width)
        yield from _letters(one, width)


def _folder_facts(found: FolderStatus) -> Iterator[_Fact]:
    if found.bytes:
        yield "on disk", _size(found.bytes), ""
    if found.set_aside:
        more = f" and {len(found.set_aside) - _FILES_SHOWN} more" if len(found.set_aside) > _FILES_SHOWN else ""
        yield "set aside", f"newer, older or damaged: {', '.join(found.set_aside[:_FILES_SHOWN])}{more}", "yellow"
    for name, reason in found.unreadable[:_FILES_SHOWN]:
        yield "not read", f"{name}: {reason or 'not there any more'}", "yellow"


def _facts(one: DestinationStatus, now_ns: int) -> Iterator[_Fact]:
    waiting = one.queued + one.roots
    oldest = f", the oldest for {_age(one.oldest_ns, now_ns)}" if one.oldest_ns is not None else ""
    yield "queued", f"{words.many(waiting, 'span')}{oldest}" if waiting else "nothing waits", ""
    if one.open:
        yield "open", words.many(one.open, "loop, turn or group", "loops, turns and groups"), ""
    if one.processes:
        more = ", ..." if len(one.processes) > _PIDS_SHOWN else ""
        pids = ", ".join(map(str, one.processes[:_PIDS_SHOWN])) + more
        yield "processes", f"{words.many(len(one.processes), 'lives', 'live')}: {pids}", ""
    else:
        yield (
            "processes",
            "none lives" if not waiting else "none lives: `otel-phi flush`, or the next agent, sends it",
            "",
        )
    yield "so far", f"{one.acknowledged:,} acknowledged, {one.rejected:,} rejected, {one.dropped:,} dropped", ""
    if one.last_error is not None:
        ago = f", {_age(one.last_error_ns, now_ns)} ago" if one.last_error_ns is not None else ""
        yield "last error", f"{one.last_error}{ago}", "yellow"
    if one.dead:
        yield "dead letters", f"{one.dead:,}; `otel-phi status --retry` lets them be sent again", "red"


def _letters(one: DestinationStatus, width: int) -> Iterator[Text]:
    reasons = Counter(letter.reason for letter in one.letters)
    for reason, count in reasons.most_common(_REASONS_SHOWN):
        yield from _wrapped(f"{count:,} x {reason}", width, indent=4, style="red")
        letters = [letter for letter in one.letters if letter.reason == reason]
        for letter in letters[:_LETTERS_SHOWN]:
            yield from _wrapped(f"span {letter.span_id:016x} of session {letter.session or '(none)'}", width, indent=6)
        if count > _LETTERS_SHOWN:
            yield from _wrapped(f"and {count - _LETTERS_SHOWN:,} more; --json names them", width, indent=6)
    if len(reasons) > _REASONS_SHOWN:
        more = words.many(len(reasons) - _REASONS_SHOWN, "more reason")
        yield from _wrapped(f"and {more}; --json has them", width, indent=4)


def _row(fact: _Fact, indent: int, width: int) -> Iterator[Text]:
    label, said, style = fact
    head = " " * indent + label.ljust(_LABEL)
    for number, line in enumerate(_wrapped(said, width, indent=len(head), style=style)):
        yield line if number else Text.assemble((head, "dim"), line[len(head) :])


def _wrapped(text: str, width: int, *, indent: int = 0, style: str = "") -> Iterator[Text]:
    """Yields a text in lines; it may come from outside."""
    room = max(width - indent, 20)
    for line in Text(clean(text), style=style).wrap(Console(width=room), room):
        line.rstrip()
        yield Text.assemble(" " * indent, line)


def _age(since_ns: int | None, now_ns: int) -> str:
    seconds = max(now_ns - (since_ns or now_ns), 0) // 10**9  # a clock may have been set back
    return words.duration(seconds * 10**9) if seconds >= 60 else f"{seconds} s"


def _size(size_bytes: int) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size_bytes >= size:
            return f"{size_bytes / size:.1f} {unit}"
    return words.many(size_bytes, "byte")


def status_object(found: FolderStatus) -> dict[str, Any]:
    """Returns the outbox as a JSON object: hex ids, times as integers of nanoseconds since the Unix epoch.

    Its keys: `folder`, `queued` (roots included), `dead`, `bytes`, `set_aside`, `unreadable` (`file`, `reason`),
    `destinations` (`name`, `endpoint`, `queued`, `roots`, `open`, `oldest_ns`, `bytes`, `processes`, `acknowledged`,
    `rejected`, `dropped`, `last_error`, `last_error_ns`, `dead`, `dead_letters`: `trace_id`, `span_id`, `session_id`,
    `reason`, `added_ns`).
    """
    return {
        "folder": str(found.folder),
        "queued": found.queued,
        "dead": found.dead,
        "bytes": found.bytes,
        "destinations": [_destination_object(one) for one in found.destinations],
        "set_aside": list(found.set_aside),
        "unreadable": [{"file": name, "reason": reason} for name, reason in found.unreadable],
    }


def _destination_object(one: DestinationStatus) -> dict[str, Any]:
    names = ("name", "endpoint", "queued", "roots", "open", "oldest_ns", "bytes", "acknowledged", "rejected", "dropped")
    return {
        **{name: getattr(one, name) for name in (*names, "last_error", "last_error_ns", "dead")},
        "processes": list(one.processes),
        "dead_letters": [_letter_object(letter) for letter in one.letters],
    }


def _letter_object(letter: Letter) -> dict[str, Any]:
    return {
        "trace_id": f"{letter.trace_id:032x}",
        "span_id": f"{letter.span_id:016x}",
        "session_id": letter.session,
        "reason": letter.reason,
        "added_ns": letter.added_ns,
    }
