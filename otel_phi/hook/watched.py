"""The recording of a hook that is watched while an agent is written: strict, or with a record of all that it takes.

Rule 1: without `strict` and `record` none of this is loaded, and nothing of it is asked for an event.
Rule 2: strict looks at what the agent gives, not at what policy leaves of it, and raises into the agent; all else stays as it is.
Rule 3: the record is written after policy, in the order of the journal: a lock holds both together.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from typing import Any, cast

import msgspec

from otel_phi.config import Config
from otel_phi.hook.caller import caller_of
from otel_phi.hook.complaints import Complaints
from otel_phi.hook.live import LiveDelivery
from otel_phi.hook.record import Record
from otel_phi.hook.recording import Recording
from otel_phi.hook.strict import Strictness
from otel_phi.hook.taking import EVENTS, shown_nowhere
from otel_phi.wire.decode import Undecodable, decode_event
from otel_phi.wire.events import AgentEvent, AgentStart
from otel_phi.wire.foreign import pass_on
from otel_phi.wire.spellings import UnknownKey


class WatchedRecording(Recording):
    """A watched recording is one with `strict`, `record` or both; the arguments are those of `Recording`."""

    def __init__(self, config: Config, make: Callable[[Complaints], LiveDelivery] | None) -> None:
        self._record = None if config.record is None else Record(config.record)
        self._mode = config.strict
        self._refused: tuple[str, list[UnknownKey]] | None = None
        self._look_anew()
        super().__init__(config, make)

    def _quick_ways(self) -> Mapping[type, Callable[[Any], Any]]:
        return {}  # it leaves an event without a record's fields

    def _look_anew(self) -> None:
        self._lock = threading.RLock()  # a signal's handler may give an event in the midst of another
        self._strictness = None if self._mode == "off" else Strictness(self._mode)

    def after_fork(self) -> None:
        """Begins anew in a forked child: another thread of the parent's may have held the lock, and no loop is open."""
        if self._pid != os.getpid():
            self._look_anew()
        super().after_fork()

    def take(self, given: object, traceparent: str | None = None) -> AgentEvent | None:
        """Records one event, writes it down, and looks at what was given.

        Raises:
            StrictError: nobody understands it. It is recorded all the same, as without `strict`.
        """
        if shown_nowhere(given):
            self.left_out()
            return None
        if self._pid != os.getpid():  # forked by C code: whoever held the lock is not here to give it back
            self._lock = threading.RLock()
        with self._lock:
            self._refused = None
            recorded = super().take(given, traceparent)
            if self._record is not None and recorded is not None:
                caller = caller_of(recorded, traceparent) if isinstance(recorded, AgentStart) else None
                self._record.write(recorded, caller)
            if self._strictness is not None and not self.closed:
                self._look(self._strictness, given)
            return recorded

    def _look(self, strictness: Strictness, given: object) -> None:
        """Looks at what was given, as it was given.

        Raises:
            StrictError: nobody understands it.
        """
        if self._refused is not None:
            strictness.refused(given, *self._refused)
            return
        event, unknown = _understood(given)
        if event is not None:
            strictness.look(event, unknown)

    def _refuse(self, given: object, reason: str, unknown: list[UnknownKey]) -> None:
        super()._refuse(given, reason, unknown)
        self._refused = (reason, unknown)

    def end(self) -> LiveDelivery | None:
        """Says that no more events come, and closes the record."""
        live = super().end()
        if self._record is not None:
            self._record.close()
        return live


def _understood(given: object) -> tuple[AgentEvent | None, list[UnknownKey]]:
    """Returns the event that was given and what nobody knows of it; None for what is none: the hook counts it."""
    if given.__class__ in EVENTS:
        return cast("AgentEvent", given), []
    line: bytes | str
    if isinstance(given, bytes | str):
        line = given
    elif isinstance(given, Mapping):
        try:
            line = msgspec.json.encode(dict(given))
        except (TypeError, ValueError, OverflowError, RecursionError, AttributeError) as error:
            pass_on(error)
            return None, []
    else:
        return None, []
    unknown: list[UnknownKey] = []
    event = decode_event(line, unknown)
    return (None if isinstance(event, Undecodable) else event), unknown
