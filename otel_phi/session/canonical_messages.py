"""Messages as phi-core itself would print them.

Rule 1: a message for a model is one of three roles, whole; anything else with `role`, `kind` and `data` is an extension,
        whatever its role (serde's untagged rule).
Rule 2: what phi-core refuses is mended field by field; what cannot be mended is kept whole as the `data` of an extension of
        kind `unreadable`. Nothing here raises, nothing is lost.
Rule 3: equal JSON gives equal bytes: maps sorted, no white space.
Not read: a struct or a block written as a positional array, which serde would take; only `turnId` may be one.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from otel_phi.session.canonical_mend import BROKEN, mend
from otel_phi.session.canonical_parts import (
    U64,
    Block,
    ForeignMessage,
    NodeTag,
    Provenance,
    StrictExtension,
    StrictMessage,
    StrictTurnId,
    Text,
)
from otel_phi.session.canonical_print import to_json
from otel_phi.wire.messages import NULL, AssistantMessage, ExtensionMessage, Message, ToolResultMessage, UserMessage

UNREADABLE = "unreadable"

# Sorted: what serde takes through a map, as a whole message. Declared order with sorted maps: all else.
sorted_json = msgspec.json.Encoder(order="sorted")
declared_json = msgspec.json.Encoder(order="deterministic")

_anything = msgspec.json.Decoder()
_list = msgspec.json.Decoder(list[Raw])
_object = msgspec.json.Decoder(dict[str, Raw])
_blocks = msgspec.json.Decoder(list[Block])
_block = msgspec.json.Decoder(Block)
_strict: msgspec.json.Decoder[StrictMessage] = msgspec.json.Decoder(StrictMessage)
_strict_list: msgspec.json.Decoder[list[StrictMessage]] = msgspec.json.Decoder(list[StrictMessage])
_extension = msgspec.json.Decoder(StrictExtension)
_messages: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)
_pair = msgspec.json.Decoder(tuple[str, int])

_KINDS: dict[str, type[UserMessage | AssistantMessage | ToolResultMessage]] = {
    "user": UserMessage,
    "assistant": AssistantMessage,
    "toolResult": ToolResultMessage,
}
_MARKS: dict[str, tuple[str, msgspec.json.Decoder[Any]]] = {
    "turn_id": ("turnId", msgspec.json.Decoder(StrictTurnId)),
    "node_id": ("nodeId", msgspec.json.Decoder(U64)),
    "parent_id": ("parentId", msgspec.json.Decoder(U64)),
    "tags": ("tags", msgspec.json.Decoder(list[NodeTag])),
    "provenance_hint": ("provenanceHint", msgspec.json.Decoder(Provenance)),
}
_NO_MARKS: dict[str, Any] = dict.fromkeys(_MARKS, NULL)


def role_of(message: Message) -> str:
    """Returns the `role` of a message as it stands in its JSON."""
    return message.app_role if isinstance(message, ForeignMessage) else str(message.__struct_config__.tag)


def canonical_json(raw: bytes | Raw) -> Raw:
    """Rewrites any JSON in its canonical bytes."""
    return Raw(declared_json.encode(_anything.decode(raw)))


def canonical_content(raw: bytes | Raw) -> Raw:
    """Rewrites a list of content blocks; a string is one block of text, nothing is none, an unknown block stays."""
    try:
        return Raw(declared_json.encode(_blocks.decode(raw)))
    except BROKEN:
        value = _anything.decode(raw)
    if isinstance(value, str):
        return Raw(declared_json.encode([Text(text=value)]))
    if not isinstance(value, list):
        value = [] if value is None else [value]
    return Raw(declared_json.encode([_block_or_value(one) for one in value]))


def canonical_message(raw: bytes | Raw) -> Raw:
    """Rewrites a message as phi-core prints an `AgentMessage`."""
    try:
        return Raw(sorted_json.encode(_clean(_strict.decode(raw))))
    except BROKEN:
        found = _extension_in(raw)
    return Raw(sorted_json.encode(_restored(_mended(raw)) if found is None else found))


def canonical_plain_message(raw: bytes | Raw) -> Raw:
    """Rewrites a message as phi-core prints a plain `Message`, which carries no marks: no turn id, no node."""
    try:
        return Raw(declared_json.encode(_plain(_strict.decode(raw))))
    except BROKEN:
        gone = {key for key, _ in _MARKS.values()}
    return Raw(declared_json.encode(_restored({key: one for key, one in _mended(raw).items() if key not in gone})))


def canonical_messages(raw: bytes | Raw) -> Raw:
    """Rewrites a list of messages as `AgentMessage`s; anything but a list is an empty one."""
    try:
        return Raw(sorted_json.encode([_clean(one) for one in _strict_list.decode(raw)]))
    except BROKEN:
        return Raw(sorted_json.encode([canonical_message(one) for one in _items(raw)]))


def canonical_plain_messages(raw: bytes | Raw) -> Raw:
    """Rewrites a list of messages as plain `Message`s; anything but a list is an empty one."""
    try:
        return Raw(declared_json.encode([_plain(one) for one in _strict_list.decode(raw)]))
    except BROKEN:
        return Raw(declared_json.encode([canonical_plain_message(one) for one in _items(raw)]))


def read_message(raw: bytes | Raw) -> Message:
    """Returns a message as a value, everything in it canonical."""
    try:
        return _messages.decode(sorted_json.encode(_clean(_strict.decode(raw))))
    except BROKEN:
        found = _extension_in(raw)
    mended = {} if found is not None else _mended(raw)
    if found is None and "kind" not in mended:
        return _messages.decode(sorted_json.encode(_restored(mended)))
    role, kind, value = (
        (found.role, found.kind, found.data) if found else (mended[key] for key in ("role", "kind", "data"))
    )
    carried = Raw(declared_json.encode(value))
    if role == "extension":
        return ExtensionMessage(kind=kind, data=carried)
    return ForeignMessage(kind=kind, data=carried, app_role=role)


def read_messages(raw: bytes | Raw) -> tuple[Message, ...]:
    """Returns a list of messages as values."""
    return tuple(read_message(one) for one in _items(raw))


def read_plain_messages(raw: bytes | Raw) -> tuple[Message, ...]:
    """Returns a list of plain messages as values."""
    return read_messages(canonical_plain_messages(raw))


def _items(raw: bytes | Raw) -> list[Raw]:
    try:
        return _list.decode(raw)
    except BROKEN:
        return []


def _clean(message: StrictMessage) -> StrictMessage:
    given = {name: raw for name in _MARKS if (raw := getattr(message, name)) is not NULL}
    return (
        message if not given else msgspec.structs.replace(message, **{name: _mark(name, given[name]) for name in given})
    )


def _plain(message: StrictMessage) -> StrictMessage:
    return msgspec.structs.replace(message, **_NO_MARKS)


def _mark(name: str, raw: Raw) -> Raw:
    """Returns a mark in its canonical bytes, `NULL` for one that phi-core drops: malformed, or an empty list."""
    try:
        value = _MARKS[name][1].decode(raw)
    except BROKEN:
        value = _positional(raw) if name == "turn_id" else None
    return NULL if value is None or value == [] else Raw(sorted_json.encode(value))


def _positional(raw: Raw) -> StrictTurnId | None:
    try:
        loop_id, index = _pair.decode(raw)
    except BROKEN:
        return None
    return StrictTurnId(loop_id=loop_id, turn_index=index) if 0 <= index < 2**32 else None


def _extension_in(raw: bytes | Raw) -> StrictExtension | None:
    try:
        return _extension.decode(raw)
    except BROKEN:
        return None


def _mended(raw: bytes | Raw) -> dict[str, Any]:
    value = _anything.decode(raw)
    role = value.get("role") if isinstance(value, dict) else None
    kind = _KINDS.get(role) if isinstance(role, str) else None
    if kind is None:
        return _as_extension(role, value)
    message = mend(kind, raw)
    if message is None:
        return _as_extension(role, value)
    printed: dict[str, Any] = to_json(
        msgspec.structs.replace(message, **_NO_MARKS, content=canonical_content(message.content))
    )
    given = _object.decode(raw)
    marks = {key: _mark(name, given[key]) for name, (key, _) in _MARKS.items() if key in given}
    return printed | {key: one for key, one in marks.items() if one is not NULL}


def _restored(mended: dict[str, Any]) -> StrictMessage | dict[str, Any]:
    """Returns the message that phi-core would accept, where mending made it one: then it prints the same ever after."""
    try:
        return _clean(_strict.decode(sorted_json.encode(mended)))
    except BROKEN:
        return mended


def _as_extension(role: object, value: Any) -> dict[str, Any]:
    if role == "extension" and isinstance(value.get("kind"), str):
        return {"role": role, "kind": value["kind"], "data": value.get("data")}
    return {"role": role if isinstance(role, str) else "extension", "kind": UNREADABLE, "data": value}


def _block_or_value(value: Any) -> Any:
    try:
        return _block.decode(msgspec.json.encode(value))
    except BROKEN:
        return value
