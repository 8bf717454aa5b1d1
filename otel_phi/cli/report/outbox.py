"""The outbox folder in words and as an object, for `otel-phi status`: two forms of the same numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.text import Text

from otel_phi.cli import words
from otel_phi.cli.outbox.letters import Letter, shown
from otel_phi.cli.screen import wrapped
from otel_phi.clock import wall_ns
from otel_phi.tree import clean

if TYPE_CHECKING:
    from otel_phi.cli.outbox.status import DestinationStatus, OutboxStatus
    from otel_phi.recorder.snapshot import OpenWork

SCHEMA = 2  # of the JSON object: 1 counted spans in SQLite files
_LABEL = 14  # columns: the longest label and a gap
_REASONS_SHOWN = 5
_LETTERS_SHOWN = 3  # of each reason; --json has them all
_LETTERS_LISTED = 1_000  # of a destination in the JSON; the count goes on
_PIDS_SHOWN = 8
_LINES_SHOWN = 5  # of what is damaged or left alone
_Fact = tuple[str, str, str]  # label, words, style


def status_lines(found: OutboxStatus, width: int) -> Iterator[Text]:
    """Yields the outbox in words, in lines of at most `width` columns; a longer path or URL stays whole."""
    now_ns = wall_ns()
    if all(one.silent or _only_alive(one) for one in found.destinations) and not found.left_alone:
        yield from wrapped("Nothing waits, nothing is open, no dead letters.", width)
    yield Text.assemble(("outbox".ljust(_LABEL), "dim"), clean(str(found.folder)))  # whole, to be copied
    if found.bytes:
        yield from _row(("on disk", words.size(found.bytes), ""), 0, width)
    for left in found.left_alone[:_LINES_SHOWN]:
        yield from _row(("left alone", f"{left.path}: {left.reason}", "yellow"), 0, width)
    if len(found.left_alone) > _LINES_SHOWN:
        yield from _row(("", f"and {len(found.left_alone) - _LINES_SHOWN:,} more; --json names them", ""), 0, width)
    for one in sorted(found.destinations, key=lambda one: one.silent):
        yield Text()
        yield from _destination(one, width, now_ns)


def _only_alive(one: DestinationStatus) -> bool:
    """Tells whether all there is to say of a destination is that an idle process lives."""
    return not (one.waiting or one.retried or any(one.open) or one.letters or one.damaged_lines or one.missing_segments)


def _destination(one: DestinationStatus, width: int, now_ns: int) -> Iterator[Text]:
    name = clean(one.shown or one.name)
    if one.silent:
        yield from wrapped(f"{name}: nothing waits; {_so_far(one)} so far", width)
        return
    yield Text(name, style="bold")
    for fact in _facts(one, now_ns):
        yield from _row(fact, 2, width)
    yield from _letters(one, width)


def _facts(one: DestinationStatus, now_ns: int) -> Iterator[_Fact]:
    oldest = f", the oldest for {_age(one.oldest_ns, now_ns)}" if one.oldest_ns is not None else ""
    yield "waits", f"{words.many(one.waiting, 'fact')}{oldest}" if one.waiting else "nothing", ""
    if one.retried:
        yield "to be retried", words.many(one.retried, "dead letter"), ""
    if any(one.open):
        yield "open", open_words(one.open), ""
    yield "processes", _processes(one), ""
    yield "so far", _so_far(one), ""
    error, at_ns = one.so_far.last_error, one.so_far.last_error_ns
    if error is not None:
        ago = f", {_age(at_ns, now_ns)} ago" if at_ns is not None else ""
        yield "last error", f"{error}{ago}", "yellow"
    for number, text in enumerate(_damage(one)):
        yield "" if number else "damaged", text, "red"
    if one.letters:
        yield "dead letters", f"{len(one.letters):,}; `otel-phi status --retry` lets them be sent again", "red"


def open_words(work: OpenWork) -> str:
    """Returns what is open in words, "" for nothing."""
    counts = ((work.loops, "loop"), (work.turns, "turn"), (work.groups, "group"))
    return ", ".join(words.many(count, noun) for count, noun in counts if count)


def _processes(one: DestinationStatus) -> str:
    if one.living:
        more = ", ..." if len(one.living) > _PIDS_SHOWN else ""
        pids = ", ".join(map(str, one.living[:_PIDS_SHOWN])) + more
        return f"{words.many(len(one.living), 'lives', 'live')}: {pids}"
    if one.waiting or one.retried or any(one.open):
        return "none lives: `otel-phi flush`, or the next agent, sends it"
    return "none lives"


def _so_far(one: DestinationStatus) -> str:
    so_far = one.so_far
    return f"{so_far.acknowledged:,} acknowledged, {so_far.rejected:,} rejected, {so_far.dropped:,} dropped"


def _damage(one: DestinationStatus) -> Iterator[str]:
    if not (one.damaged_lines or one.missing_segments):
        return
    counts = [words.many(one.damaged_lines, "line")] if one.damaged_lines else []
    counts += [words.many(one.missing_segments, "missing file")] if one.missing_segments else []
    yield f"{', '.join(counts)}, lost; all others are sent"
    yield from one.damage[:_LINES_SHOWN]
    if len(one.damage) > _LINES_SHOWN:
        yield f"and {len(one.damage) - _LINES_SHOWN:,} more; --json has them"


def _letters(one: DestinationStatus, width: int) -> Iterator[Text]:
    every = shown(one.letters)
    reasons = Counter(letter.reason for letter in every)
    for reason, count in reasons.most_common(_REASONS_SHOWN):
        yield from wrapped(f"{count:,} x {reason}", width, indent=4, style="red")
        for letter in [letter for letter in every if letter.reason == reason][:_LETTERS_SHOWN]:
            yield from wrapped(f"span {letter.span_id:016x} of session {letter.session or '(none)'}", width, indent=6)
        if count > _LETTERS_SHOWN:
            yield from wrapped(f"and {count - _LETTERS_SHOWN:,} more; --json names them", width, indent=6)
    if len(reasons) > _REASONS_SHOWN:
        more = words.many(len(reasons) - _REASONS_SHOWN, "more reason")
        yield from wrapped(f"and {more}; --json has them", width, indent=4)


def _row(fact: _Fact, indent: int, width: int) -> Iterator[Text]:
    label, said, style = fact
    head = " " * indent + label.ljust(_LABEL)
    for number, line in enumerate(wrapped(said, width, indent=len(head), style=style)):
        yield line if number else Text.assemble((head, "dim"), line[len(head) :])


def _age(since_ns: int | None, now_ns: int) -> str:
    seconds = max(now_ns - (since_ns or now_ns), 0) // 10**9  # a clock may have been set back
    return words.duration(seconds * 10**9) if seconds >= 60 else f"{seconds} s"


def status_object(found: OutboxStatus) -> dict[str, Any]:
    """Returns the outbox as a JSON object: hex ids, times as integers of nanoseconds since the Unix epoch.

    Its keys: `schema` (2), `folder`, `waiting` (facts), `dead`, `bytes`, `left_alone` (`path`, `reason`), `destinations`
    (`name`, `destination`, `waiting`, `retried`, `open`: `loops`, `turns`, `groups`; `oldest_ns`, `bytes`, `processes`,
    `acknowledged`, `rejected`, `dropped`, `last_error`, `last_error_ns`, `damaged_lines`, `missing_segments`, `damage`,
    `dead`, `dead_letters`: `trace_id`, `span_id`, `name`, `session_id`, `reason`, `at_ns`).
    """
    return {
        "schema": SCHEMA,
        "folder": str(found.folder),
        "waiting": found.waiting,
        "dead": found.dead,
        "bytes": found.bytes,
        "left_alone": [{"path": one.path, "reason": one.reason} for one in found.left_alone],
        "destinations": [_destination_object(one) for one in found.destinations],
    }


def _destination_object(one: DestinationStatus) -> dict[str, Any]:
    so_far, work = one.so_far, one.open
    return {
        "name": one.name,
        "destination": one.shown,
        "waiting": one.waiting,
        "retried": one.retried,
        "open": {"loops": work.loops, "turns": work.turns, "groups": work.groups},
        "oldest_ns": one.oldest_ns,
        "bytes": one.bytes,
        "processes": list(one.living),
        "acknowledged": so_far.acknowledged,
        "rejected": so_far.rejected,
        "dropped": so_far.dropped,
        "last_error": so_far.last_error,
        "last_error_ns": so_far.last_error_ns,
        "damaged_lines": one.damaged_lines,
        "missing_segments": one.missing_segments,
        "damage": list(one.damage),
        "dead": len(one.letters),
        "dead_letters": [_letter_object(letter) for letter in shown(one.letters[:_LETTERS_LISTED])],
    }


def _letter_object(letter: Letter) -> dict[str, Any]:
    return {
        "trace_id": f"{letter.trace_id:032x}",
        "span_id": f"{letter.span_id:016x}",
        "name": letter.name,
        "session_id": letter.session,
        "reason": letter.reason,
        "at_ns": letter.at_ns,
    }
