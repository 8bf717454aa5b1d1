"""Real and made samples of other agents' sessions, and a fold of them as a door would do it: at once, or killed and rebuilt."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import UnsetType

from otel_phi.events import (
    AgentEvent,
    AgentStart,
    AssistantMessage,
    MessageEnd,
    SideCall,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolResultMessage,
    Usage,
)
from otel_phi.sources.agents.adapter import MAX_STATE_BYTES, Adapter, Context, Fold, resume_position
from otel_phi.sources.agents.claims import Claims, ClaimsInMemory
from otel_phi.sources.kinds import kind_of
from otel_phi.sources.lines import chunks, open_lines
from tests import golden

FOLDER = golden.PROJECT.parent / "shared" / "agents"
FOLDERS = {
    "claude-code": "claude",
    "codex": "codex",
    "pi": "pi",
    "openclaw": "openclaw",
    "opencode": "opencode",
    "atif": "atif",
    "gemini-cli": "gemini",
}
WHY_ABSENT = f"SKIPPED, NOT PASSED: samples of other agents' sessions are not at {FOLDER}"
needed = pytest.mark.skipif(not FOLDER.is_dir(), reason=WHY_ABSENT)
LATER_NS = 1_800_000_000_000_000_000  # the time of a file without any, here


def expected(agent: str) -> dict[str, Any]:
    """Returns the independently computed totals of an agent's samples; none where they are absent."""
    path = FOLDER / FOLDERS[agent] / "expected.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return {name: _whole(wanted) for name, wanted in found.items()}


def _whole(wanted: dict[str, Any]) -> dict[str, Any]:
    """Returns the totals of a file of several trajectories as one."""
    if wanted.keys() & {"tokens", "main", "_folder"}:
        return wanted
    parts = list(wanted.values())
    whole = {key: sum(part[key] for part in parts) for key in parts[0] if isinstance(parts[0][key], int)}
    return {**whole, "tokens": {key: sum(part["tokens"][key] for part in parts) for key in parts[0]["tokens"]}}


def session_files(agent: str) -> list[Path]:
    """Returns the files of an agent's samples that hold sessions."""
    found = sorted(path for path in (FOLDER / FOLDERS[agent]).rglob("*.json*") if path.is_file())
    return [path for path in found if kind_of(path) == "agent"]


def files() -> list[tuple[str, str]]:
    """Returns all main files with totals, as agent and name."""
    return [(agent, name) for agent in FOLDERS for name in expected(agent) if name != "_folder"]


def sample(agent: str, name: str) -> Path:
    """Returns the path of a sample."""
    return FOLDER / FOLDERS[agent] / name


def records_of(path: Path) -> bytes:
    """Returns a file's records, one a line: those of a document, the lines of any other."""
    with open_lines(path) as stream:
        return b"".join(chunks(stream))


def main_files(folder: Path) -> list[Path]:
    """Returns the files of agents' sessions in a folder of samples."""
    found = [path for path in folder.rglob("*") if path.suffix in (".json", ".jsonl")]
    return sorted(path for path in found if path.name != "expected.json" and not path.name.endswith(".meta.json"))


def lines_of(data: bytes) -> list[tuple[int, bytes]]:
    """Returns lines with their offsets."""
    found, offset = [], 0
    for line in data.split(b"\n"):
        found.append((offset, line))
        offset += len(line) + 1
    return found


def written(*records: dict[str, Any]) -> bytes:
    """Returns records as lines."""
    return b"".join(msgspec.json.encode(record) + b"\n" for record in records)


def folded(
    adapter: Adapter,
    data: bytes,
    *,
    claims: Claims | None = None,
    kill_after: int = 0,
    name: str = "file",
    **world: Any,
) -> tuple[list[AgentEvent], Counter[str]]:
    """Returns the events of a file and what its folds counted; a document is one record.

    Args:
        adapter: its format.
        data: what it holds.
        claims: the table, None for one of its own.
        kill_after: rebuild the fold from its state after every so many lines, 0 for never.
        name: the file's.
        **world: more of the context.
    """
    table = ClaimsInMemory() if claims is None else claims
    context = Context(claims=table, name=name, fallback_ns=LATER_NS, **world)
    records = [(0, data)] if adapter.group(name, data).document else lines_of(data)
    places = {position: number for number, (position, _) in enumerate(records)}
    fold, events, counts = adapter.fold(context), list[AgentEvent](), Counter[str]()
    number = killed = 0
    while number < len(records):
        events += fold.record(*records[number])
        number += 1
        if kill_after and number % kill_after == 0 and number > killed:
            state, killed = fold.state, number
            assert len(state) <= MAX_STATE_BYTES
            counts += fold.counts
            fold = adapter.fold(context, state)
            again = resume_position(state)
            number = number if again is None else places[again]
    return [*events, *fold.settle("end")], counts + fold.counts


def fed(fold: Fold, *records: dict[str, Any]) -> list[AgentEvent]:
    """Returns the events of some records given one after the other, and nothing said of what comes then."""
    return [event for position, line in lines_of(written(*records)) for event in fold.record(position, line)]


class Totals(msgspec.Struct):
    """Is what a session's events add up to.

    Attributes:
        tokens: of the turns' calls; input counts cached tokens, output counts reasoning.
        side: the same of the calls beside the turns.
        calls: answers; `measured` those of them that have tokens.
        loops: those that a prompt began: what goes on after a pause is no new one.
        tools: tools called.
        results: their results.
        errors: those of them that are errors.
        cost_usd: of the turns' calls.
    """

    tokens: Counter[str]
    side: Counter[str]
    calls: int = 0
    measured: int = 0
    loops: int = 0
    tools: int = 0
    results: int = 0
    errors: int = 0
    cost_usd: float = 0.0


def totals(events: Iterable[AgentEvent]) -> Totals:
    """Adds up events."""
    found = Totals(Counter(), Counter())
    executed: set[tuple[str, str, int]] = set()
    for event in events:
        match event:
            case AgentStart():
                found.loops += event.continuation_kind != "Default"
            case SideCall():
                found.side += tokens_of(event.usage)
            case ToolExecutionStart():
                found.tools += 1
            case ToolExecutionEnd():
                executed.add((event.loop_id, event.tool_call_id, int(event.timestamp or 0)))
            case MessageEnd(message=AssistantMessage() as answer):
                _add_answer(found, answer)
            case MessageEnd(message=ToolResultMessage() as result):
                at = (event.loop_id, result.tool_call_id)
                if any(at == one[:2] for one in executed):
                    found.results += 1
                    found.errors += result.is_error
                else:
                    found.tools += 1  # called and not run
    return found


def _add_answer(found: Totals, message: AssistantMessage) -> None:
    tokens = tokens_of(message.usage)
    found.tokens += tokens
    found.calls += 1
    found.measured += bool(tokens)
    found.cost_usd += 0 if isinstance(message.cost_usd, UnsetType) else message.cost_usd


def tokens_of(usage: Usage) -> Counter[str]:
    """Returns a usage in one meaning; every adapter says which one it has."""
    if usage == Usage():
        return Counter()
    assert usage.cached in ("in", "out")
    beside = usage.cache_read + usage.cache_write if usage.cached == "out" else 0
    return Counter(
        input=usage.input + beside,
        output=usage.output,
        cache_read=usage.cache_read,
        cache_write=usage.cache_write,
        reasoning=usage.reasoning,
    )


def same_tokens(found: Counter[str], wanted: dict[str, int]) -> None:
    """Asserts that tokens are those of `expected.json`."""
    assert {key: found[key] for key in wanted} == wanted


def each(events: Sequence[AgentEvent], kind: type, of: Callable[[Any], Any]) -> list[Any]:
    """Returns something of each event of a kind."""
    return [of(event) for event in events if isinstance(event, kind)]
