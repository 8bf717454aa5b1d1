"""The real backends as fixtures. A machine that cannot build them skips, and the last lines of the run say so.

`jaeger` is a Jaeger of the test's own, `collector(config, ...)` starts a Collector of its own, `rotel(to, by)` a Rotel; all on free
loopback ports, ended with the test; `kafka()` makes a Kafka, which the test starts. `phoenix` and `mlflow` take half a minute to start: a
module's tests share one. What they said is shown where a test fails.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Protocol, TypeVar

import pytest

from tests.e2e.backends import CannotBuild, Programs, programs
from tests.e2e.backends.maven import kafka_jars
from tests.e2e.backends.packages import python_of
from tests.e2e.backends.step import Say
from tests.e2e.collector import Collector, Config
from tests.e2e.jaeger import Jaeger
from tests.e2e.kafka import Kafka
from tests.e2e.mlflow import Mlflow
from tests.e2e.phoenix import Phoenix
from tests.e2e.processes import Backend
from tests.e2e.rotel import OutBy, Rotel, program_of

_Got = TypeVar("_Got")
_Shared = TypeVar("_Shared", bound=Backend)
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


class MakeKafka(Protocol):
    """Makes a Kafka of the test's own, not started: `start` and `kill` are the test's.

    Args:
        **settings: lines for `server.properties`, dots in their names written as `__`.
    """

    def __call__(self, **settings: object) -> Kafka: ...


class StartRotel(Protocol):
    """Starts a Rotel that sends to an endpoint by a protocol."""

    def __call__(self, to: str, by: OutBy) -> Rotel: ...


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


@pytest.fixture
def kafka(say: Say, running: list[Backend], tmp_path: Path) -> MakeKafka:
    """Gives what makes a real Kafka."""
    jars = or_skip("Kafka", lambda: kafka_jars(say))

    def make(**settings: object) -> Kafka:
        made = Kafka(jars, tmp_path / "kafka", **settings)
        running.append(made)
        return made

    return make


@pytest.fixture
def rotel(say: Say, running: list[Backend], tmp_path: Path) -> StartRotel:
    """Gives what starts a real Rotel."""
    program = or_skip("rotel", lambda: program_of(python_of("rotel", say)))

    def start(to: str, by: OutBy) -> Rotel:
        made = Rotel(program, to, by, tmp_path / "rotel")
        running.append(made)
        made.start()
        return made

    return start


@pytest.fixture(scope="module")
def phoenix(request: pytest.FixtureRequest, say: Say, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Phoenix]:
    """Gives a real Phoenix, empty at first, that the tests of a module share: each has a project of its own there."""
    python = or_skip("phoenix", lambda: python_of("phoenix", say))
    yield from _shared(request, Phoenix(python, tmp_path_factory.mktemp("phoenix")))


@pytest.fixture(scope="module")
def mlflow(request: pytest.FixtureRequest, say: Say, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mlflow]:
    """Gives a real MLflow, empty at first, that the tests of a module share: each has an experiment of its own there."""
    python = or_skip("mlflow", lambda: python_of("mlflow", say))
    yield from _shared(request, Mlflow(python, tmp_path_factory.mktemp("mlflow")))


def or_skip(what: str, got: Callable[[], _Got]) -> _Got:
    """Returns what is got, or skips the test and says why."""
    try:
        return got()
    except CannotBuild as reason:
        pytest.skip(f"SKIPPED, NOT PASSED: {what} cannot be had here: {reason}")


def _shared(request: pytest.FixtureRequest, backend: _Shared) -> Iterator[_Shared]:
    request.node.stash[_RUNNING] = [backend]
    try:
        backend.start()
        yield backend
    finally:
        backend.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds the last words of the backends to the report of a test that failed."""
    report = yield
    if report.failed:
        running = (backend for node in item.listchain() for backend in node.stash.get(_RUNNING, []))
        for backend in running:
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
