"""Runs steps in a headless Chromium: a program for the Python of another environment, which has Playwright and nothing of ours.

On stdin: {"chromium": PATH, "size": [WIDTH, HEIGHT], "steps": [[VERB, ...], ...]}. On stdout: a list of what the `read` steps read.

    goto URL            opens a page
    at PART             waits until the page's address holds it
    see TEXT            waits until it can be seen
    press NAME          clicks the button of that name; `press? NAME` where there is one within five seconds
    click TEXT          clicks the first thing with exactly that text
    follow OLD NEW      goes to the page's own address, less its query, with one part replaced
    read SELECTOR       reads the text of the first element
    picture FILE        draws what is seen
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

from playwright.sync_api import Error, Page, sync_playwright

_WITHIN_MS = 60_000  # a second on an idle machine
_SETTLES_MS = 2_000  # charts and panels move in
# As root in a sandbox, and no request of its own to anybody.
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def main() -> None:
    """Does what stdin asks."""
    asked = json.load(sys.stdin)
    width, height = asked["size"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=asked["chromium"], args=list(_FLAGS))
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(_WITHIN_MS)
        found = [said for step in asked["steps"] if (said := _step(page, *step)) is not None]
        browser.close()
    json.dump(found, sys.stdout)


def _step(page: Page, verb: str, *words: str) -> str | None:
    if verb == "read":
        text: str = page.locator(words[0]).first.inner_text()
        return text
    steps: dict[str, Callable[..., object]] = {
        "goto": page.goto,
        "at": lambda part: page.wait_for_url(lambda url: part in url),
        "see": lambda text: page.get_by_text(text).first.wait_for(),
        "press": lambda name: page.get_by_role("button", name=name, exact=True).first.click(),
        "press?": lambda name: _if_there(page, name),
        "click": lambda text: page.get_by_text(text, exact=True).first.click(),
        "follow": lambda old, new: page.goto(page.url.partition("?")[0].replace(old, new)),
        "picture": lambda file: _picture(page, file),
    }
    steps[verb](*words)
    return None


def _if_there(page: Page, name: str) -> None:
    try:
        page.get_by_role("button", name=name, exact=True).first.click(timeout=5_000)
    except Error:
        return


def _picture(page: Page, file: str) -> None:
    page.wait_for_timeout(_SETTLES_MS)
    page.mouse.move(0, 0)
    page.screenshot(path=file)


if __name__ == "__main__":
    main()
