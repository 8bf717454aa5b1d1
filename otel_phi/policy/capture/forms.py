"""Messages, as phi-core and its kin write them, to the convention's parts, without what is a secret.

Rule 1: what is in the convention's form already is read too: what was admitted once can be admitted again, and is the same.
Rule 2: no part of an unknown type: what has no form of its own is a text that says what it was.
Rule 3: a tool's result is one message with one part: Phoenix keeps only the last response of a message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw

from otel_phi.policy.capture.cutting import JSON, text_part
from otel_phi.policy.redaction.ends import Tally
from otel_phi.policy.redaction.redactor import Redactor
from otel_phi.policy.words import OTHER, name, word
from otel_phi.wire.foreign import pass_on
from otel_phi.wire.messages import NULL

# Ids of calls are short; one that is not is cut, so that it cannot take a message's whole room.
MAX_ID = 128
_ROLES = {"user": "user", "assistant": "assistant", "toolResult": "tool", "tool": "tool", "system": "system"}


class Forms:
    """The forms are those of one configuration.

    Args:
        redactor: takes secrets out.
        images: whether images go along.
        reasoning: whether what a model thought goes along.
        room: characters of one text that can be left of it at most.
    """

    def __init__(self, redactor: Redactor, *, images: bool, reasoning: bool, room: int) -> None:
        self._redactor = redactor
        self._images = images
        self._reasoning = reasoning
        self._room = room
        self._makers: dict[str, Callable[[JSON, str, Tally], JSON | None]] = {
            "text": self._text,
            "thinking": self._thought,
            "reasoning": self._thought,
            "toolCall": self._call,
            "tool_call": self._call,
            "tool_call_response": self._response,
            "image": self._image,
            "blob": self._image,
        }

    def text(self, text: str, where: str, tally: Tally) -> str:
        """Returns a text without its secrets."""
        return self._redactor.text(text, where, tally, self._room)

    def value(self, raw: Raw, where: str, tally: Tally) -> Any:
        """Returns a JSON value without its secrets, None where it cannot be read."""
        return self._redactor.value(decode_json(raw), where, tally)

    def parts(self, content: Any, where: str, tally: Tally) -> list[JSON]:
        """Returns a content's blocks as parts; a bare text is one of them."""
        if isinstance(content, str):
            return [text_part(self.text(content, where, tally))]
        blocks = [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []
        found = [part for block in blocks if (part := self._part(block, where, tally)) is not None]
        texts = [part for part in found if part["type"] == "text"]
        if len(texts) > 1:  # what is split over them
            kept = self._redactor.across([part["content"] for part in texts], tally)
            for part, text in zip(texts, kept, strict=True):
                part["content"] = text
        return found

    def response(self, content: Any, where: str, tally: Tally) -> Any:
        """Returns a tool's answer: its texts as one, else its parts."""
        return joined(self.parts(content, where, tally))

    def message(self, given: Any, tally: Tally) -> JSON | None:
        """Returns a message of a request, None for one that no model gets."""
        role = _ROLES.get(str(given.get("role"))) if isinstance(given, dict) else None
        if role is None:
            return None
        if "parts" in given:
            return {"role": role, "parts": self.parts(given["parts"], _where(role), tally)}
        if role != "tool":
            return {"role": role, "parts": self.parts(given.get("content"), _where(role), tally)}
        call_id = given.get("toolCallId", given.get("tool_call_id"))
        return tool_message(call_id, self.response(given.get("content"), "tool.result", tally))

    def _part(self, block: JSON, where: str, tally: Tally) -> JSON | None:
        kind = block.get("type")
        make = self._makers.get(kind) if isinstance(kind, str) else None
        if make is None:
            found = word(kind) if isinstance(kind, str) else OTHER
            return text_part(f"[{found}: left out]")
        return make(block, where, tally)

    def _text(self, block: JSON, where: str, tally: Tally) -> JSON:
        return text_part(self.text(_text_of(block, "text", "content"), where, tally))

    def _thought(self, block: JSON, where: str, tally: Tally) -> JSON | None:
        if not self._reasoning:
            return None
        return {"type": "reasoning", "content": self.text(_text_of(block, "thinking", "content"), where, tally)}

    def _call(self, block: JSON, _: str, tally: Tally) -> JSON:
        made = {"type": "tool_call", "id": _id(block.get("id")), "name": _name(block.get("name"))}
        return {**made, "arguments": self._redactor.value(block.get("arguments"), "tool.arguments", tally)}

    def _response(self, block: JSON, _: str, tally: Tally) -> JSON:
        answer = block.get("response")
        if isinstance(answer, list) and any(isinstance(item, dict) and "type" in item for item in answer):
            answer = self.parts(answer, "tool.result", tally)
        elif isinstance(answer, str):
            answer = self.text(answer, "tool.result", tally)
        else:
            answer = self._redactor.value(answer, "tool.result", tally)
        return {"type": "tool_call_response", "id": _id(block.get("id")), "response": answer}

    def _image(self, block: JSON, _: str, __: Tally) -> JSON:
        kind = _text_of(block, "mimeType", "mime_type", "media_type") or "image"
        shown = word(kind)
        pixels = _text_of(block, "data", "content")
        if not self._images:
            return text_part(f"[{shown}, {len(pixels) * 3 // 4} bytes]")
        modality = shown.partition("/")[0]
        modality = modality if modality in ("image", "video", "audio") else "image"
        return {"type": "blob", "mime_type": shown, "modality": modality, "content": pixels}


def joined(parts: list[JSON]) -> Any:
    """Returns parts that are texts alone as one text, others as they are."""
    if all(part["type"] == "text" for part in parts):
        return "\n".join([part["content"] for part in parts])
    return parts


def tool_message(call_id: Any, response: Any) -> JSON:
    """Returns the message of a tool's answer."""
    part = {"type": "tool_call_response", "id": _id(call_id), "response": response}
    return {"role": "tool", "parts": [part]}


def decode_json(raw: Raw) -> Any:
    """Decodes JSON that somebody else wrote, None where it is none."""
    if raw is NULL:
        return None
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, TypeError) as error:
        pass_on(error)
        return None


def _where(role: str) -> str:
    return "output" if role == "assistant" else "tool.result" if role == "tool" else "input"


def _text_of(block: JSON, *names: str) -> str:
    return next((block[key] for key in names if isinstance(block.get(key), str)), "")


def _id(given: Any) -> str:
    return given[:MAX_ID] if isinstance(given, str) else ""


def _name(given: Any) -> str:
    return name(given) if isinstance(given, str) and given else OTHER
