"""The record: every event that the hook takes, as JSON lines, for a file or a function of the agent's own.

`otel-phi show` draws it, and what it makes of it are the very spans that the hook sends.

Rule 1: what is recorded is what may be said: it is asked for after policy.
Rule 2: whoever called the agent is part of it: it goes into the metadata of the AgentStart, where a trace context stands.
Rule 3: a file that cannot be written to, or a function that raises, costs the record and nothing else: counted, and said once.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Raw

from otel_phi.wire.callers import traceparent_of
from otel_phi.wire.decode import encode_event
from otel_phi.wire.events import AgentEvent, AgentStart

logger = logging.getLogger("otel_phi")
Target = str | Path | Callable[[str], object]


class Record:
    """Writes events as JSON lines, in the order in which it is given them; whoever calls it sees to that order.

    Args:
        target: a file, which is appended to and made for its owner alone; or a function that gets each line, without its end.

    Attributes:
        lines: how many were written.
        failed: how many could not be.
    """

    def __init__(self, target: Target) -> None:
        self.lines = 0
        self.failed = 0
        self._target = target
        self._file: int | None = None

    def write(self, event: AgentEvent, caller: str | None = None) -> None:
        """Writes an event. Never raises.

        Args:
            event: as it may be said.
            caller: W3C trace context of whoever called the agent, for an AgentStart; None for that in its metadata.
        """
        try:
            line = encode_event(with_caller(event, caller))
            if callable(self._target):
                self._target(line.decode())
            else:
                self._append(line + b"\n", Path(self._target))
        except Exception as error:  # noqa: BLE001  # a disk, or the agent's own function: neither stops the agent
            self.failed += 1
            if self.failed == 1:
                logger.warning("an event was not recorded (further ones are only counted): %s", type(error).__name__)
        else:
            self.lines += 1

    def close(self) -> None:
        """Closes the file; the next event opens it again."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def _append(self, line: bytes, path: Path) -> None:
        if self._file is None:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
            self._file = os.open(path.expanduser(), flags, 0o600)
        written = os.write(self._file, line)
        if written < len(line):
            raise OSError(f"{written} of {len(line)} bytes were written")


def with_caller(event: AgentEvent, caller: str | None) -> AgentEvent:
    """Returns an AgentStart whose metadata names its caller, any other event as it is."""
    if caller is None or not isinstance(event, AgentStart) or traceparent_of(event) == caller:
        return event
    try:
        metadata = msgspec.json.decode(event.metadata, type=dict[str, Raw])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        metadata = {}
    metadata["traceparent"] = Raw(msgspec.json.encode(caller))
    return msgspec.structs.replace(event, metadata=Raw(msgspec.json.encode(metadata)))
