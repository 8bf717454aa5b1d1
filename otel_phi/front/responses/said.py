"""What a model said, collected from an answer or its pieces: only where contents may be said. As phi-core's blocks.

Rule 1: texts that come in pieces are joined before anybody looks for secrets in them.
Rule 2: what is whole replaces the pieces before it: the last event of a stream holds the answer once more.
Rule 3: it never grows without end: past a bound the rest is left out.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
from msgspec import Raw

from otel_phi.front.content import as_json
from otel_phi.front.responses.fields import get, items, text

# What a span can show of an answer is less.
MAX_CHARACTERS = 262_144
_ENDS = ("response.completed", "response.incomplete", "response.failed")


class _Block:
    """A block is a part of an answer that grows.

    Attributes:
        kind: `text`, `thinking` or `toolCall`.
        id: of a call.
        name: of the tool called.
        pieces: its text so far, of a call its arguments as JSON.
        value: a call's arguments, where they came as a value.
    """

    __slots__ = ("id", "kind", "name", "pieces", "value")

    def __init__(self, kind: str, call_id: str = "", name: str = "") -> None:
        self.kind, self.id, self.name = kind, call_id, name
        self.pieces: list[str] = []
        self.value: Any = None

    def as_block(self) -> dict[str, Any]:
        """Returns it as phi-core writes it."""
        whole = "".join(self.pieces)
        if self.kind != "toolCall":
            return {"type": self.kind, self.kind: whole}
        return {"type": "toolCall", "id": self.id, "name": self.name, "arguments": _arguments(self.value, whole)}


class Said:
    """Collects what a model said."""

    __slots__ = ("_blocks", "_size")

    def __init__(self) -> None:
        self._blocks: dict[object, _Block] = {}
        self._size = 0

    def take(self, given: Any) -> None:
        """Takes an answer, or a piece of one; what is neither says nothing."""
        kind = text(given, "type")
        if get(given, "choices") is not None:
            self._chat((items(given, "choices") or [None])[0])
        elif kind == "chunk":
            self.take(get(given, "chunk"))
        elif kind == "message":
            self._anthropic(given)
        elif kind in _ENDS:
            self._response(get(given, "response"))
        elif text(given, "object") == "response":
            self._response(given)
        elif kind is not None:
            self._event(kind, given)
        else:
            self._google(given)

    def content(self) -> Raw | None:
        """Returns the blocks as JSON, None where nothing was said."""
        if not self._blocks:
            return None
        return Raw(msgspec.json.encode([block.as_block() for block in self._blocks.values()]))

    # --- pieces ------------------------------------------------------------------------------------------------------------

    def _block(self, key: object, kind: str) -> _Block:
        return self._blocks.setdefault(key, _Block(kind))

    def _more(self, key: object, kind: str, piece: Any) -> None:
        if isinstance(piece, str) and piece and self._size < MAX_CHARACTERS:
            kept = str.__str__(piece)[: MAX_CHARACTERS - self._size].encode("utf-8", "replace").decode()
            self._size += len(kept)
            self._block(key, kind).pieces.append(kept)

    def _anew(self) -> None:
        self._blocks.clear()
        self._size = 0

    def _call(self, key: object, call_id: str | None, name: str | None) -> _Block:
        block = self._block(key, "toolCall")
        block.id, block.name = call_id or block.id, name or block.name
        return block

    # --- providers ---------------------------------------------------------------------------------------------------------

    def _chat(self, choice: Any) -> None:
        whole = get(choice, "message")
        said = get(choice, "delta") if whole is None else whole
        if whole is not None:
            self._anew()
        for name in ("reasoning_content", "reasoning"):
            self._more("thinking", "thinking", get(said, name))
        content = get(said, "content")
        for part in content if isinstance(content, list) else [content]:
            self._more("text", "text", part if isinstance(part, str) else text(part, "text"))
        self._more("text", "text", get(said, "refusal"))
        for number, call in enumerate(items(said, "tool_calls") or ()):
            index = get(call, "index")
            function = get(call, "function")
            key = ("call", number if index is None else index)
            self._call(key, text(call, "id"), text(function, "name"))
            self._more(key, "toolCall", get(function, "arguments"))

    def _response(self, whole: Any) -> None:
        self._anew()
        for number, item in enumerate(items(whole, "output") or ()):
            kind = text(item, "type")
            if kind == "message":
                for part in items(item, "content") or ():
                    self._more(number, "text", get(part, "text") or get(part, "refusal"))
            elif kind == "reasoning":
                for part in items(item, "summary") or ():
                    self._more(number, "thinking", get(part, "text"))
            elif kind is not None and kind.endswith("_call"):
                self._call(number, text(item, "call_id") or text(item, "id"), text(item, "name") or kind)
                self._more(number, "toolCall", get(item, "arguments") or get(item, "input"))

    def _anthropic(self, whole: Any) -> None:
        self._anew()
        for number, block in enumerate(items(whole, "content") or ()):
            self._begun(number, block)

    def _begun(self, number: object, block: Any) -> None:
        kind = text(block, "type")
        if kind in ("text", "thinking"):
            self._more(number, kind, get(block, kind))
        elif kind is not None and kind.endswith("tool_use"):
            made = self._call(number, text(block, "id"), text(block, "name"))
            made.value = get(block, "input")

    def _event(self, kind: str, event: Any) -> None:
        number = get(event, "index")
        if kind == "content_block_start":
            self._begun(number, get(event, "content_block"))
        elif kind == "content_block_delta":
            delta = get(event, "delta")
            self._more(number, "text", get(delta, "text"))
            self._more(number, "thinking", get(delta, "thinking"))
            self._more(number, "toolCall", get(delta, "partial_json"))
        elif kind == "message_stop" and get(event, "message") is not None:
            self._anthropic(get(event, "message"))
        elif kind in ("response.output_text.delta", "response.refusal.delta"):
            self._more(("output", get(event, "output_index")), "text", get(event, "delta"))

    def _google(self, given: Any) -> None:
        first = (items(given, "candidates") or [None])[0]
        for part in items(get(first, "content"), "parts") or ():
            call = get(part, "function_call") or get(part, "functionCall")
            if call is not None:
                made = self._call(len(self._blocks), text(call, "id"), text(call, "name"))
                made.value = get(call, "args")
            elif get(part, "thought") is True:
                self._more("thinking", "thinking", get(part, "text"))
            else:
                self._more("text", "text", get(part, "text"))


def _arguments(value: Any, pieces: str) -> Any:
    """Returns a call's arguments: as they came, or read from their JSON; a text where it is none."""
    if pieces:
        try:
            return json.loads(pieces)
        except (ValueError, RecursionError):
            return pieces
    return as_json(value) if value is not None else None
