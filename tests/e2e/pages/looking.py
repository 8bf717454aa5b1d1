"""Steps for the browser, and where it is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.e2e.backends import CannotBuild
from tests.e2e.backends.packages import python_of
from tests.e2e.backends.step import Say
from tests.e2e.processes import WITH_US

Steps = Sequence[Sequence[str]]
_WITHIN_S = 600.0
_PROGRAM = Path(__file__).parent / "browser.py"

# A folder with Jaeger's pages, built (their `index.html`): the Go module of Jaeger has none.
JAEGER_UI = "OTEL_PHI_JAEGER_UI"


class Browser:
    """Is a headless Chromium.

    Args:
        python: of the environment that has Playwright.
        chromium: the program.
    """

    def __init__(self, python: Path, chromium: str) -> None:
        self._python, self._chromium = python, chromium

    def look(self, steps: Steps, size: tuple[int, int] = (1200, 760)) -> list[str]:
        """Does steps one after the other; returns what those read that read something.

        Raises:
            AssertionError: a step could not be done; the message holds what the browser says.
        """
        asked = json.dumps({"chromium": self._chromium, "size": size, "steps": steps})
        command = [*WITH_US, str(self._python), str(_PROGRAM)]
        done = subprocess.run(command, input=asked, capture_output=True, text=True, timeout=_WITHIN_S, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
        found: list[str] = json.loads(done.stdout)
        return found


def browser(say: Say) -> Browser:
    """Returns a browser, its environment made first where need be.

    Raises:
        CannotBuild: there is no Chromium, or no package index has Playwright.
    """
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise CannotBuild("no chromium on PATH (Debian: apt-get install chromium)")
    return Browser(python_of("playwright", say), chromium)


def jaeger_pages() -> Path:
    """Returns the folder of Jaeger's pages.

    Raises:
        CannotBuild: nobody said where one is.
    """
    given = os.environ.get(JAEGER_UI)
    if not given or not (Path(given) / "index.html").exists():
        raise CannotBuild(f"{JAEGER_UI} names no folder with Jaeger's pages, built from the sources of jaeger-ui")
    return Path(given)
