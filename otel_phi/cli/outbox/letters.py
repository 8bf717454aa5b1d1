"""Dead letters for people: those of one destination, with ids as numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from otel_phi.delivery.journal.dead_letters import DeadLetter, DeadLetters
from otel_phi.delivery.journal.outbox import DEAD_LETTERS, FOLDER
from otel_phi.delivery.journal.private import where_state_is

if TYPE_CHECKING:
    from otel_phi.config import Config


class Letter(msgspec.Struct, frozen=True):
    """A letter is a dead letter as it is shown.

    Attributes:
        trace_id: 128 bits.
        span_id: 64 bits.
        name: the span's name, "" where nobody knows.
        session: the session's id, "" where nobody knows.
        reason: what the destination said.
        at_ns: when.
    """

    trace_id: int
    span_id: int
    name: str
    session: str
    reason: str
    at_ns: int


def shown(letters: Iterable[DeadLetter]) -> list[Letter]:
    """Returns dead letters as they are shown."""
    return [
        Letter(
            int.from_bytes(one.trace_id, "big"),
            int.from_bytes(one.span_id, "big"),
            one.name,
            one.session_id,
            one.reason,
            one.at_ns,
        )
        for one in letters
    ]


def dead_letters(config: Config) -> list[Letter]:
    """Returns the dead letters that lie in the outbox for a configuration's destination."""
    from otel_phi.hook.destinations import destination_of

    if config.state_dir is None:
        return []
    parent = where_state_is(config.state_dir) / FOLDER / destination_of(config).name
    folders = sorted(path.parent for path in parent.glob(f"*/{DEAD_LETTERS}"))
    return shown(letter for folder in folders for letter in DeadLetters(folder).read())
