"""Switches of the test run: how hard Hypothesis tries, and whether snapshots are written anew."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The same examples on every run: a failure is the change's, never the draw's. `HYPOTHESIS_PROFILE=search` looks further.
settings.register_profile(
    "ci", max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("quick", settings.get_profile("ci"), max_examples=20)  # `make quick`
settings.register_profile("search", deadline=None, max_examples=3_000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# A shell starts its background jobs with SIGINT ignored, and so do their children: those that are told Ctrl-C here would go on.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

SNAPSHOTS = Path(__file__).parent / "snapshots"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-snapshots", action="store_true", help="write snapshots anew instead of comparing them")


class Snapshots:
    """Compares texts with the files of `tests/snapshots`, or writes them where asked to."""

    def __init__(self, *, update: bool) -> None:
        self._update = update

    def check(self, name: str, text: str) -> None:
        """Fails where the text is not that of the snapshot; the difference is for a reviewer to read."""
        path = SNAPSHOTS / f"{name}.txt"
        if self._update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"no snapshot {path.name}: run pytest --update-snapshots and review it"
        assert text == path.read_text(encoding="utf-8")


@pytest.fixture
def snapshots(request: pytest.FixtureRequest) -> Snapshots:
    """Gives the snapshots of this run."""
    return Snapshots(update=bool(request.config.getoption("--update-snapshots")))
