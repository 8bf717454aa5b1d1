"""`python -m tests.cli.page.pictures`: draws the pictures of the README and docs/page.md, the page in a headless Chromium."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from otel_phi.cli.page.page import write_page
from otel_phi.mapping.span import Span
from tests.cli.page.eyes import WITHIN_MS, NoBrowserError, looking
from tests.cli.page.made import made_spans
from tests.cli.page.story import demo_spans

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FOLDER = Path(__file__).parents[3] / "docs" / "pictures"
_WIDE, _PHONE = (1180, 700), (390, 720)
_SETTLES_MS = 400  # plots are drawn in the next frame


def main() -> None:
    """Draws them all; a machine without a browser keeps those that are there."""
    try:
        with looking() as browser, tempfile.TemporaryDirectory(prefix="otel-phi-pictures-") as name:
            _draw_all(browser, Path(name))
    except NoBrowserError as reason:
        sys.stderr.write(f"the page's pictures stay as they are: {reason}\n")


def _draw_all(browser: Browser, folder: Path) -> None:
    demo = _page(demo_spans(content=False), folder / "demo.html", "demo-logs")
    week = _page(made_spans(200, 20_000), folder / "week.html", "logs")
    _draw(browser, demo, "page.png", _waterfall)
    _draw(browser, week, "page-sessions.png", _nothing)
    _draw(browser, week, "page-tokens.png", _tokens, scheme="dark")
    _draw(browser, demo, "page-phone.png", _session, size=_PHONE)


def _page(spans: Iterable[Span], path: Path, title: str) -> str:
    write_page(spans, path, title)
    return path.as_uri()


def _draw(
    browser: Browser,
    url: str,
    picture: str,
    steps: Callable[[Page], None],
    *,
    scheme: Literal["light", "dark"] = "light",
    size: tuple[int, int] = _WIDE,
) -> None:
    page = browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    page.set_default_timeout(WITHIN_MS)
    page.goto(url)
    page.wait_for_selector("html[data-ready=yes]")
    steps(page)
    page.mouse.move(0, 0)
    page.wait_for_timeout(_SETTLES_MS)
    page.screenshot(path=FOLDER / picture)
    page.close()


def _nothing(page: Page) -> None:
    """Shows the page as it opens."""


def _session(page: Page) -> None:
    page.locator(".rows .row").first.click()
    page.get_by_role("tab", name="Timeline").wait_for()


def _waterfall(page: Page) -> None:
    _session(page)
    page.get_by_role("group", name="errors").get_by_role("button").first.click()


def _tokens(page: Page) -> None:
    _session(page)
    page.get_by_role("tab", name="Tokens").click()


if __name__ == "__main__":
    main()
