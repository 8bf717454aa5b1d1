"""Span events, links and errors in words: the notes below a span."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from otel_phi.cli import words
from otel_phi.cli.tree.rows import Row
from otel_phi.mapping import semconv as s
from otel_phi.mapping.span import Span, SpanEvent, SpanLink
from otel_phi.mapping.status import WORDS
from otel_phi.tree import clean

# Links a loop's own label says already, and those a group's does.
_IN_LABELS = frozenset({"continuation", "rerun", "branch", "compaction", "sub_agent", "parallel"})


def error_note(span: Span) -> Row | None:
    """Returns what went wrong with a span in words, None where all went well."""
    given = dict(span.attributes)
    return _error(given, span.start_ns) if s.ERROR_TYPE in given else None


def _error(given: Mapping[str, object], time_ns: int) -> Row:
    word = str(given[s.ERROR_TYPE])
    limit = f" ({given[s.LOOP_LIMIT]})" if s.LOOP_LIMIT in given else ""
    return Row("error", clean(f"{word}{limit}: {WORDS.get(word, 'it failed')}"), time_ns, time_ns)


def event_row(event: SpanEvent) -> Row:
    """Returns an event in words; a tool's execution as the row its span would have."""
    given = dict(event.attributes)
    took = given.get(s.TOOL_DURATION_MS)
    if event.name != s.EVENT_TOOL or not isinstance(took, float):
        return Row("event", clean(_words(event.name, given)), event.time_ns, event.time_ns)
    started = event.time_ns - round(took * 1_000_000)
    row = Row("tool", clean(f"tool {given.get(s.TOOL_NAME)}"), started, event.time_ns)
    if s.ERROR_TYPE in given:
        row.failed = True
        row.rows = [_error(given, event.time_ns)]
    return row


def _words(name: str, given: Mapping[str, object]) -> str:
    match name:
        case s.EVENT_COMPACTION:
            return _compaction(given)
        case s.EVENT_PRUN:
            removed = words.many(_int(given.get(s.PRUN_MESSAGES)), "message")
            return f"pruned {removed}, {words.count(_int(given.get(s.PRUN_TOKENS)))} tokens"
        case s.EVENT_REVERT:
            return _revert(given)
        case s.EVENT_REJECTED:
            return "an input filter refused a message"
        case s.EVENT_TOOL:
            return f"tool {given.get(s.TOOL_NAME)} was answered without being executed"
        case s.EVENT_UNKNOWN:
            return f"event {given.get(s.EVENT_TYPE)}"
        case _:
            return f"event {name}"


def _compaction(given: Mapping[str, object]) -> str:
    before, after = given.get(s.COMPACTION_TOKENS_BEFORE), given.get(s.COMPACTION_TOKENS_AFTER)
    if before is None:
        return f"compaction of {words.count(_int(given.get(s.COMPACTION_TOKENS)))} tokens, its other half is missing"
    tokens = words.count(_int(before)) + (f"→{words.count(_int(after))}" if after is not None else "")
    said = [f"compacted {tokens} tokens"]
    if s.COMPACTION_MESSAGES_BEFORE in given:
        said.append(f"{given[s.COMPACTION_MESSAGES_BEFORE]}→{given.get(s.COMPACTION_MESSAGES_AFTER)} messages")
    took = given.get(s.COMPACTION_DURATION_MS)
    lasted = f" in {words.duration(round(took * 1_000_000))}" if isinstance(took, float) and took else ""
    return ", ".join(said) + lasted


def _revert(given: Mapping[str, object]) -> str:
    what = "reverted" if given.get(s.REVERT_APPLIED) else "revert refused"
    category = f" ({given[s.REVERT_CATEGORY]})" if s.REVERT_CATEGORY in given else ""
    target = f" to {given[s.REVERT_TARGET]}" if s.REVERT_TARGET in given else ""
    return f"{what}{category}{target}, {words.many(_int(given.get(s.REVERT_ABANDONED)), 'node')} abandoned"


def link_notes(span: Span, names: Mapping[str, str], here: frozenset[str]) -> Iterator[Row]:
    """Yields a span's links in words, less those its label says.

    Args:
        span: whose links.
        names: short names of sessions.
        here: sessions that are shown too.
    """
    for link in span.links:
        given = dict(link.attributes)
        if given.get(s.LINK_KIND) not in _IN_LABELS:
            yield Row("link", clean(_link_words(link, given, names, here)), span.start_ns, span.start_ns)
    spawner = span.get(s.SPAWN_SESSION)
    if spawner is not None and not any(dict(link.attributes).get(s.LINK_KIND) == "spawned_by" for link in span.links):
        text = f"spawned by ← session {_session(str(spawner), names, here)}"
        yield Row("link", clean(text), span.start_ns, span.start_ns)


def _link_words(link: SpanLink, given: Mapping[str, object], names: Mapping[str, str], here: frozenset[str]) -> str:
    kind, session = given.get(s.LINK_KIND), given.get(s.LINK_SESSION)
    if session is None:
        arrow = "called by ←" if kind == "caller" else f"{kind or 'linked'} →"
        return f"{arrow} trace {link.trace_id:032x}"
    arrow = "spawned by ←" if kind == "spawned_by" else f"{kind or 'linked'} →"
    return f"{arrow} session {_session(str(session), names, here)}"


def _session(session: str, names: Mapping[str, str], here: frozenset[str]) -> str:
    name = names.get(session, session)
    return name if session in here else f"{name} (not among these files)"


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0
