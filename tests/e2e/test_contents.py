"""Contents, read back from real backends by their own interfaces: who said what, calls and results, thoughts, tokens, in both scopes.

The stream is the demo's: two agents, tools, a tool that fails, a parallel evaluation.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from otel_phi.config import resolve
from otel_phi.mapping import semconv as s
from otel_phi.mapping.span import Span
from otel_phi.pipeline import spans
from otel_phi.recorder.references import ahead_of
from otel_phi.sources.stored import Stored
from tests import golden
from tests.e2e.commands import export
from tests.e2e.mlflow import Mlflow
from tests.e2e.phoenix import Phoenix
from tests.e2e.processes import wait_for
from tests.e2e.sending import tokens
from tests.e2e.sessions import Scope, with_other_ids

pytestmark = pytest.mark.apps

SCOPES: tuple[Scope, ...] = ("loop", "session")
PROMPT = "The test retries_in_time fails. Please fix it."


def sent(folder: Path, scope: Scope, profile: str, *flags: object) -> list[Span]:
    """Exports the demo's stream with its contents; returns its spans."""
    (folder / "as-it-is").mkdir(parents=True)
    shutil.copy(golden.DEMO, folder / "as-it-is" / "demo.jsonl")
    paths = tuple(with_other_ids(folder / "as-it-is", folder / scope).iterdir())
    asked = ("--trace-scope", scope)
    export(*paths, "--content", "--profile", profile, *asked, *flags, OTEL_PHI_STATE_DIR=str(folder / "state"))
    stored = Stored(paths, final=True)
    config = resolve(profile=profile, trace_scope=scope, capture_content=True)
    return list(spans(stored.events(), config, ahead=ahead_of(stored.starts)))


def decoded_value(span: Span, key: str) -> Any:
    """Returns what a span says under a key, decoded; None where it says nothing."""
    value = span.get(key)
    return None if value is None else json.loads(str(value))


@pytest.mark.parametrize("scope", SCOPES)
def test_phoenix_tells_roles_texts_calls_results_tools_and_tokens(
    scope: Scope, phoenix: Phoenix, tmp_path: Path
) -> None:
    project = f"contents-{scope}"
    ours = {
        (span.trace_id, span.span_id): span
        for span in sent(
            tmp_path, scope, "phoenix", "--endpoint", phoenix.http, "--header", f"x-project-name={project}"
        )
    }
    theirs = {span.place: span for span in phoenix.wait_for(project, len(ours))}
    chats = {place: span for place, span in ours.items() if span.get(s.OPERATION) == "chat"}
    assert len(chats) > 5
    for place, chat in chats.items():
        model = theirs[place].attributes["llm"]
        asked, said = decoded_value(chat, s.INPUT_MESSAGES), decoded_value(chat, s.OUTPUT_MESSAGES)
        system = len(decoded_value(chat, s.SYSTEM) or [])
        heard = [one["message"] for one in model.get("input_messages", [])]
        assert [one["role"] for one in heard][-len(asked) :] == [one["role"] for one in asked]
        assert len(heard) in (len(asked), len(asked) + system)
        (answer,) = (one["message"] for one in model["output_messages"])
        calls = [part["name"] for part in said[0]["parts"] if part["type"] == "tool_call"]
        assert [one["tool_call"]["function"]["name"] for one in answer.get("tool_calls", [])] == calls
        assert theirs[place].tokens == (chat.get(s.USAGE_INPUT), chat.get(s.USAGE_OUTPUT))
    assert (
        sum(span.tokens[0] or 0 for span in theirs.values()),
        sum(span.tokens[1] or 0 for span in theirs.values()),
    ) == tokens(ours.values())
    tools = [theirs[place] for place, span in ours.items() if span.get(s.OPERATION) == "execute_tool"]
    assert all(tool.content[0] for tool in tools)
    assert any("FAILED" in (tool.content[1] or "") for tool in tools)
    roots = [
        theirs[place].content for place, span in ours.items() if not span.parent_span_id and span.get(s.INPUT_VALUE)
    ]
    assert PROMPT in {given for given, _ in roots}
    first = {session.content[0] for session in phoenix.sessions(project).values()}
    assert PROMPT in first


@pytest.mark.parametrize("scope", SCOPES)
def test_mlflow_tells_request_and_response_and_keeps_messages_whole(
    scope: Scope, mlflow: Mlflow, tmp_path: Path
) -> None:
    experiment = mlflow.experiment(f"contents-{scope}")
    ours = sent(
        tmp_path, scope, "mlflow", "--endpoint", mlflow.http, "--header", f"x-mlflow-experiment-id={experiment}"
    )
    traces = {span.trace_id for span in ours}
    wait_for(lambda: set(mlflow.traces(experiment)) == traces, "the traces in MLflow", 60.0, every_s=1.0)
    rows = mlflow.traces(experiment)
    asked = {row.content[0] for row in rows.values()}
    assert any(PROMPT in (text or "") for text in asked)
    for key in (s.INPUT_MESSAGES, s.OUTPUT_MESSAGES, s.SYSTEM, s.TOOL_ARGUMENTS, s.TOOL_RESULT):
        said = [_plain(span.get(key)) for span in ours if span.get(key) is not None]
        kept = [_plain(value) for value in mlflow.attributes(sorted(traces), key)]
        assert sorted(map(_written, kept)) == sorted(map(_written, said)) != []
    assert sum(row.tokens[0] for row in rows.values()) == tokens(ours)[0]


def _written(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def _plain(value: object) -> Any:
    """Returns JSON decoded, as often as it was written as a text."""
    with contextlib.suppress(ValueError):
        while isinstance(value, str):
            value = json.loads(value)
    return value
