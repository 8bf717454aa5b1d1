"""What opencode 2 keeps of a message, made a record as of opencode 1, see `opencode_lines`.

session_message: type, data     user         {"text": ..., "files": [...]}
                                assistant    {"model": {"id", "providerID"}, "content": [text | reasoning | tool], "time": {..., "streamed"}}
                                compaction   {"status", "model", "tokens", "cost"}
                                idle         {"outcome"}: the agent has stopped
                                synthetic, system, shell, model-switched, agent-switched, ...
"""

from __future__ import annotations

from typing import Any

import msgspec

from otel_phi.sources.agents.opencode_lines import ABORTED
from otel_phi.sources.agents.reading import anything, members, text

_SAID_FOR_IT = ("synthetic", "system")  # what opencode says to the model in the user's name
_STOPPED = ("abort", "interrupt", "cancel")
_encode = msgspec.json.encode


def record_of_row(kind: str, message_id: str, session_id: str, data: bytes) -> bytes:
    """Returns a row's record; what is no JSON is one that is none."""
    found = anything(data)
    if not isinstance(found, dict):
        return b"no JSON"
    info: dict[str, Any] = {"id": message_id, "sessionID": session_id, "time": found.get("time")}
    parts: list[dict[str, Any]] = []
    if kind == "user":
        info |= {"role": "user"}
        parts = [{"type": "text", "text": found.get("text")}, *map(_file, _objects(found.get("files")))]
    elif kind in _SAID_FOR_IT:
        info |= {"role": "user"}
        parts = [{"type": "text", "text": found.get("text"), "synthetic": True}]
    elif kind == "assistant":
        info |= _answer(found)
        parts = [_part(part) for part in _objects(found.get("content"))]
    elif kind == "compaction" and found.get("status") in (None, "completed"):
        info |= {**_answer(found), "summary": True, "mode": kind}
    else:
        info |= {"role": kind, "finish": found.get("outcome")}
    return _encode({"info": info, "parts": parts})


def _objects(value: Any) -> list[dict[str, Any]]:
    return [member for member in value if isinstance(member, dict)] if isinstance(value, list) else []


def _answer(found: dict[str, Any]) -> dict[str, Any]:
    model = members(found.get("model"))
    kept = {key: found.get(key) for key in ("agent", "finish", "cost", "tokens")}
    asked = {"modelID": model.get("id"), "providerID": model.get("providerID"), "variant": model.get("variant")}
    return {"role": "assistant", **kept, **asked, "error": _error(found.get("error"))}


def _error(error: Any) -> dict[str, Any] | None:
    found = members(error)
    if not found:
        return None
    name = text(found.get("type")) or text(found.get("name"))
    stopped = any(word in name.lower() for word in _STOPPED)
    return {"name": ABORTED if stopped else name, "data": {**found, "message": found.get("message")}}


def _file(file: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "file",
        "mime": file.get("mime"),
        "filename": file.get("name"),
        "url": file.get("uri") or file.get("url"),
    }


def _part(part: dict[str, Any]) -> dict[str, Any]:
    times = members(part.get("time"))
    if part.get("type") != "tool":
        return {**part, "time": {"start": times.get("created"), "end": times.get("completed")}}
    state = members(part.get("state"))
    known = {key: state.get(key) for key in ("status", "input", "metadata")}
    error = members(state.get("error")).get("message")
    span = {"start": times.get("ran") or times.get("created"), "end": times.get("completed")}
    own = {**known, "output": state.get("content"), "error": error, "time": span}
    return {"type": "tool", "callID": part.get("id"), "tool": part.get("name"), "state": own}
