"""Hours in minutes: a collector that comes and goes, journals that rot. Short forms in every run, whole numbers in `make soak`.

make soak                                  10 minutes, and 500 corruptions of each kind
OTEL_PHI_SOAK_MINUTES=2 make soak          shorter
"""

from __future__ import annotations

import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from otel_phi.cli import main
from otel_phi.delivery.journal.preamble import PREAMBLE_BYTES
from otel_phi.testing import Receiver
from tests.faults.collectors import gone, receiver_at
from tests.faults.loops import LOOP_SCOPE, give, once
from tests.golden import PROJECT
from tests.hook.children import journals, lost
from tests.hook.conftest import Install
from tests.hook.stories import arrived, expected, loop_of
from tests.hook.waiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="record locks, signals and /proc")
SOAK = bool(os.environ.get("OTEL_PHI_SOAK"))
SECONDS = 60 * float(os.environ.get("OTEL_PHI_SOAK_MINUTES", "10")) if SOAK else 6.0
CORRUPTIONS = 500 if SOAK else 10
SEED = 20_261_126
LOOPS = 20
SPANS = expected(loop_of("")).total()


def test_memory_files_and_threads_stay_with_a_flapping_collector(tmp_path: Path) -> None:
    """Up and down for a while at a time: nothing is lost, and what the agent holds stays what it was."""
    chance, most_s = random.Random(SEED), 8.0 if SOAK else 1.0
    endpoint = gone()
    found: set[int] = set()
    end = time.monotonic() + SECONDS
    command = [sys.executable, "-m", "tests.faults.agents", "records", endpoint, tmp_path, SECONDS, 0.002]
    with subprocess.Popen(list(map(str, command)), cwd=PROJECT, stdout=subprocess.PIPE, text=True) as agent:
        try:
            while time.monotonic() < end:
                time.sleep(chance.uniform(0.2, most_s))
                with receiver_at(endpoint) as receiver:
                    time.sleep(chance.uniform(0.2, most_s))
                found.update(once(receiver))
            with receiver_at(endpoint) as receiver:
                out, _ = agent.communicate(timeout=180)
            found.update(once(receiver))
        finally:
            agent.kill()
    told: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
    assert all(each["balanced"] for each in told)
    assert found == set(range(1, told[-1]["recorded"] + 1))
    assert journals(tmp_path) == []
    assert max(each["threads"] for each in told) <= 4
    warm = told[min(len(told) // 4, 60) :]
    assert max(each["files"] for each in warm) <= max(each["files"] for each in told[: len(told) // 2 + 1]) + 3
    quarter = max(len(warm) // 4, 1)
    first, last = (statistics.median(each["mb"] for each in part) for part in (warm[:quarter], warm[-quarter:]))
    assert last - first <= (4.0 if SOAK else 16.0), "after the first minute; a short run is young all the time"


# --- damage ----------------------------------------------------------------------------------------------------------------


def corrupt(content: bytearray, first: int, chance: random.Random, kinds: tuple[str, ...]) -> tuple[str, int]:
    """Flips a bit, makes a hole, or cuts the tail off; returns which, and how many lines that may have cost."""
    at = chance.randrange(first, len(content))
    kind = chance.choice(kinds)
    match kind:
        case "flip":
            content[at] ^= 1 << chance.randrange(8)
            return kind, 1
        case "hole":
            end = min(at + chance.randrange(1, 600), len(content))
            cost = 2 + content.count(b"\n", at, end)
            content[at:end] = bytes(end - at)
            return kind, cost
        case _:
            at = len(content) - chance.randrange(1, 2_000)
            cost = 1 + content.count(b"\n", at)
            del content[at:]
            return kind, cost


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Gives the state of an agent that was killed with nothing sent, and where it sends to."""
    state, endpoint = tmp_path_factory.mktemp("sound") / "state", gone()
    lost(endpoint, state, *(loop_of(f"loop {number}") for number in range(LOOPS)))
    return state, endpoint


@pytest.mark.parametrize("seed", range(CORRUPTIONS))
def test_a_corruption_at_rest_costs_the_lines_it_touches_and_flush_says_so(
    seed: int, sound: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anywhere in the file, its head too: then it stays, which is not 0 either. What a kill cuts short is no damage."""
    state, endpoint = shutil.copytree(sound[0], tmp_path / "state"), sound[1]
    monkeypatch.setenv("OTEL_PHI_STATE_DIR", str(state))
    chance, (path,) = random.Random(seed), journals(state)
    content = bytearray(path.read_bytes())
    kind, cost = corrupt(content, chance.choice([0, PREAMBLE_BYTES + 10_000]), chance, ("flip", "hole", "tail"))
    path.write_bytes(content)
    with receiver_at(endpoint) as receiver:
        result = CliRunner().invoke(main, ["flush", "--endpoint", endpoint, "--give-up-after", "20"])
        came = arrived(receiver)
    assert isinstance(result.exception, SystemExit | None), result.exception
    missing = expected(*(loop_of(f"loop {number}") for number in range(LOOPS))) - came
    assert max(came.values(), default=1) == 1
    if result.exit_code == 4:
        assert journals(state) == [path], result.output
        assert not came
        return
    assert journals(state) == []
    assert sum(missing.values()) <= SPANS * cost, result.output
    assert result.exit_code == 1 or not missing or kind == "tail", result.output
    assert ("could not be read" in result.output) == (result.exit_code == 1)


def test_corruptions_while_it_runs_cost_the_lines_they_touch(
    install: Install, receiver: Receiver, tmp_path: Path
) -> None:
    """Before what was read and behind it, while the agent goes on; the accounts balance, and nothing stays behind."""
    receiver.answer(status=503, headers={"Retry-After": "1"}, times=100_000)
    hook = install(**LOOP_SCOPE)
    chance, cost = random.Random(SEED), 0
    for number in range(CORRUPTIONS):
        give(hook, range(number * 20 + 1, number * 20 + 21))
        path = journals(tmp_path / "state")[-1]
        with path.open("r+b") as file:
            before = file.read()
            content = bytearray(before)
            cost += corrupt(content, PREAMBLE_BYTES + 4_096, chance, ("flip", "hole"))[1]
            for at in [at for at in range(len(before)) if content[at] != before[at]]:
                file.seek(at)
                file.write(content[at : at + 1])
        if number % 5 == 0:
            until(lambda: hook.stats().waiting <= 20)
    receiver.forget_script()
    assert hook.flush(60.0)
    assert hook.stats().balanced()
    assert 0 < hook.stats().damaged <= cost
    assert len(once(receiver)) >= CORRUPTIONS * 20 - cost
    assert hook.shutdown(10.0)
    assert hook.stats().waiting == 0
    assert [kind for kind in hook.stats().troubles if kind.startswith("damage: ")] != []
    assert journals(tmp_path / "state") == []
