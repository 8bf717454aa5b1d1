"""The long form, for `make soak` alone: half an hour with a collector that comes and goes. `test_kills.py` has the kills.

make soak                                  30 minutes
OTEL_PHI_SOAK_MINUTES=2 make soak          shorter
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.faults.collectors import gone, receiver_at
from tests.faults.loops import once

pytestmark = [
    pytest.mark.skipif(not os.environ.get("OTEL_PHI_SOAK"), reason="make soak runs it"),
    pytest.mark.skipif(sys.platform != "linux", reason="record locks, signals and /proc"),
]
MINUTES = float(os.environ.get("OTEL_PHI_SOAK_MINUTES", "30"))
SEED = 20_261_123
ROW_MB = (
    150e-6  # what a row on disk that waits costs in memory; the interpreter keeps the most there ever was [measured]
)
ROOT = Path(__file__).parents[2]


def test_soak_with_a_flapping_collector(tmp_path: Path) -> None:
    """Up and down for 1 to 8 s at a time: nothing is lost, and memory, files and threads stay what they were."""
    chance = random.Random(SEED)
    endpoint = gone()
    arrived: set[int] = set()
    until = time.monotonic() + MINUTES * 60
    command = [sys.executable, "-m", "tests.faults.agents", "records", endpoint, tmp_path, MINUTES * 60, 0.002]
    with subprocess.Popen(list(map(str, command)), cwd=ROOT, stdout=subprocess.PIPE, text=True) as agent:
        try:
            while time.monotonic() < until:
                time.sleep(chance.uniform(1.0, 8.0))
                with receiver_at(endpoint) as receiver:
                    time.sleep(chance.uniform(1.0, 8.0))
                arrived.update(once(receiver))
            with receiver_at(endpoint) as receiver:
                out, _ = agent.communicate(timeout=120)
            arrived.update(once(receiver))
        finally:
            agent.kill()
    told: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
    assert all(each["balanced"] for each in told)
    assert arrived == set(range(1, told[-1]["recorded"] + 1))
    warm = told[min(len(told) // 4, 60) :]
    assert max(each["threads"] for each in warm) <= 4
    assert max(each["files"] for each in warm) <= max(each["files"] for each in told[: len(told) // 2 + 1]) + 3
    quarter = max(len(warm) // 4, 1)
    growth = (
        sorted(each["mb"] for each in warm[-quarter:])[quarter // 2]
        - sorted(e["mb"] for e in warm[:quarter])[quarter // 2]
    )
    backlog = max(each["queued"] for each in told)  # a machine short of time lets tens of thousands wait
    assert growth <= max(1.0 * MINUTES / 10, 4.0) + backlog * ROW_MB, "1 MB in 10 minutes, and the rows that waited"
