"""Status: what went wrong, in one low-cardinality word, derived from facts.

phi-core calls a loop Completed after an error, a cancel, a limit or a refused message; the words here come from what its
events say instead. No text of the source goes into a status: the word, and a sentence of ours for it.
"""

from __future__ import annotations

import re

from otel_phi.mapping.span import StatusCode
from otel_phi.recorder.notices import Answer, Chat, LoopClosed, Tool, TurnClosed

# phi-core's ProviderError in its Display form: what the message begins with, and our word.
_PROVIDER_ERRORS = (
    ("API error:", "api_error"),
    ("Network error:", "network_error"),
    ("Auth error:", "auth_error"),
    ("Rate limited", "rate_limited"),
    ("Context overflow:", "context_overflow"),
    ("Cancelled", "cancelled"),
    ("Schema mismatch:", "schema_mismatch"),
)
# What phi-core answers the model for a tool that failed: the text's beginning, its end, and our word.
_TOOL_ERRORS = (
    ("Tool ", " not found", "tool_not_found"),
    ("Tool not found:", "", "tool_not_found"),
    ("Invalid arguments:", "", "invalid_arguments"),
    ("Cancelled", "", "cancelled"),
    ("Tool exceeded timeout", "", "timeout"),
    ("Skipped due to queued user message.", "", "skipped"),
)
# phi-core 0.15, `agent_loop/run.rs` and `context/execution.rs`: `[Agent stopped: Max turns reached (50/50)]`.
_LIMIT = re.compile(r"\[Agent stopped: Max (turns|tokens|duration|cost) reached")
# Anthropic, OpenAI responses and Azure report an HTTP status as reqwest-eventsource's text.
_HTTP_STATUS = re.compile(r"Invalid status code: (\d{3})")
_BY_HTTP_STATUS = {"401": "auth_error", "403": "auth_error", "429": "rate_limited"}

# Each word in words: the status message, and what `otel-phi show` prints.
WORDS = {
    "aborted": "it never ended: the stream stops before its end",
    "api_error": "the provider's API refused the request",
    "auth_error": "the provider did not accept the credentials",
    "cancelled": "it was cancelled",
    "context_overflow": "the context did not fit the model's window",
    "execution_limit": "an execution limit of the agent was reached",
    "input_rejected": "an input filter refused a message",
    "interrupted": "the model asked for tools and no turn followed: cancelled, or stopped by a hook",
    "invalid_arguments": "the tool refused its arguments",
    "network_error": "the provider could not be reached",
    "permission_denied": "the user did not allow it",
    "process_lost": "its process was lost before it ended",
    "rate_limited": "the provider's rate limit was hit",
    "schema_mismatch": "the answer did not fit the schema asked for",
    "skipped": "the tool was skipped because the user spoke",
    "timeout": "the tool took longer than its time limit",
    "tool_error": "the tool failed",
    "tool_not_found": "the model called a tool that does not exist",
    "_OTHER": "it failed",
}


def status(error: str | None) -> tuple[StatusCode, str]:
    """Returns the status code and message for an error word, UNSET for None."""
    return (StatusCode.UNSET, "") if error is None else (StatusCode.ERROR, WORDS.get(error, error))


def answer_error(answer: Answer) -> str | None:
    """Returns the error word of a model's answer."""
    if answer.error_type is not None:
        return answer.error_type
    if answer.stop_reason == "aborted":
        return "aborted"
    if answer.stop_reason != "error" and answer.error_message is None:
        return None
    text = answer.error_message or ""
    found = _HTTP_STATUS.match(text)
    if found is not None:
        return _BY_HTTP_STATUS.get(found[1], "api_error")
    if text.startswith('{"type":"error"'):
        return "api_error"  # a provider's error event, passed on as it came
    return next((word for start, word in _PROVIDER_ERRORS if text.startswith(start)), "_OTHER")


def chat_error(chat: Chat) -> str | None:
    """Returns the error word of a model call; one without an answer is aborted."""
    return "aborted" if chat.answer is None else answer_error(chat.answer)


def tool_error(tool: Tool) -> str | None:
    """Returns the error word of a tool execution."""
    if tool.outcome == "aborted":
        return "aborted"
    if tool.outcome != "error":
        return None
    if tool.error_type is not None:
        return tool.error_type
    text = tool.error_text
    found = (word for start, end, word in _TOOL_ERRORS if text.startswith(start) and text.endswith(end))
    return next(found, "tool_error")


def turn_error(turn: TurnClosed) -> str | None:
    """Returns the error word of a turn: aborted, or that of its model call."""
    if turn.aborted:
        return "aborted"
    return chat_error(turn.chat) if turn.chat else None


def loop_error(loop: LoopClosed) -> str | None:
    """Returns the error word of a loop, the first that applies; None where its AgentEnd says that all was well."""
    if loop.rejected:
        return "input_rejected"
    if loop.outcome == "cancelled":
        return "cancelled"
    if loop.outcome == "error":
        return loop.error_type or _derived(loop) or "_OTHER"
    if loop.aborted:
        return "aborted"
    return None if loop.outcome == "ok" else _derived(loop)


def _derived(loop: LoopClosed) -> str | None:
    """Returns the error word that follows from a loop's turns and messages."""
    last = turn_error(loop.last_turn) if loop.last_turn else None
    if last is not None:
        return last
    if loop.stop_text is not None:
        return "execution_limit"
    if loop.input_refused:
        return "input_rejected"
    return _unfinished(loop.last_turn)


def _unfinished(turn: TurnClosed | None) -> str | None:
    """Returns the error word of a loop whose last turn ran tools for the model, which was then never asked again."""
    answer = turn.chat.answer if turn and turn.chat else None
    if turn is None or answer is None or answer.stop_reason != "toolUse" or not turn.tools:
        return None
    return "cancelled" if any(tool_error(tool) == "cancelled" for tool in turn.tools) else "interrupted"


def limit(stop_text: str | None) -> str | None:
    """Returns which limit stopped a loop, None where none did or its message names none we know."""
    found = _LIMIT.match(stop_text or "")
    return found[1] if found else None
