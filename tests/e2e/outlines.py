"""The traces of examples/rust-agent, drawn without ids and times: the same for every run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from otel_phi import tree
from otel_phi.mapping import semconv as s
from otel_phi.mapping.span import Span, StatusCode
from tests.laws import role

# What the agent's script makes of it: loops, their turns, chats and tools; what failed; what is linked to what.
OUTLINE = """\
session A
  root
  loop mock-large.1
    turn 0
      chat mock-large
      tool read_file
      tool run_tests  ! tool_error
    turn 1
      chat mock-large
      tool researcher  -> spawned B.root
    turn 2
      chat mock-large
  loop mock-large.2
    turn 0
      chat mock-large
    loop mock-large.3  -> continuation A.mock-large.2
      turn 0
        chat mock-large
        tool run_tests  ! tool_error
      turn 1
        chat mock-large
  parallel, thorough.2 won  -> parallel A.concise.1  -> parallel A.thorough.2
  loop concise.1
    turn 0
      chat mock-small
  loop thorough.2
    turn 0
      chat mock-small
  loop judge
    turn 0
      chat mock-judge
session B
  root
  loop sub.1  -> spawned_by A.root
    turn 0
      chat mock-small
      tool search
    turn 1
      chat mock-small
"""
OUTLINE_OF_LOGS = "".join(line for line in OUTLINE.splitlines(keepends=True) if "parallel" not in line)
SPANS_OF_LOGS = OUTLINE_OF_LOGS.count("\n") - OUTLINE_OF_LOGS.count("session ")


def outline(spans: Iterable[Span], session: str) -> str:
    """Draws traces with their stable parts alone: no ids, no times."""
    found = tree.traces(spans)
    letters = {trace.trace_id: "A" if tree.session_of(trace.roots[0]) == session else "B" for trace in found}
    names = {(span.trace_id, span.span_id): _name(span) for trace in found for _, span in trace.walk()}
    lines = []
    for trace in sorted(found, key=lambda trace: letters[trace.trace_id]):
        lines.append(f"session {letters[trace.trace_id]}")
        for depth, span in trace.walk():
            level = depth if depth == 0 or trace.roots == (span,) else depth - 1
            indent = "  " * (level + 1)
            lines.append(indent + "  ".join([_name(span), *_remarks(span, letters, names)]))
    return "\n".join(lines) + "\n"


def _name(span: Span) -> str:
    kind = role(span)
    if kind == "loop":
        loop = str(span.get(s.LOOP_ID)).removeprefix(f"{tree.session_of(span)}.").removeprefix("anthropic.")
        return f"loop {'judge' if len(loop) == 36 else loop}"  # phi-core gives the judge's loop a bare UUID
    if kind == "group":
        return f"parallel, {str(span.get(s.PARALLEL_SELECTED)).partition('.')[2]} won"
    if kind == "turn":
        return f"turn {span.get(s.TURN_INDEX)}"
    return {"root": "root", "chat": span.name, "tool": span.name.replace("execute_tool", "tool")}[kind]


def _remarks(span: Span, letters: dict[int, str], names: dict[tuple[int, int], str]) -> Iterator[str]:
    if span.status is StatusCode.ERROR:
        yield f"! {span.get(s.ERROR_TYPE)}"
    for link in span.links:
        target = names[link.trace_id, link.span_id].removeprefix("loop ")
        yield f"-> {dict(link.attributes)[s.LINK_KIND]} {letters[link.trace_id]}.{target}"
