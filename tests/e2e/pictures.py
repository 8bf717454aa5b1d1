"""`python -m tests.e2e.pictures`: draws the pictures of docs/backends.md, each a real backend's page in a headless Chromium.

A backend that cannot be had here keeps the pictures it has, and that is said. Jaeger's pages are no Go module: `OTEL_PHI_JAEGER_UI`
names a folder with them, built.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import otel_phi
from otel_phi.events import AgentEvent
from tests import golden
from tests.e2e.backends import CannotBuild, programs
from tests.e2e.backends.packages import python_of
from tests.e2e.jaeger import Jaeger
from tests.e2e.mlflow import Mlflow
from tests.e2e.pages import steps
from tests.e2e.pages.looking import Browser, browser, jaeger_pages
from tests.e2e.pages.stories import CONVERSATION, conversation
from tests.e2e.phoenix import Phoenix
from tests.e2e.processes import Backend, wait_for
from tests.e2e.sessions import spans_of

_Kind = TypeVar("_Kind", bound=Backend)

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
_SERVICE = "code-agent"
_HIGH = (1400, 900)
_WIDE = (1640, 620)  # columns beyond the width are not shown


def main() -> None:
    """Draws what can be drawn here."""
    FOLDER.mkdir(exist_ok=True)
    try:
        eyes = browser(_say)
    except CannotBuild as reason:
        sys.exit(f"no picture can be drawn here: {reason}")
    with tempfile.TemporaryDirectory(prefix="otel-phi-pictures-") as name:
        for draw in (_jaeger, _phoenix, _phoenix_contents, _mlflow, _mlflow_contents):
            _draw(draw, eyes, Path(name))


def _draw(draw: Callable[[Browser, Path], None], eyes: Browser, folder: Path) -> None:
    try:
        draw(eyes, folder)
    except CannotBuild as reason:
        _say(f"{draw.__name__.removeprefix('_')}: its pictures stay as they are: {reason}")


def _jaeger(eyes: Browser, folder: Path) -> None:
    pages = jaeger_pages()
    for layout in ("tree", "flat"):
        with _running(Jaeger(programs(_say).jaeger, folder / f"jaeger-{layout}", pages)) as jaeger:
            _send(jaeger.http, conversation(), profile="jaeger", loop_layout=layout)
            ui = jaeger.ui
            eyes.look(
                steps.jaeger_trace(ui, CONVERSATION.replace("-", ""), FOLDER / f"jaeger-100-loops-{layout}.png"), _WIDE
            )
            if layout == "tree":
                demo = steps.DEMO.replace("-", "")
                _send(jaeger.http, golden.demo(), profile="jaeger")
                eyes.look(steps.jaeger_trace(ui, demo, FOLDER / "jaeger.png"))
                eyes.look(steps.jaeger_genai(ui, demo, "chat claude-sonnet-4-5", FOLDER / "jaeger-genai.png"))


def _phoenix(eyes: Browser, folder: Path) -> None:
    with _running(Phoenix(python_of("phoenix", _say), folder / "phoenix")) as phoenix:
        _send(phoenix.http, golden.demo(), profile="phoenix")
        phoenix.wait_for("default", len(spans_of([golden.DEMO], None, "phoenix")))
        eyes.look(steps.phoenix_trace(phoenix.http, "invoke_agent thorough", FOLDER / "phoenix.png"))
        eyes.look(steps.phoenix_session(phoenix.http, FOLDER / "phoenix-turns.png"))


def _phoenix_contents(eyes: Browser, folder: Path) -> None:
    with _running(Phoenix(python_of("phoenix", _say), folder / "phoenix-contents")) as phoenix:
        _send(phoenix.http, golden.demo(), profile="phoenix", capture_content=True)
        phoenix.wait_for("default", len(spans_of([golden.DEMO], None, "phoenix")))
        eyes.look(steps.phoenix_contents(phoenix.http, FOLDER / "phoenix-contents.png"), _HIGH)


def _mlflow(eyes: Browser, folder: Path) -> None:
    with _running(Mlflow(python_of("mlflow", _say), folder / "mlflow")) as mlflow:
        _send(mlflow.http, golden.demo(), profile="mlflow", headers={"x-mlflow-experiment-id": "0"})
        wait_for(lambda: mlflow.traces("0"), "traces in MLflow", 120.0)
        eyes.look(steps.mlflow_sessions(mlflow.http, "0", FOLDER / "mlflow-sessions.png"), _WIDE)


def _mlflow_contents(eyes: Browser, folder: Path) -> None:
    with _running(Mlflow(python_of("mlflow", _say), folder / "mlflow-contents")) as mlflow:
        _send(
            mlflow.http, golden.demo(), profile="mlflow", headers={"x-mlflow-experiment-id": "0"}, capture_content=True
        )
        rows = wait_for(lambda: mlflow.traces("0"), "traces in MLflow", 120.0)
        trace = next(key for key, row in rows.items() if steps.PROMPT in (row.content[0] or ""))
        eyes.look(steps.mlflow_contents(mlflow.http, "0", trace, FOLDER / "mlflow-contents.png"), _HIGH)


@contextmanager
def _running(backend: _Kind) -> Iterator[_Kind]:
    try:
        backend.start()
        yield backend
    finally:
        backend.stop()


def _send(endpoint: str, events: Iterable[AgentEvent], **options: Any) -> None:
    with otel_phi.Bridge(endpoint=endpoint, service_name=_SERVICE, **options) as bridge:
        bridge.feed(events)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
