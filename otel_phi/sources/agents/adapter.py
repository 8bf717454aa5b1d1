"""What an adapter is: the interface between the doors, which know files and clocks, and the formats, which know neither."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from otel_phi.sources.agents.claims import Claims
from otel_phi.wire.events import AgentEvent

# More than that between an answer without open tools and the next line is a pause: the loop ended with the answer. In real
# sessions 2 of 440 pauses went on later than 60 s.
SILENCE_NS = 120 * 1_000_000_000
# A state is written with each checkpoint of a live door.
MAX_STATE_BYTES = 4_096

Settled = Literal["end", "silence"]


def _nobody(_agent_id: str) -> str | None:
    return None


def _nothing(_name: str) -> bytes:
    return b""


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """A context is what a fold may know of the world around its file.

    Attributes:
        claims: the table that all files share.
        name: the file's name without its ending: stands for the session id where the file has none.
        folder: the name of the agent's own folder, "" for none.
        fallback_ns: the time of records in a file that has none at all, nanoseconds since the epoch.
        parent_call: the tool call that started a sub-agent, by the sub-agent's id; None where nobody knows. A sub-agent that was
            started again has `ID#2`, `ID#3`, ... for the later calls.
        parent_loop: the loop that started it, in the same way.
        agent_id: the sub-agent whose file this is, as `Group` has it; "" for a main file.
        session: the session that the file belongs to, see `Group.key`; "" where nobody but its records tells.
        part: see `Group.part`.
        previous_loop: the last loop of the file that this one continues, "" for none.
        beside: returns the content of a file of that name in the file's folder, or the one above; b"" for none.
    """

    claims: Claims
    name: str
    folder: str = ""
    fallback_ns: int = 0
    parent_call: Callable[[str], str | None] = _nobody
    parent_loop: Callable[[str], str | None] = _nobody
    agent_id: str = ""
    session: str = ""
    part: int = 0
    previous_loop: str = ""
    beside: Callable[[str], bytes] = _nothing


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """Says that a file's records name another file: of a sub-agent, or of what continues them.

    Attributes:
        names: who that is, one of its `Group.names`; the first that is found counts.
        file: the name of its file beside this one, "" where it is not told: it comes before the names.
        call_id: the tool call that started it, "" where none did.
        loop_id: the loop that did.
        continues: whether it continues the file.
    """

    names: tuple[str, ...] = ()
    file: str = ""
    call_id: str = ""
    loop_id: str = ""
    continues: bool = False


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Says where a file belongs: with which others it is one session, and after which others it is to be read.

    Attributes:
        key: the same for a session's main file and its sub-agents'.
        main: whether it is the main file.
        agent_id: of a sub-agent's file, the id by which its parent knows it; "" for none.
        started_ns: the time in its header, 0 for none.
        forked_from: the `key` of the session whose history it begins with, "" for none told.
        first_id: the id of its first record that has one: files that begin with the same share a history.
        known_as: the `first_id` of the files that begin with its history, where only a copy has one.
        document: whether the file is one JSON document: one record, given whole at position 0, and again when it has changed.
        converted: whether it was made from another agent's records: where those are read, too, it is left out.
        part: which of its session's main files it is, where these continue each other.
        names: by which records of other files name it.
        refers: the other files that its records name.
    """

    key: str
    main: bool = True
    agent_id: str = ""
    started_ns: int = 0
    forked_from: str = ""
    first_id: str = ""
    known_as: str = ""
    document: bool = False
    converted: bool = False
    part: int = 0
    names: tuple[str, ...] = ()
    refers: tuple[Reference, ...] = ()


class Fold(Protocol):
    """Turns the records of one file into events, one record at a time.

    Attributes:
        counts: what was read and skipped, by kind.
    """

    counts: Counter[str]

    def record(self, position: int, data: bytes) -> Iterable[AgentEvent]:
        """Takes a record.

        Args:
            position: where it stands, for a line its offset; grows from record to record.
            data: its bytes.

        Returns:
            The events that are complete with it, in phi's order; to be taken to their end before the fold is asked for anything.
        """

    def settle(self, why: Settled) -> Sequence[AgentEvent]:
        """Takes that nothing more comes: `end` of a finished file, or `silence` longer than `SILENCE_NS` in a living one.

        Returns:
            The events that are complete with that. What has no end in the file gets none.
        """

    @property
    def state(self) -> bytes:
        """Returns what a fold rebuilt elsewhere needs to go on, at most `MAX_STATE_BYTES`."""


class Adapter(Protocol):
    """An adapter is a format.

    Attributes:
        name: the agent's, as `service.name` says it.
    """

    name: str

    def roots(self, env: Mapping[str, str]) -> tuple[str, ...]:
        """Returns where the agent keeps its sessions, by the environment: folders, files, or files' names with a `*`; none need exist."""

    def recognizes(self, head: bytes, path: str) -> bool:
        """Says whether a file that begins so is of this format; the path is asked only between twins of one format."""

    def group(self, path: str, head: bytes) -> Group:
        """Says where a file of this format belongs, by its path and its beginning; a document is given whole."""

    def children(self, line: bytes) -> Sequence[tuple[str, str]]:
        """Returns the sub-agents that a line names, each with the tool call that started it."""

    def fold(self, context: Context, state: bytes = b"") -> Fold:
        """Returns a fold at the beginning of a file, or one that goes on where the one with that state was."""


class _Resumed(msgspec.Struct):
    position: int = -1


_resumed = msgspec.json.Decoder(_Resumed)


def resume_position(state: bytes) -> int | None:
    """Returns the position of the first record that a fold rebuilt with a state has to be given again, None for none."""
    if not state:
        return None
    position = _resumed.decode(state).position
    return None if position < 0 else position
