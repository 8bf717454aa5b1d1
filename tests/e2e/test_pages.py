"""What a person sees in the pages of Jaeger, Phoenix and MLflow: what the pictures in docs/backends.md show, read as text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import otel_phi
from otel_phi.mapping import semconv as s
from tests import golden
from tests.e2e.backends import Programs
from tests.e2e.backends.step import Say
from tests.e2e.conftest import or_skip
from tests.e2e.jaeger import Jaeger
from tests.e2e.mlflow import Mlflow
from tests.e2e.pages import steps
from tests.e2e.pages.looking import Browser, browser, jaeger_pages
from tests.e2e.pages.stories import CONVERSATION, LOOPS, conversation
from tests.e2e.phoenix import Phoenix
from tests.e2e.processes import Backend
from tests.e2e.sending import session_of, tokens
from tests.e2e.sessions import spans_of
from tests.e2e.trees import SERVICE

pytestmark = pytest.mark.apps


@pytest.fixture(scope="module")
def eyes(say: Say) -> Browser:
    """Gives a browser; skips where there is none."""
    return or_skip("a browser", lambda: browser(say))


@pytest.fixture
def jaeger(backends: Programs, running: list[Backend], tmp_path: Path) -> Jaeger:
    """Gives a Jaeger with its pages; skips where nobody built those."""
    made = Jaeger(backends.jaeger, tmp_path / "jaeger", or_skip("Jaeger's pages", jaeger_pages))
    running.append(made)
    made.start()
    return made


def test_jaegers_genai_tab_reads_model_provider_and_tokens_of_a_model_call(
    jaeger: Jaeger, eyes: Browser, tmp_path: Path
) -> None:
    with otel_phi.Bridge(endpoint=jaeger.http, service_name=SERVICE, profile="jaeger") as bridge:
        bridge.feed(golden.demo())
    chat = next(span for span in spans_of([golden.DEMO]) if span.get(s.OPERATION) == "chat")
    (said,) = eyes.look(steps.jaeger_genai(jaeger.ui, f"{chat.trace_id:032x}", chat.name, tmp_path / "tab.png"))
    words = " ".join(said.split())
    assert f"Provider {chat.get(s.PROVIDER)} Model {chat.get(s.REQUEST_MODEL)}" in words
    numbers = {
        name: int(found.replace(",", "")) for name, found in re.findall(r"(Input|Output|write\)) ([\d,]+)", words)
    }
    assert numbers == {
        "Input": chat.get(s.USAGE_INPUT),
        "Output": chat.get(s.USAGE_OUTPUT),
        "write)": chat.get(s.USAGE_CACHE_WRITE),
    }


@pytest.mark.parametrize(("layout", "depth"), [("tree", LOOPS + 3), ("flat", 4)])
def test_a_conversation_of_a_hundred_loops_is_a_staircase_unless_it_is_laid_flat(
    jaeger: Jaeger, eyes: Browser, tmp_path: Path, layout: str, depth: int
) -> None:
    with otel_phi.Bridge(endpoint=jaeger.http, service_name=SERVICE, profile="jaeger", loop_layout=layout) as bridge:
        bridge.feed(conversation())
    shown = steps.jaeger_trace(jaeger.ui, CONVERSATION.replace("-", ""), tmp_path / "trace.png")
    (said,) = eyes.look([*shown, ["read", "body"]])
    assert re.search(rf"Depth\s*{depth}(?!\d)", said), said[:600]


def test_phoenix_has_a_turn_for_each_loop_of_a_session_and_none_for_a_parallel_group(
    phoenix: Phoenix, eyes: Browser, tmp_path: Path
) -> None:
    with otel_phi.Bridge(endpoint=phoenix.http, service_name=SERVICE, profile="phoenix") as bridge:
        bridge.feed(golden.demo())
    sent = spans_of([golden.DEMO], None, "phoenix")
    phoenix.wait_for("default", len(sent))
    loops = [span for span in sent if span.get(s.OPERATION) == "invoke_agent" and session_of(span) == steps.DEMO]
    (said,) = eyes.look(steps.phoenix_session(phoenix.http, tmp_path / "session.png"))
    assert re.search(rf"Turns\s+{len(loops)}\b", said)
    (rows,) = eyes.look(steps.phoenix_traces(phoenix.http, tmp_path / "traces.png"))
    assert {"invoke_agent concise", "invoke_agent thorough"} <= set(re.findall(r"invoke_agent \w+", rows))


def test_mlflow_groups_traces_by_session_with_the_sum_of_its_tokens(
    mlflow: Mlflow, eyes: Browser, tmp_path: Path
) -> None:
    experiment = mlflow.experiment("pages")
    headers = {"x-mlflow-experiment-id": experiment}
    with otel_phi.Bridge(endpoint=mlflow.http, service_name=SERVICE, profile="mlflow", headers=headers) as bridge:
        bridge.feed(golden.demo())
    sent = spans_of([golden.DEMO], None, "mlflow")
    (said,) = eyes.look(steps.mlflow_sessions(mlflow.http, experiment, tmp_path / "sessions.png"), (1500, 620))
    for session in {session_of(span) for span in sent}:
        total = sum(tokens(span for span in sent if session_of(span) == session))
        row = re.search(rf"{session}.*?\b(OK|ERROR)\s+(\d+)", said, re.DOTALL)
        assert row is not None, said
        assert int(row[2]) == total
