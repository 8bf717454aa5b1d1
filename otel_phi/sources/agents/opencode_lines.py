"""opencode's records, decoded leniently, and what of them means what.

A record is one line of JSON, whatever it was kept in: a database's rows, a document of `opencode export`, a folder of files.

    {"info": {"id": "ses_...", "directory": ..., "version": ..., "time": {...}}}             the session; its first record
    {"info": {"id": "msg_...", "role": "user" | "assistant", ...}, "parts": [{...}, ...]}    a message with its parts, in order
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from otel_phi.sources.agents.reading import (
    anything,
    decoded,
    ident,
    instant,
    members,
    number,
    pieces,
    text,
    used,
)
from otel_phi.wire.messages import NULL, Usage

NAME = "opencode"
GOES_ON = ("tool-calls", "unknown")  # a `finish` after which opencode asks the model again
_STOPS = {"tool-calls": "toolUse", "content-filter": "content_filter", "unknown": "", "other": ""}
_ERRORS = {
    "ProviderAuthError": "auth_error",
    "MessageOutputLengthError": "output_length",
    "ContextOverflowError": "context_overflow",
    "ContentFilterError": "content_filter",
    "StructuredOutputError": "schema_mismatch",
}
_API_ERRORS = {401: "auth_error", 403: "auth_error", 408: "timeout", 429: "rate_limited"}
ABORTED = "MessageAbortedError"
_encode = msgspec.json.encode


class Record(msgspec.Struct):
    """A record is a session or a message with its parts."""

    info: Raw = NULL
    parts: Raw = NULL


class Info(msgspec.Struct):
    """An info is what is said of a session or a message; what an imitation may have in another type is `Any`."""

    id: Any = None
    sessionID: Any = None  # noqa: N815  (their names)
    parentID: Any = None  # noqa: N815
    forkedFrom: Any = None  # noqa: N815
    role: Any = None
    time: Any = None
    directory: Any = None
    title: Any = None
    version: Any = None
    agent: Any = None
    mode: Any = None
    model: Any = None
    modelID: Any = None  # noqa: N815
    providerID: Any = None  # noqa: N815
    variant: Any = None
    path: Any = None
    summary: Any = None
    tokens: Any = None
    cost: Any = None
    error: Any = None
    finish: Any = None


class Part(msgspec.Struct):
    """A part is a piece of a message."""

    type: Any = None
    text: Any = None
    synthetic: Any = None
    ignored: Any = None
    time: Any = None
    mime: Any = None
    filename: Any = None
    url: Any = None
    callID: Any = None  # noqa: N815
    tool: Any = None
    state: Raw = NULL
    prompt: Any = None
    reason: Any = None
    auto: Any = None


Parts = list[Part]


class State(msgspec.Struct):
    """A state is how far a tool has come."""

    status: Any = None
    input: Raw = NULL
    output: Raw = NULL
    error: Raw = NULL
    time: Any = None
    metadata: Any = None


_records = msgspec.json.Decoder(Record)
_infos = msgspec.json.Decoder(Info)
_parts = msgspec.json.Decoder(Part)
_states = msgspec.json.Decoder(State)


def record_of(data: bytes) -> tuple[Info, Parts, int] | None:
    """Returns a record's info and parts, and how many parts are none; None for what is no record."""
    record = decoded(_records, data)
    info = None if record is None else decoded(_infos, record.info)
    if record is None or info is None:
        return None
    found = [decoded(_parts, raw) for raw in pieces(record.parts)]
    parts = [part for part in found if part is not None]
    return info, parts, len(found) - len(parts)


def is_session(info: Info) -> bool:
    """Says whether an info is a session's."""
    return info.role is None and ident(info.id) != "" and isinstance(info.time, dict)


def is_message(info: Info) -> bool:
    """Says whether an info is a message's."""
    return info.role in ("user", "assistant", "idle") and (ident(info.id) != "" or ident(info.sessionID) != "")


def created_ns(info: Info) -> int:
    """Returns when something was created, 0 where it is not told."""
    return instant(members(info.time).get("created"))


def completed_ns(info: Info) -> int:
    """Returns when an answer was complete, 0 for one that never was."""
    return instant(members(info.time).get("completed"))


def streamed_ns(info: Info) -> int:
    """Returns when a model had answered, before its tools were done, as opencode 2 says; else 0."""
    return instant(members(info.time).get("streamed"))


def began_ns(part: Part | State) -> int:
    """Returns when a part began, 0 where it is not told."""
    return instant(members(part.time).get("start"))


def ended_ns(part: Part | State) -> int:
    """Returns when a part ended, 0 where it did not."""
    return instant(members(part.time).get("end"))


def state_of(part: Part) -> State:
    """Returns a tool's state, an empty one where it has none."""
    return decoded(_states, part.state) or State()


def model_of(info: Info) -> tuple[str, str]:
    """Returns model and provider of a message."""
    asked = members(info.model)
    return text(info.modelID) or text(asked.get("modelID")), text(info.providerID) or text(asked.get("providerID"))


def effort_of(info: Info) -> str:
    """Returns how much a model is to think: the variant that was chosen."""
    variant = text(info.variant) or text(members(info.model).get("variant"))
    return "" if variant == "default" else variant


# --- what a message is ---------------------------------------------------------------------------------------------------


def is_prompt(parts: Parts) -> bool:
    """Says whether a user's message is one: not what opencode itself tells the model in the user's name."""
    return not parts or any(part.synthetic is not True for part in parts)


def is_call(info: Info, parts: Parts) -> bool:
    """Says whether an answer is a model's: not a tool that the user ran, which opencode writes as one."""
    if usage_of(info) != Usage() or members(info.error):
        return True
    kinds = {part.type for part in parts}
    return "tool" not in kinds or not kinds.isdisjoint(_SPOKEN)


def grows(info: Info) -> bool:
    """Says whether an answer is not complete yet, or never will be."""
    return info.role == "assistant" and not (completed_ns(info) or text(info.finish) or members(info.error))


_SPOKEN = ("text", "reasoning", "step-start", "step-finish")
PARTS = (*_SPOKEN, "tool", "file", "subtask", "compaction", "retry", "agent", "snapshot", "patch")


def is_over(info: Info, parts: Parts) -> bool:
    """Says whether an answer is the last one to its prompt, as far as it says itself."""
    finish = finish_of(info, parts)
    if finish:
        return finish not in GOES_ON
    kinds = [part.type for part in parts if part.type in ("text", "tool")]
    return not kinds or kinds[-1] == "text"  # old versions: all that came of a prompt is one message


def finish_of(info: Info, parts: Parts) -> str:
    """Returns why an answer ended: its own word, or that of its last step; "" where neither is told."""
    steps = [text(part.reason) for part in parts if part.type == "step-finish"]
    return text(info.finish) or (steps[-1] if steps else "")


def steps_of(parts: Parts) -> int:
    """Returns how many model calls a message holds: one, but in old versions."""
    return sum(part.type == "step-finish" for part in parts)


# --- numbers and words ---------------------------------------------------------------------------------------------------


def usage_of(info: Info, steps: int = 1) -> Usage:
    """Returns a usage: cached tokens are beside the input, reasoning beside the output unless the total says otherwise.

    Args:
        info: the message.
        steps: how many model calls it holds; old versions keep the last one's numbers alone.
    """
    tokens = members(info.tokens)
    cache = members(tokens.get("cache"))
    given, output, reasoning = (number(tokens.get(key)) for key in ("input", "output", "reasoning"))
    read, write, total = number(cache.get("read")), number(cache.get("write")), number(tokens.get("total"))
    holds_reasoning = 0 < reasoning <= output and total == given + output + read + write
    return used(
        Usage(
            input=given,
            output=output if holds_reasoning else output + reasoning,
            reasoning=reasoning,
            cache_read=read,
            cache_write=write,
            cached="out",
            partial=steps > 1,
        )
    )


def cost_of(info: Info) -> float | None:
    """Returns what a call cost, None where it is not told."""
    cost = info.cost
    return float(cost) if isinstance(cost, int | float) and not isinstance(cost, bool) and cost >= 0 else None


def stop_of(finish: str) -> str:
    """Returns why an answer ended, in phi's words."""
    return _STOPS.get(finish, finish)


def error_of(info: Info) -> tuple[str, str, str]:
    """Returns the name of what went wrong with a call, our word for it, and what was said; "" each for nothing."""
    error = members(info.error)
    name, details = text(error.get("name")), members(error.get("data"))
    said = text(details.get("message")) or name
    if name == "APIError":
        return name, _API_ERRORS.get(number(details.get("statusCode")), "api_error"), said
    return name or ("UnknownError" if error else ""), _ERRORS.get(name, ""), said


def call_key(info: Info) -> str:
    """Returns what tells a message from all others where its copy has another id: a fork's has the same times and numbers."""
    usage, (model, provider) = usage_of(info), model_of(info)
    numbers = f"{usage.input}:{usage.output}:{usage.cache_read}:{usage.cache_write}:{cost_of(info)}"
    return f"{info.role}:{created_ns(info)}:{completed_ns(info)}:{provider}:{model}:{numbers}"


# --- sub-agents, and what a session says of itself ---------------------------------------------------------------


def children_of(data: bytes) -> list[tuple[str, str]]:
    """Returns the sessions that a message's tools ran, each with its call."""
    if b'"sessionId"' not in data and b'"sessionID"' not in data:
        return []
    found = record_of(data)
    tools = [part for part in found[1] if part.type == "tool"] if found else []
    pairs = ((_child_of(part), ident(part.callID)) for part in tools)
    return [(child, call_id) for child, call_id in pairs if child and call_id]


def _child_of(part: Part) -> str:
    metadata = members(state_of(part).metadata)
    return ident(metadata.get("sessionId")) or ident(metadata.get("sessionID"))


def header(given: bytes | Raw) -> bytes:
    """Returns a session's record of what is known of it, without what nobody asks for: a summary can hold whole files."""
    found = members(anything(given))
    kept = {
        key: found[key]
        for key in ("id", "parentID", "forkedFrom", "directory", "title", "version", "time")
        if key in found
    }
    return _encode({"info": kept})
