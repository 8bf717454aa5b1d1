"""Contents to attributes: policy has made them what a span says; here they are put where they belong, and counted.

Rule 1: without contents nothing is looked at, and nothing is on a span.
Rule 2: a chat never has `input.value` or `output.value`: with them MLflow and Langfuse hide roles and tool calls.
Rule 3: what was cut or taken out is counted by its marks, so the counts are those of what is shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from otel_phi.mapping import semconv as s
from otel_phi.mapping.attributes import Pair, cut
from otel_phi.mapping.providers import finish_reason
from otel_phi.recorder.notices import ChatContent, LoopClosed, Tool

# A loop has four attributes of a message's size, within the 512 KiB of a span: policy keeps a message below a quarter.
LOOP_BYTES = 131_072
# Room for the message that says how many are gone.
_GONE_BYTES = 96
_CUT = re.compile(r"…\[cut(?: \d+ bytes)?\]|\[\d+ earlier (?:messages|parts) cut\]")
_REDACTED = re.compile(r"\[redacted:[a-z0-9_]+\]")
_PLAIN, _JSON = "text/plain", "application/json"
_any = msgspec.json.Decoder()


def chat_pairs(content: ChatContent, stop_reason: str | None, max_bytes: int) -> list[Pair]:
    """Returns what was said in a model call.

    Args:
        content: of the call.
        stop_reason: as phi-core writes it, None for a call without an answer.
        max_bytes: of an attribute.
    """
    inputs = content.messages
    if inputs is None and content.inputs:
        inputs = newest(content.inputs, max_bytes)
    answer = None
    if content.answer is not None and stop_reason is not None:
        answer = _answer(content.answer, stop_reason)
    pairs: list[Pair] = [
        (s.SYSTEM, content.system),
        (s.INPUT_MESSAGES, inputs),
        (s.OUTPUT_MESSAGES, answer),
        (s.TOOL_DEFINITIONS, content.tools),
    ]
    return [
        *_marked(pairs),
        (s.INPUT_MODE, content.mode),
        (s.INPUT_COUNT, content.message_count),
        (s.INPUT_FIRST, content.first_message),
        (s.INPUT_PARTIAL, True if content.messages is None and content.inputs else None),
    ]


def loop_pairs(loop: LoopClosed, max_bytes: int) -> list[Pair]:
    """Returns a loop's prompt and final answer."""
    chat = loop.last_turn.chat if loop.last_turn is not None else None
    content = None if chat is None else chat.content
    prompt = loop.prompt
    if not prompt and content is None:
        return []
    room = min(max_bytes, LOOP_BYTES)
    asked, said = _text_of(prompt), None
    answer = None
    if content is not None and content.answer is not None and chat is not None and chat.answer is not None:
        answer = _answer(content.answer, chat.answer.stop_reason)
        said = "\n".join(_texts(content.answer))
    return _marked(
        [
            (s.INPUT_VALUE, cut(asked, room) if asked else None),
            (s.INPUT_TYPE, _PLAIN if asked else None),
            (s.OUTPUT_VALUE, cut(said, room) if said else None),
            (s.OUTPUT_TYPE_OF_VALUE, _PLAIN if said else None),
            (s.INPUT_MESSAGES, newest(prompt, room) if prompt else None),
            (s.OUTPUT_MESSAGES, answer),
        ]
    )


def prompt_pairs(prompt: str | None, max_bytes: int) -> list[Pair]:
    """Returns a session's first prompt, for its root.

    Args:
        prompt: list of messages, JSON; None for none.
        max_bytes: of an attribute.
    """
    if prompt is None:
        return []
    text = "\n".join(_message_texts(_decoded(prompt)))
    return _marked([(s.INPUT_VALUE, cut(text, max_bytes)), (s.INPUT_TYPE, _PLAIN)]) if text else []


def tool_pairs(tool: Tool) -> list[Pair]:
    """Returns what a tool was called with and what it answered: its result, or what it said when it failed."""
    if tool.arguments is None and tool.result is None:
        return []
    answer = None if tool.result is None else _result(tool.result)
    went_well = tool.outcome == "ok"
    return _marked(
        [
            (s.TOOL_ARGUMENTS, tool.arguments),
            (s.INPUT_VALUE, tool.arguments),
            (s.INPUT_TYPE, None if tool.arguments is None else _JSON),
            (s.TOOL_RESULT, answer if went_well else None),
            (s.OUTPUT_VALUE, None if went_well else answer),
            (s.OUTPUT_TYPE_OF_VALUE, None if went_well or answer is None else _PLAIN),
        ]
    )


def newest(messages: Sequence[str], max_bytes: int) -> str:
    """Returns messages, JSON each, as a list that fits: the newest, and before them one that says how many are gone."""
    left = max_bytes - 2 - _GONE_BYTES
    kept: list[str] = []
    for message in reversed(messages):
        left -= len(message.encode("utf-8", "surrogatepass")) + 1
        if left < 0 and kept:
            break
        kept.append(message)
    gone = len(messages) - len(kept)
    if gone:
        kept.append(f'{{"role":"system","parts":[{{"type":"text","content":"[{gone} earlier messages cut]"}}]}}')
    return f"[{','.join(reversed(kept))}]"


def _answer(parts: str, stop_reason: str) -> str:
    reason = msgspec.json.encode(finish_reason(stop_reason)).decode()
    return f'[{{"role":"assistant","parts":{parts},"finish_reason":{reason}}}]'


def _result(answer: str) -> str:
    """Returns a text as it is, a list of parts as JSON."""
    found = _decoded(answer)
    return found if isinstance(found, str) else answer


def _decoded(text: str) -> Any:
    try:
        return _any.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def _text_of(messages: Iterable[str]) -> str:
    return "\n".join(text for one in messages for text in _message_texts([_decoded(one)]))


def _message_texts(messages: Any) -> list[str]:
    """Returns the texts of what users said; of the newest message where none is of a user."""
    found = [one for one in messages if isinstance(one, dict)] if isinstance(messages, list) else []
    users = [one for one in found if one.get("role") == "user"]
    return [text for one in users or found[-1:] for text in _part_texts(one.get("parts"))]


def _texts(parts: str) -> list[str]:
    return _part_texts(_decoded(parts))


def _part_texts(parts: Any) -> list[str]:
    given = parts if isinstance(parts, list) else []
    return [
        part["content"]
        for part in given
        if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("content"), str)
    ]


def _marked(pairs: list[Pair]) -> list[Pair]:
    """Returns pairs, and how much of their texts was cut and taken out; what stands in two of them counts once."""
    texts = {value for _, value in pairs if isinstance(value, str)}
    cuts = sum(len(_CUT.findall(text)) for text in texts if " cut]" in text or "…[cut" in text)
    gone = sum(len(_REDACTED.findall(text)) for text in texts if "[redacted:" in text)
    return [*pairs, (s.CONTENT_CUT, cuts or None), (s.CONTENT_REDACTED, gone or None)]
