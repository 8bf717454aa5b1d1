"""Outputs are never inputs: a log overwritten by its own export is gone."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click


def refuse_own_input(output: str | Path | None, inputs: Iterable[Path], flag: str) -> None:
    """Refuses an output file that is also read, by whatever name or link; one inside a folder that is read counts too.

    Raises:
        click.UsageError: it is.
    """
    target = Path(output) if output not in (None, "-") else None
    if target is None or not target.exists():
        return
    for path in inputs:
        within = path.rglob("*") if path.is_dir() else [path]
        if any(inner.exists() and target.samefile(inner) for inner in within):
            raise click.UsageError(f"{flag} {target} is also the input; name another file")
