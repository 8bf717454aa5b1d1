"""A receiver, an environment that sends to it, and `otel-phi` and an agent on PATH, as the examples find them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_phi.testing import Receiver
from tests import golden

Environment = dict[str, str]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A collector on the loopback."""
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def environment(receiver: Receiver, tmp_path: Path) -> Environment:
    """Nothing of the developer's but PATH, on which `otel-phi` is this one's and `my-agent` prints the demo's events."""
    programs = tmp_path / "bin"
    programs.mkdir()
    script(programs / "otel-phi", f'exec "{sys.executable}" -m otel_phi.cli "$@"')
    script(programs / "my-agent", f'cat "{golden.DEMO}"')
    return {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
        "OTEL_PHI_STATE_DIR": str(tmp_path / "state"),
        "PYTHONWARNINGS": "error",
    }


def script(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
    path.chmod(0o755)
