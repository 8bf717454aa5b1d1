"""A saved session of phi-core: `{session_id}.json`, as 0.6.1 to 0.15 wrote it.

Files up to 0.13 hold each loop's events; newer ones only what its recorder made of them. Contents stay undecoded.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw

from otel_phi.wire.decode import Undecodable, decode_event, from_wire
from otel_phi.wire.events import AgentEvent
from otel_phi.wire.messages import NULL, TurnId, Usage
from otel_phi.wire.parts import ConfigSnapshot, ContinuationKind
from otel_phi.wire.times import Instant


class SavedEvent(msgspec.Struct, frozen=True):
    """A saved event is one stored event; `sequence` counts from 0 within its loop."""

    event: Raw = NULL
    sequence: int = 0


class SavedTurn(msgspec.Struct, frozen=True, kw_only=True):
    """A saved turn is a turn as the recorder made it: messages are JSON, `output_message` one and the others lists."""

    turn_id: TurnId = TurnId()
    started_at: Instant | None = None
    ended_at: Instant | None = None
    triggered_by: str | None = None
    usage: Usage | None = None
    input_messages: tuple[Raw, ...] | None = None
    output_message: Raw = NULL
    tool_results: tuple[Raw, ...] | None = None
    request_payload: Raw = NULL


class SavedChild(msgspec.Struct, frozen=True, kw_only=True):
    """Names the loop that a tool call ran as a sub-agent."""

    tool_call_id: str = ""
    tool_name: str = ""
    child_loop_id: str = ""


class SavedGroup(msgspec.Struct, frozen=True, kw_only=True):
    """A saved group is the parallel evaluation a loop was a branch of; every branch holds the same but for `is_selected`."""

    all_loop_ids: tuple[str, ...] = ()
    selected_loop_id: str = ""
    selected_config_index: int = 0
    evaluation_usage: Usage = Usage()


class SavedLoop(msgspec.Struct, frozen=True, kw_only=True):
    """A saved loop is a loop as the recorder made it.

    Attributes:
        status: `Running` and `Aborted` for one that never ended, else `Completed` or `Rejected`.
        events: None in files of phi-core 0.14 and newer.
        ended_at: None for a loop that never ended.
    """

    loop_id: str
    session_id: str
    started_at: Instant
    agent_id: str | None = None
    parent_loop_id: str | None = None
    continuation_kind: ContinuationKind = None
    ended_at: Instant | None = None
    status: str | None = None
    rejection: str | None = None
    config: ConfigSnapshot | None = None
    messages: tuple[Raw, ...] | None = None
    turns: tuple[SavedTurn, ...] | None = None
    usage: Usage | None = None
    metadata: Raw = NULL
    events: tuple[SavedEvent, ...] | None = None
    child_loop_refs: tuple[SavedChild, ...] | None = None
    parallel_group: SavedGroup | None = None


class SavedSession(msgspec.Struct, frozen=True, kw_only=True):
    """A saved session holds its loops in the order they ended."""

    session_id: str
    loops: tuple[SavedLoop, ...] | None = None
    agent_id: str | None = None


_decoder = msgspec.json.Decoder(SavedSession, dec_hook=from_wire)


def decode_session(content: bytes) -> SavedSession | Undecodable:
    """Decodes a saved session; says why where it is none, or not yet whole."""
    try:
        return _decoder.decode(content)
    except UnicodeError:
        return Undecodable("not UTF-8")
    except RecursionError:
        return Undecodable("nested too deeply")
    except msgspec.MsgspecError as error:
        return Undecodable(str(error))


def stored_events(loop: SavedLoop) -> list[AgentEvent | Undecodable]:
    """Decodes a loop's stored events, in their order; none for files of phi-core 0.14 and newer."""
    return [decode_event(bytes(stored.event)) for stored in loop.events or ()]
