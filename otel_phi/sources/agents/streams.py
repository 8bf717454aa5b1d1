"""What agents print while they work, made the records that their files have: for a door that reads standard input.

    pi --mode json                             its fold reads these lines as they are
    claude -p --output-format stream-json      no times: a line is of when it came; a sub-agent's lines name the call that ran it
    codex exec --json                          no times, no models; one usage a turn of the user, which its last model call carries

Rule 1: pure: the door says when a line came.
Rule 2: what a line does not say is not made up: a stream and a file of one session have the same session, and Codex's other loop ids.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from otel_phi.sources.agents.reading import anything, members, number, text
from otel_phi.wire.times import Instant, format_time

_encode = msgspec.json.encode
# An item of Codex's stream that runs something, by its type: the name of its tool.
_TOOLS = {"command_execution": "shell", "file_change": "apply_patch", "web_search": "web_search", "mcp_tool_call": ""}


class ClaudeStream:
    """A Claude stream is what `claude -p --output-format stream-json` prints."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}  # of each sub-agent, by the call that ran it: its line before
        self._version = ""
        self._begun = 0

    def __call__(self, line: bytes, now_ns: int) -> list[bytes]:
        """Returns a line as a transcript's, with the time at which it came."""
        found = members(anything(line))
        kind, subtype = found.get("type"), found.get("subtype")
        shared = {"sessionId": found.get("session_id"), "timestamp": _time(now_ns), "entrypoint": "sdk-cli"}
        if kind == "system" and subtype == "init":
            self._begun += 1
            self._version = text(found.get("claude_code_version")) or self._version
            asked = {"type": "user", "uuid": f"init-{text(found.get('session_id'))}-{now_ns}", "message": _NO_PROMPT}
            return [_encode({**shared, **asked, "version": self._version, "cwd": found.get("cwd")})]
        if kind == "result":
            return [_encode({**shared, "type": "system", "subtype": "turn_duration"})]
        if kind not in ("assistant", "user"):
            return [line]
        return [_encode({**found, **shared, **self._sidechain(found), "session_id": None, "version": self._version})]

    def _sidechain(self, found: Mapping[str, Any]) -> dict[str, Any]:
        call_id = text(found.get("parent_tool_use_id"))
        if not call_id:
            return {}
        before, self._last[call_id] = self._last.get(call_id), text(found.get("uuid"))
        return {"isSidechain": True, "parentUuid": before}


_NO_PROMPT = {"role": "user", "content": []}


class CodexStream:
    """A Codex stream is what `codex exec --json` prints."""

    def __init__(self) -> None:
        self._thread = ""
        self._tasks = 0
        self._called: set[str] = set()  # items whose call was said

    def __call__(self, line: bytes, now_ns: int) -> list[bytes]:
        """Returns the lines of a rollout that a line stands for."""
        found = members(anything(line))
        return [_encode({"timestamp": _time(now_ns), "type": kind, "payload": one}) for kind, one in self._of(found)]

    def _of(self, found: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        match found.get("type"):
            case "thread.started":
                self._thread = text(found.get("thread_id"))
                return [("session_meta", {"id": self._thread, "originator": "codex_exec", "source": "exec"})]
            case "turn.started":
                self._tasks += 1
                self._called.clear()
                return [("event_msg", {"type": "task_started", "turn_id": f"{self._thread}-{self._tasks}"})]
            case "item.started" | "item.completed" as kind:
                return self._item(members(found.get("item")), done=kind == "item.completed")
            case "turn.completed":
                return [*_used(members(found.get("usage"))), ("event_msg", {"type": "task_complete"})]
            case "turn.failed":
                return [("event_msg", {"type": "error"}), ("event_msg", {"type": "task_complete"})]
            case kind:
                return [(text(kind) or "unknown", {})]

    def _item(self, item: dict[str, Any], *, done: bool) -> list[tuple[str, dict[str, Any]]]:
        kind, item_id = text(item.get("type")), text(item.get("id"))
        if kind in _TOOLS:
            call_id = f"{self._thread}-{self._tasks}-{item_id}"
            made = [] if call_id in self._called else [("response_item", _call(item, kind, call_id))]
            self._called.add(call_id)
            return [*made, *(_result(item, call_id) if done else [])]
        if not done:
            return []
        words = text(item.get("text"))
        if kind == "agent_message":
            content = [{"type": "output_text", "text": words}]
            return [("response_item", {"type": "message", "role": "assistant", "content": content})]
        if kind == "reasoning":
            return [("response_item", {"type": "reasoning", "summary": [{"type": "summary_text", "text": words}]})]
        return [(f"item/{kind}", {})]


def _call(item: Mapping[str, Any], kind: str, call_id: str) -> dict[str, Any]:
    name = _TOOLS[kind] or "__".join(filter(None, (text(item.get("server")), text(item.get("tool")))))
    args = {key: item[key] for key in ("command", "changes", "query", "arguments") if key in item}
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": _encode(args).decode()}


def _result(item: Mapping[str, Any], call_id: str) -> list[tuple[str, dict[str, Any]]]:
    known = {"id": call_id, **{key: item[key] for key in ("status", "exit_code") if key in item}}
    output = item.get("aggregated_output") or item.get("result") or item.get("error") or ""
    words = output if isinstance(output, str) else _encode(output).decode()
    return [
        ("event_msg", {"type": "item_completed", "item": known}),
        ("response_item", {"type": "function_call_output", "call_id": call_id, "output": words}),
    ]


def _used(usage: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    if not usage:
        return []
    total = {**usage, "total_tokens": number(usage.get("input_tokens")) + number(usage.get("output_tokens"))}
    return [("event_msg", {"type": "token_count", "info": {"total_token_usage": total}})]


def _as_it_is(line: bytes, now_ns: int) -> list[bytes]:
    del now_ns
    return [line]


def _time(now_ns: int) -> str:
    return format_time(Instant(now_ns))


# An agent's flag on the command line -> the format that reads it, and what makes its lines that format's records.
STREAMS: dict[str, tuple[str, Callable[[], Callable[[bytes, int], list[bytes]]]]] = {
    "pi": ("pi", lambda: _as_it_is),
    "claude": ("claude-code", ClaudeStream),
    "codex": ("codex", CodexStream),
}
