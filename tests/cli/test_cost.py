"""What model calls cost, as the commands say it: by a table of the user's own, where it knows the model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from otel_phi.testing import Receiver
from tests import golden
from tests.cli.conftest import Run

TABLE = """
[[price]]
model = "claude-sonnet-4-5"
input = 3
output = 15
cache_read = 0.30
cache_write = 3.75
"""
DEMO = str(golden.DEMO)


@pytest.fixture
def prices(tmp_path: Path) -> str:
    path = tmp_path / "prices.toml"
    path.write_text(TABLE, encoding="utf-8")
    return str(path)


def by_hand() -> float:
    """Returns what the demo's calls of that model cost, by the numbers that phi-core wrote."""
    total = 0.0
    for event in golden.demo():
        said = getattr(event, "message", None)
        if type(event).__name__ == "MessageEnd" and getattr(said, "model", "") == "claude-sonnet-4-5":
            used = said.usage  # type: ignore[union-attr]  # it is an answer
            total += 3 * used.input + 15 * used.output + 0.3 * used.cache_read + 3.75 * used.cache_write
    return total / 1e6


def test_show_says_what_a_session_cost(run: Run, prices: str) -> None:
    shown = run("show", DEMO, "--prices", prices)
    assert f" · ${by_hand():.4f}\n" in shown.stdout or f" · over ${by_hand():.4f}\n" in shown.stdout
    spans = json.loads(run("show", DEMO, "--prices", prices, "--json").stdout)
    costs = [
        span["attributes"]["phi.cost.usd"]
        for span in spans
        if span["name"].startswith("chat") and "phi.cost.usd" in span["attributes"]
    ]
    assert sum(costs) == pytest.approx(by_hand(), rel=1e-12)
    assert "$" not in run("show", DEMO).stdout


def test_show_notes_a_model_without_a_price_once(run: Run, prices: str) -> None:
    Path(prices).write_text(TABLE.replace("claude-sonnet-4-5", "another"), encoding="utf-8")
    shown = run("show", DEMO, "--prices", prices)
    assert "$" not in shown.stdout
    assert shown.stderr.count("no price is known for claude-sonnet-4-5 of anthropic: what it cost is not said") == 1


def test_the_environment_names_the_table_too(run: Run, prices: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_PHI_PRICES", prices)
    assert "$" in run("show", DEMO).stdout


def test_export_says_it_in_its_table_and_in_json(run: Run, prices: str, receiver: Receiver) -> None:
    plain = run("export", DEMO, "--endpoint", receiver.endpoint)
    assert "cost" not in plain.stdout.splitlines()[0]
    priced = run("export", DEMO, "--endpoint", receiver.endpoint, "--prices", prices)
    assert priced.stdout.splitlines()[0].endswith(" cost")
    said = json.loads(run("export", DEMO, "--endpoint", receiver.endpoint, "--prices", prices, "--json").stdout)
    known = [session["cost_usd"] for session in said["sessions"] if session["cost_usd"] is not None]
    assert sum(known) == pytest.approx(by_hand(), rel=1e-12)


def test_a_table_that_is_none_is_a_usage_error(run: Run, prices: str) -> None:
    Path(prices).write_text("[[price]]\nmodel = 1", encoding="utf-8")
    failed = run("show", DEMO, "--prices", prices)
    assert failed.exit_code == 2
    assert "is no table of prices" in failed.stderr
