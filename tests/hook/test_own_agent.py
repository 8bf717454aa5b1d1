"""An agent of one's own: the example gives a whole trace, and the docs' table says what each event is needed for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from otel_phi import events as e
from otel_phi.mapping.span import StatusCode
from otel_phi.pipeline import spans
from otel_phi.testing import Receiver
from tests import golden
from tests.laws import role

EXAMPLE = golden.PROJECT / "examples" / "own-agent" / "by_events.py"
TABLE = golden.PROJECT / "docs" / "own-agent.md"


def test_the_example_gives_a_whole_trace(receiver: Receiver, tmp_path: Path) -> None:
    environment = os.environ | {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
        "OTEL_PHI_STATE_DIR": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, str(EXAMPLE)], env=environment, capture_output=True, text=True, check=False, timeout=30
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    found = receiver.wait_for(7)
    assert [role(span) for span in found] == ["root", "turn", "chat", "tool", "turn", "chat", "loop"]
    assert {span.status for span in found} == {StatusCode.UNSET}
    assert len({span.trace_id for span in found}) == 1


def test_the_example_is_30_lines_long() -> None:
    lines = [line for line in EXAMPLE.read_text(encoding="utf-8").splitlines() if line]
    assert len(lines) <= 30


# --- the table -----------------------------------------------------------------------------------------------------------

MS = 1_780_000_000_000


def at(ms: int) -> e.Instant:
    return e.Instant((MS + ms) * 1_000_000)


SAID = e.AssistantMessage(model="m", timestamp=MS + 20)
BEGIN = e.AgentStart(session_id="s", loop_id="l", timestamp=at(0))
TURN = e.TurnStart(loop_id="l", turn_index=0, timestamp=at(1))
REQUEST = e.TurnRequest(loop_id="l", turn_index=0, timestamp=at(5), payload=e.RequestPayload(model_id="m"))
MESSAGE = e.MessageEnd(loop_id="l", message=SAID)
TOOL = (
    e.ToolExecutionStart(loop_id="l", tool_call_id="c", tool_name="t"),
    e.ToolExecutionEnd(loop_id="l", tool_call_id="c", tool_name="t"),
)
RESULT = e.MessageEnd(loop_id="l", message=e.ToolResultMessage(tool_call_id="c", tool_name="t", timestamp=MS + 30))
TURN_OVER = e.TurnEnd(loop_id="l", timestamp=at(40))
TURN_ANSWERED = e.TurnEnd(loop_id="l", timestamp=at(40), message=e.AssistantMessage(model="m"))
OVER = e.AgentEnd(loop_id="l", timestamp=at(50))


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([BEGIN, OVER], {"root": (0, 0), "loop": (0, 50)}),
        ([BEGIN, TURN, TURN_OVER, OVER], {"root": (0, 0), "loop": (0, 50), "turn": (1, 40)}),
        ([BEGIN, TURN, TURN_ANSWERED, OVER], {"turn": (1, 40), "chat": (1, 40)}),
        ([BEGIN, TURN, MESSAGE, TURN_ANSWERED, OVER], {"turn": (1, 40), "chat": (1, 20)}),
        ([BEGIN, TURN, REQUEST, MESSAGE, TURN_ANSWERED, OVER], {"chat": (5, 20)}),
        ([BEGIN, TURN, MESSAGE, *TOOL, TURN_ANSWERED, OVER], {"chat": (1, 20), "tool": (20, 40)}),
        ([BEGIN, TURN, MESSAGE, *TOOL, RESULT, TURN_ANSWERED, OVER], {"tool": (20, 30)}),
    ],
    ids=["loop", "turns", "chat", "chat-end", "chat-begin", "tool", "tool-end"],
)
def test_the_events_of_a_row_give_what_it_promises(events: list[Any], expected: dict[str, tuple[int, int]]) -> None:
    found = {role(span): span for span in spans(events)}
    assert expected.keys() <= found.keys()
    for name, (begin, end) in expected.items():
        span = found[name]
        assert (span.start_ns // 10**6 - MS, span.end_ns // 10**6 - MS) == (begin, end), name
        assert span.status is StatusCode.UNSET


def test_the_table_names_events_and_fields_that_exist() -> None:
    text = TABLE.read_text(encoding="utf-8")
    part = text[text.index("### Which events are needed") : text.index("### The words they hold")]
    rows = [line for line in part.splitlines() if line.startswith("| ")]
    named = {name for line in rows for name in re.findall(r"[`.(=]([A-Za-z_]{3,})", line)}
    kinds = {name: kind for name in e.__all__ if hasattr(kind := getattr(e, name), "__struct_fields__")}
    fields = {field for kind in kinds.values() for field in kind.__struct_fields__}
    assert len(rows) > 10
    assert named - kinds.keys() - fields - {"SubAgent", "AssistantMessage", "RequestPayload"} == set()
