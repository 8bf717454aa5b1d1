"""How a file is looked at before it is read: what it is, and which loops are in it. Whoever has looked before says so here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from otel_phi.sources.kinds import Kind
from otel_phi.sources.logs import EventFile, first_pass


class Looks(msgspec.Struct, frozen=True):
    """Looks are what files are looked at with; each is a function of a path that raises OSError.

    Attributes:
        kind: tells what a file is; None for `kind_of`.
        log: makes the first pass over a file of events.
    """

    kind: Callable[[Path], Kind] | None = None
    log: Callable[[Path], EventFile] = first_pass
