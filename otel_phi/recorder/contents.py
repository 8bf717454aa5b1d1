"""What is said, on its way from events to notices: messages as JSON, within a bound.

Rule 1: only a loop whose AgentStart says that contents are captured has any; no event of another costs more than one look.
Rule 2: nothing is decoded here: policy has made it what a span says.
"""

from __future__ import annotations

import hashlib

import msgspec
from msgspec import Raw

from otel_phi.recorder.answers import or_none
from otel_phi.recorder.notices import ChatContent
from otel_phi.wire.events import CompactionEnded, CompactionStarted, MessageEnd, TurnRequest, TurnStart
from otel_phi.wire.messages import NULL, ToolResultMessage, UserMessage
from otel_phi.wire.parts import RequestPayload

# What a span can show is 512 KiB: more of a turn's inputs, or of a loop's prompt, is not kept.
MAX_INPUT_CHARACTERS = 524_288
MAX_INPUTS = 256
# What comes before a session's first prompt; anything else shows that there is none.
BEFORE_A_PROMPT = frozenset({TurnStart, CompactionStarted, CompactionEnded})
_encoder = msgspec.json.Encoder()


def is_null(raw: Raw) -> bool:
    """Says whether there is nothing: what was written as null is read as another object."""
    return raw is NULL or raw == NULL


def content_json(raw: Raw) -> str | None:
    """Returns a content as JSON, None for none."""
    return None if is_null(raw) else bytes(raw).decode("utf-8", "replace")


def message_json(message: UserMessage | ToolResultMessage) -> str | None:
    """Returns a message as the convention has it, None where its content is not there."""
    if is_null(message.content):
        return None
    content = bytes(message.content).decode()
    if isinstance(message, UserMessage):
        return f'{{"role":"user","parts":{content}}}'
    call_id = _encoder.encode(message.tool_call_id[:128]).decode()
    return f'{{"role":"tool","parts":[{{"type":"tool_call_response","id":{call_id},"response":{content}}}]}}'


def bounded(inputs: tuple[str, ...], more: str) -> tuple[str, ...]:
    """Returns messages and one more, the oldest left out past a bound."""
    kept = (*inputs, more)[-MAX_INPUTS:]
    while len(kept) > 1 and sum(map(len, kept)) > MAX_INPUT_CHARACTERS:
        kept = kept[1:]
    return kept


def prompt_of(event: object) -> str | None:
    """Returns the messages that an event tells, JSON: of the user, or of a request; None where it holds none."""
    match event:
        case MessageEnd(message=UserMessage() as said):
            made = message_json(said)
            return None if made is None else f"[{made}]"
        case TurnRequest(payload=RequestPayload() as payload):
            return content_json(payload.messages)
        case _:
            return None


class LoopContents:
    """The contents of an open loop, where they are captured.

    Attributes:
        inputs: messages since the last answer.
        prompt: the user's messages before the first answer.
        system: tells the system prompt that was said last from others.
        tools: the same of the definitions of tools.
        answered: whether there was an answer.
    """

    __slots__ = ("answered", "inputs", "prompt", "system", "tools")

    def __init__(self) -> None:
        self.inputs: tuple[str, ...] = ()
        self.prompt: tuple[str, ...] = ()
        self.system: str | None = None
        self.tools: str | None = None
        self.answered = False

    def take(self, message: UserMessage | ToolResultMessage) -> None:
        """Takes a message that the next answer answers."""
        made = message_json(message)
        if made is None:
            return
        self.inputs = bounded(self.inputs, made)
        if not self.answered and isinstance(message, UserMessage):
            self.prompt = bounded(self.prompt, made)

    def answer(self) -> tuple[str, ...]:
        """Says that there is an answer; returns the messages it answers."""
        inputs, self.inputs, self.answered = self.inputs, (), True
        return inputs

    def asked(self, payload: RequestPayload) -> ChatContent | None:
        """Returns what a request says of contents; system and tools only where they are not what was said last."""
        asked = asked_of(payload)
        if asked is None:
            return None
        system, tools = digest(asked.system), digest(asked.tools)
        new = msgspec.structs.replace(
            asked,
            system=None if system == self.system else asked.system,
            tools=None if tools == self.tools else asked.tools,
        )
        self.system, self.tools = system or self.system, tools or self.tools
        return new

    def state(self) -> ContentsState:
        """Returns it as a value."""
        return ContentsState(self.inputs, self.prompt, self.system, self.tools, self.answered)


class ContentsState(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A contents state is a `LoopContents`."""

    inputs: tuple[str, ...] = ()
    prompt: tuple[str, ...] = ()
    system: str | None = None
    tools: str | None = None
    answered: bool = False

    def contents(self) -> LoopContents:
        """Returns what it was made of."""
        made = LoopContents()
        made.inputs, made.prompt, made.answered = self.inputs, self.prompt, self.answered
        made.system, made.tools = self.system, self.tools
        return made


def chat_content(asked: ChatContent | None, inputs: tuple[str, ...], answer: str | None) -> ChatContent | None:
    """Returns what was said in a model call, None where nothing is told.

    Args:
        asked: what its request says, None where it says nothing.
        inputs: messages that ended before the answer; left out where the request had its own.
        answer: the answer's parts, JSON.
    """
    if asked is None:
        return ChatContent(inputs=inputs, answer=answer) if inputs or answer is not None else None
    return msgspec.structs.replace(asked, inputs=inputs if asked.messages is None else (), answer=answer)


def asked_of(payload: RequestPayload) -> ChatContent | None:
    """Returns what a request says of contents, None where they are not captured."""
    if is_null(payload.messages) and is_null(payload.system_prompt) and is_null(payload.tools):
        return None
    return ChatContent(
        system=content_json(payload.system_prompt),
        tools=content_json(payload.tools),
        messages=content_json(payload.messages),
        mode=or_none(payload.input_mode),
        message_count=or_none(payload.message_count),
        first_message=or_none(payload.first_message),
    )


def digest(text: str | None) -> str | None:
    """Returns what tells a text from others, None for none."""
    return None if text is None else hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
