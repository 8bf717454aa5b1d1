"""Status: who is red, and in which low-cardinality word.

phi-core calls a loop Completed after an error, a cancel, a limit or a refused message; here stands what its events say
instead. The words for errors are in the events: policy derives them from texts, which go no further than that. No text of
the source goes into a status: the word, and a sentence of ours for it.
"""

from __future__ import annotations

from otel_phi.mapping.span import StatusCode
from otel_phi.recorder.notices import Answer, Chat, LoopClosed, Tool, TurnClosed

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
    "process_lost": "its process was lost before it ended",
    "rate_limited": "the provider's rate limit was hit",
    "schema_mismatch": "the answer did not fit the schema asked for",
    "skipped": "the tool was skipped because the user spoke",
    "timeout": "it took longer than its time limit",
    "tool_error": "the tool failed",
    "tool_not_found": "the model called a tool that does not exist",
    "_OTHER": "it failed",
}
PROCESS_LOST = "process_lost"


def status(error: str | None) -> tuple[StatusCode, str]:
    """Returns the status code and message for an error word, UNSET for None."""
    return (StatusCode.UNSET, "") if error is None else (StatusCode.ERROR, WORDS.get(error, error))


def unfinished(*, lost: bool) -> str:
    """Returns the error word of what never ended."""
    return PROCESS_LOST if lost else "aborted"


def answer_error(answer: Answer) -> str | None:
    """Returns the error word of a model's answer."""
    if answer.error_type is not None:
        return answer.error_type
    if answer.stop_reason == "aborted":
        return "aborted"
    return "_OTHER" if answer.stop_reason == "error" else None


def chat_error(chat: Chat, *, lost: bool = False) -> str | None:
    """Returns the error word of a model call; one without an answer is aborted, or lost with its turn."""
    return unfinished(lost=lost) if chat.answer is None else answer_error(chat.answer)


def tool_error(tool: Tool, *, lost: bool = False) -> str | None:
    """Returns the error word of a tool execution; one that never ended is aborted, or lost with its turn."""
    if tool.outcome == "aborted":
        return unfinished(lost=lost)
    if tool.outcome != "error":
        return None
    return tool.error_type or "tool_error"


def turn_error(turn: TurnClosed) -> str | None:
    """Returns the error word of a turn: aborted, or that of its model call."""
    if turn.aborted:
        return unfinished(lost=turn.lost)
    return chat_error(turn.chat) if turn.chat else None


def loop_error(loop: LoopClosed) -> str | None:
    """Returns the error word of a loop, the first that applies: what the source says of it, else what its events show."""
    if loop.rejected:
        return "input_rejected"
    if loop.outcome == "cancelled":
        return loop.error_type or "cancelled"
    last = turn_error(loop.last_turn) if loop.last_turn else None
    if loop.outcome == "error":
        return loop.error_type or last or "_OTHER"
    if loop.aborted:
        return unfinished(lost=loop.lost)
    if loop.outcome == "ok":
        return None  # a failed call that the agent survived is red alone
    return loop.error_type or last or _shown(loop)


def _shown(loop: LoopClosed) -> str | None:
    """Returns the error word of a loop whose last turn went well."""
    if loop.stop_limit is not None:
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


def limit(stop_limit: str | None) -> str | None:
    """Returns which limit stopped a loop, None where none did or its message names none we know."""
    return None if stop_limit == "_other" else stop_limit
