"""What model calls cost, live: the spans say it, the same as offline, also those that another process sends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import otel_phi
from otel_phi.config import resolve
from otel_phi.events import AgentEvent
from otel_phi.mapping import semconv as s
from otel_phi.testing import Receiver
from tests import golden
from tests.hook.conftest import Install
from tests.hook.stories import loop_of

TABLE = '[[price]]\nmodel = "mock"\ninput = 3\noutput = 15\n'


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    path = tmp_path / "prices.toml"
    path.write_text(TABLE, encoding="utf-8")
    return path


def costs(spans: object) -> list[object]:
    return [span.get(s.COST_USD) for span in spans if span.get(s.COST_USD) is not None]  # type: ignore[attr-defined]  # spans


def test_spans_of_a_live_agent_say_what_calls_cost(install: Install, receiver: Receiver, prices: Path) -> None:
    hook = install(prices=prices)
    story: list[AgentEvent] = loop_of("one")
    for event in story:
        hook(event)
    assert hook.flush(5.0)
    offline = list(otel_phi.spans(story, resolve(prices=prices, service_name="test")))
    assert costs(receiver.spans) == costs(offline)
    assert len(costs(offline)) >= 2
    assert [span.attributes for span in receiver.spans] == [span.attributes for span in offline]


def test_a_model_without_a_price_is_said_once(install: Install, prices: Path, caplog: pytest.LogCaptureFixture) -> None:
    prices.write_text(TABLE.replace("mock", "another"), encoding="utf-8")
    hook = install(prices=prices)
    for name in ("one", "two"):
        for event in loop_of(name):
            hook(event)
    assert hook.flush(5.0)
    assert hook.shutdown(5.0)
    said = [record.getMessage() for record in caplog.records if "no price" in record.getMessage()]
    assert len(said) == 1
    assert said[0].startswith("no price is known for mock")


_KILLED = """
import os, signal, sys
import otel_phi
from tests.hook.stories import loop_of
hook = otel_phi.install(service_name="test", prices=sys.argv[1])
for event in loop_of("one")[:-1]:
    hook(event)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_who_adopts_a_journal_prices_by_what_its_head_says(install: Install, receiver: Receiver, prices: Path) -> None:
    environment = os.environ | {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
        "OTEL_PHI_STATE_DIR": str(prices.parent / "state"),
    }
    receiver.answer(status=503, times=1_000)
    command = [sys.executable, "-c", _KILLED, str(prices)]
    done = subprocess.run(command, env=environment, cwd=golden.PROJECT, check=False, timeout=60)
    assert done.returncode == -9
    prices.unlink()
    receiver.forget_script()
    hook = install()
    assert hook.flush(20.0)
    assert hook.stats().delivery.adopted > 0
    expected = [
        span for span in otel_phi.spans(loop_of("one")[:-1], resolve(service_name="test")) if span.get(s.USAGE_INPUT)
    ]
    usd = [
        round((3 * int(str(one.get(s.USAGE_INPUT))) + 15 * int(str(one.get(s.USAGE_OUTPUT)))) / 1e6, 12)
        for one in expected
    ]
    assert costs([span for span in receiver.spans if span.get(s.USAGE_INPUT)]) == usd
    (loop,) = [span for span in receiver.spans if span.get(s.OPERATION) == "invoke_agent"]
    assert loop.get(s.COST_USD) == pytest.approx(sum(usd))
