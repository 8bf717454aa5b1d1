"""A headless Chromium, Debian's or another that stands on the path, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

WITHIN_MS = 30_000  # for anything to happen: a second on an idle machine
# As root in a sandbox, and no request of its own to anybody.
_FLAGS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync")  # fmt: skip
_NAMES = ("chromium", "chromium-browser", "google-chrome")


class NoBrowserError(Exception):
    """Says why there is no browser."""


@contextmanager
def looking() -> Iterator[Browser]:
    """Gives a browser.

    Raises:
        NoBrowserError: there is none here.
    """
    try:
        from playwright.sync_api import Error, expect, sync_playwright
    except ImportError as error:
        raise NoBrowserError(str(error)) from None
    program = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if program is None:
        raise NoBrowserError("no chromium on PATH (Debian: apt-get install chromium)")
    expect.set_options(timeout=WITHIN_MS)
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=program, args=list(_FLAGS))
        except Error as error:
            raise NoBrowserError(f"{program} does not start: {error.message.splitlines()[0]}") from None
        try:
            yield browser
        finally:
            browser.close()
