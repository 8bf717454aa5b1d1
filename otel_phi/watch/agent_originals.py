"""The sessions that others were copied from: they claim their calls first, read or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from otel_phi.sources.agent_files import context_of
from otel_phi.sources.agent_order import AgentFile, in_order, originals_of
from otel_phi.sources.lines import open_lines, read_lines
from otel_phi.watch.agent_rows import AgentRows


def may_be_copied(copy: AgentFile, other: AgentFile) -> bool:
    """Says whether a session may have copied from another: it says so, or begins with the same record."""
    if copy.adapter.name != other.adapter.name:
        return False
    one, two = copy.group, other.group
    return one.forked_from == two.key or (one.first_id != "" and one.first_id == (two.first_id or two.known_as))


def claim_for_originals(mains: Sequence[AgentFile], rows: AgentRows, is_read: Callable[[Path], bool]) -> None:
    """Claims the calls of sessions that lie beside one that may have copied from them, and that nobody reads.

    Args:
        mains: the main files of the session.
        rows: the claims.
        is_read: says whether a file is followed: then it claims for itself.
    """
    beside = {path for file in mains for path in file.path.parent.glob("*.jsonl")}
    for original in originals_of(in_order(mains), {path for path in beside if is_read(path)}):
        for file in original.files:
            _claim_all(file, rows)


def _claim_all(file: AgentFile, rows: AgentRows) -> None:
    fold = file.adapter.fold(context_of(file, rows, lambda _: None, file.written_ns))
    with open_lines(file.path) as stream:
        for block in read_lines(stream):
            for position, data in block.records():
                list(fold.record(position, data))
    fold.settle("end")
    rows.commit()
