"""docs/own-agent.md: its lines of JSON are the trace beside them, its names exist, its words are the ones that are read."""

from __future__ import annotations

import re

import otel_phi
from otel_phi.pipeline import spans
from otel_phi.tree import render_tree
from tests import golden
from tests.laws import Run
from tests.test_laws import OPTIONS

TEXT = (golden.PROJECT / "docs" / "own-agent.md").read_text(encoding="utf-8")
_STORY, _TREE = re.findall(
    r"```(?:json)?\n(.*?)```", TEXT[TEXT.index("story: begin") : TEXT.index("story: end")], re.DOTALL
)


def test_the_lines_are_the_trace_beside_them() -> None:
    lines = _STORY.splitlines()
    assert render_tree(spans(lines)) == _TREE
    events = golden.lines_to_events(_STORY.encode())
    assert len(events) == len(lines)
    for options in OPTIONS:
        assert Run(events, options).broken() == []


def test_what_it_calls_exists() -> None:
    front = TEXT[: TEXT.index("## The events underneath")]
    for name in set(re.findall(r"otel_phi\.(\w+)", front)):
        assert hasattr(otel_phi, name), name
    for owner, name in re.findall(r"`(loop|call|tool)\.(\w+)`", front):
        kind = {"loop": otel_phi.Loop, "call": otel_phi.ModelCall, "tool": otel_phi.Tool}[owner]
        assert callable(getattr(kind, name)), f"{owner}.{name}"
    for kind in (otel_phi.Loop, otel_phi.ModelCall, otel_phi.Tool):
        assert callable(kind.fail)
