"""What people, models and tools wrote leaves nowhere: a marker in every string that is no word of the format's own comes out in no span."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from otel_phi.delivery.otlp.encoder import Encoder
from otel_phi.delivery.otlp.resource import Resource
from otel_phi.mapping.options import MappingOptions
from otel_phi.pipeline import spans
from otel_phi.recorder.references import ahead_of
from otel_phi.sources.stored import Stored
from tests.cli import test_agents as made
from tests.sources.agents import samples

MARKER = "planted words with blanks"
# What names things and stands for a kind, not what somebody wrote.
WORDS = {
    "agentId", "api", "api_key", "call_id", "customType", "forked_from_id", "id", "leafUuid", "model", "modelApi",
    "modelId", "messageId", "model_provider", "name", "parentId", "parentToolUseID", "parentUuid", "parent_thread_id", "promptId", "provider",
    "requestId", "responseModel", "role", "sessionId", "session_id", "source", "status", "stopReason", "stop_reason", "subtype", "timestamp",
    "toolCallId", "toolName", "toolUseID", "toolUseId", "tool_use_id", "turn_id", "type", "uuid",
    "sourceToolAssistantUUID", "operation", "thinkingLevel", "parentSession", "branchedFrom",
    "schema_version", "trajectory_id", "tool_call_id", "source_call_id", "function_name", "model_name",
    "projectHash", "kind", "startTime", "lastUpdated", "$rewindTo",
}  # fmt: skip
WRITERS = {
    "claude": made.claude_project,
    "codex": made.codex_sessions,
    "pi": made.pi_sessions,
    "openclaw": made.openclaw_session,
    "atif": made.atif_trial,
    "gemini": made.gemini_project,
}
NOWHERE = ("atif",)  # it does not say where the agent worked, nor what a session is called


def planted(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: planted(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [planted(inner, key) for inner in value]
    if isinstance(value, str) and key not in WORDS:
        return f"{value} {MARKER}"
    return value


def plant(path: Path) -> int:
    """Rewrites a file with a marker in every string that is no word; returns how many."""
    if path.suffix == ".json":
        path.write_text(json.dumps(planted(json.loads(path.read_text()))))
        return path.read_text().count(MARKER)
    lines = [planted(json.loads(line)) for line in path.read_bytes().split(b"\n") if line.startswith(b"{")]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path.read_text().count(MARKER)


def sent(folder: Path, options: MappingOptions) -> bytes:
    stored = Stored([folder], final=True)
    encoder = Encoder(Resource((("service.name", "unknown_service"),)))
    entries = [encoder.span(span) for span in spans(stored.events(), options, ahead=ahead_of(stored.starts))]
    assert entries
    return encoder.request(entries)


@pytest.mark.parametrize("agent", WRITERS)
def test_no_marker_of_a_made_session_leaves(agent: str, tmp_path: Path) -> None:
    WRITERS[agent](tmp_path)
    assert sum(plant(path) for path in tmp_path.rglob("*.json*")) > 5
    assert MARKER.encode() not in sent(tmp_path, MappingOptions())
    where = MARKER.encode() in sent(tmp_path, MappingOptions(source_info=True))  # the folder it worked in
    assert where is (agent not in NOWHERE)


@samples.needed
@pytest.mark.parametrize("agent", WRITERS)
def test_no_marker_of_a_sample_leaves(agent: str, tmp_path: Path) -> None:
    for path in (samples.FOLDER / agent).rglob("*.json*"):
        copy = tmp_path / path.relative_to(samples.FOLDER / agent)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".json":
            copy.write_bytes(path.read_bytes())
            plant(copy)
            continue
        lines = [line for line in path.read_bytes().split(b"\n") if line.startswith(b"{")]
        copy.write_bytes(b"\n".join(line for line in lines if _is_json(line)))
        plant(copy)
    assert MARKER.encode() not in sent(tmp_path, MappingOptions())


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
