"""The real backends as fixtures. A machine that cannot build them skips, and the last lines of the run say so.

`jaeger` is a Jaeger of the test's own, `collector(config, ...)` starts a Collector of its own; both on free loopback ports, ended
with the test. What they said is shown where the test fails.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import pytest

from tests.e2e.backends import CannotBuild, Programs, programs
from tests.e2e.backends.go import Say
from tests.e2e.collector import Collector, Config
from tests.e2e.jaeger import Jaeger
from tests.e2e.processes import Backend

_RUNNING = pytest.StashKey[list[Backend]]()
_HERE = Path(__file__).parent


class StartCollector(Protocol):
    """Starts a Collector.

    Args:
        configs: files, or what they would say; the later are laid over the earlier.
        environment: variables the configurations name.
        name: of its folder, for tests with several.
    """

    def __call__(
        self, *configs: Config, environment: Mapping[str, str] | None = None, name: str = "otelcol"
    ) -> Collector: ...


@pytest.fixture(scope="session")
def say(pytestconfig: pytest.Config) -> Say:
    """Gives what prints a line of progress past pytest's capturing."""
    reporter = pytestconfig.pluginmanager.get_plugin("terminalreporter")
    capture = pytestconfig.pluginmanager.get_plugin("capturemanager")
    assert reporter is not None
    assert capture is not None

    def say(line: str) -> None:
        with capture.global_and_fixture_disabled():
            reporter.ensure_newline()
            reporter.write_line(line)

    return say


@pytest.fixture(scope="session")
def backends(say: Say) -> Programs:
    """Gives the programs of the real backends, built first where need be; skips where this machine cannot."""
    try:
        return programs(say)
    except CannotBuild as reason:
        pytest.skip(f"SKIPPED, NOT PASSED: the real backends cannot be built here: {reason}")


@pytest.fixture
def running(request: pytest.FixtureRequest) -> Iterator[list[Backend]]:
    """Gives the list of what the test starts: ended with it, the last first, and its words shown where the test fails."""
    started: list[Backend] = []
    request.node.stash[_RUNNING] = started
    yield started
    for backend in reversed(started):
        backend.stop()


@pytest.fixture
def collector(backends: Programs, running: list[Backend], tmp_path: Path) -> StartCollector:
    """Gives what starts a real Collector."""

    def start(*configs: Config, environment: Mapping[str, str] | None = None, name: str = "otelcol") -> Collector:
        made = Collector(backends.otelcol, configs, tmp_path / name, environment or {})
        running.append(made)
        made.start()
        return made

    return start


@pytest.fixture
def jaeger(backends: Programs, running: list[Backend], tmp_path: Path) -> Jaeger:
    """Gives a real Jaeger, empty."""
    made = Jaeger(backends.jaeger, tmp_path / "jaeger")
    running.append(made)
    made.start()
    return made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds the last words of the backends to the report of a test that failed."""
    report = yield
    if report.failed:
        for backend in item.stash.get(_RUNNING, []):
            report.sections.append((f"{backend.name} ({backend.log})", backend.tail()))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says how many tests against real backends ran, and how many were skipped, and why."""
    if terminalreporter.config.option.collectonly:
        return
    outcomes = {kind: _ours(terminalreporter, kind) for kind in ("passed", "failed", "error", "skipped")}
    ran = sum(len(found) for kind, found in outcomes.items() if kind != "skipped")
    skipped = outcomes["skipped"]
    terminalreporter.section("real backends")
    terminalreporter.write_line(f"{ran} tests ran, {len(skipped)} were skipped")
    for reason, count in Counter(map(_reason, skipped)).most_common():
        terminalreporter.write_line(f"  {count} skipped: {reason}")


def _ours(terminalreporter: pytest.TerminalReporter, kind: str) -> list[pytest.TestReport]:
    reports = (each for each in terminalreporter.stats.get(kind, []) if isinstance(each, pytest.TestReport))
    folder = _HERE.relative_to(terminalreporter.config.rootpath).as_posix()
    return [each for each in reports if each.nodeid.startswith(folder)]


def _reason(report: pytest.TestReport) -> str:
    where = report.longrepr
    return str(where[2]).removeprefix("Skipped: ") if isinstance(where, tuple) else str(where)
