"""otel-phi's commands as a user types them."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.e2e.trees import SERVICE

_WITHIN_S = 300.0  # for what takes two seconds on an idle machine


def export(*arguments: object, **environment: str) -> str:
    """Runs `otel-phi export` as the service of the tests, with nothing held back; returns its stdout.

    Args:
        *arguments: as typed.
        **environment: variables on top of ours.

    Raises:
        AssertionError: it did not end with 0.
    """
    command = [
        sys.executable,
        "-m",
        "otel_phi.cli",
        "export",
        *map(str, arguments),
        "--final",
        "--service-name",
        SERVICE,
    ]
    own = {**os.environ, **environment}
    done = subprocess.run(command, env=own, capture_output=True, text=True, timeout=_WITHIN_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
