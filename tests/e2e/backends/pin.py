"""Writes the Collector's go.mod and go.sum anew from its manifest: for whoever adds a component or goes to a newer release."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from tests.e2e.backends import build, go


def pin(say: go.Say) -> None:
    """Resolves the manifest's modules and keeps what came out.

    Args:
        say: takes progress lines.

    Raises:
        CannotBuild: Go or a module proxy is missing.
        BuildError: a component cannot be had, or does not go with the others.
    """
    tool = go.check(go.needed([build.BUILDER / "go.mod"]))
    with tempfile.TemporaryDirectory(prefix="otel-phi-pin-") as name:
        source = build.collector_source(tool, Path(name), say, pinned=False)
        for file in ("go.mod", "go.sum"):
            shutil.copy(source / file, build.COLLECTOR)
    say(f"written: {build.COLLECTOR}/go.mod and go.sum; run the tests, then commit both with the manifest")
