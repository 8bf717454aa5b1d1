"""A browser to look at pages with; a machine without one skips, and says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from otel_phi.cli.page.page import write_page
from otel_phi.mapping.span import Span
from tests import golden
from tests.cli.page.eyes import WITHIN_MS, NoBrowserError, looking
from tests.cli.page.hostile import hostile_spans
from tests.cli.page.made import made_spans
from tests.cli.page.story import demo_spans

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

Open = Callable[..., "Page"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Gives a headless Chromium; not for longer than a module: Playwright's event loop runs in this thread, and other tests want one of their own."""
    try:
        with looking() as found:
            yield found
    except NoBrowserError as reason:
        pytest.skip(f"NO BROWSER, the page is not looked at: {reason}")


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives a page by its name: `demo`, `said` (the demo with what was said), `week` (20,000 spans), `hostile`, `cut`."""
    folder = tmp_path_factory.mktemp("pages")
    makers: dict[str, Callable[[], Iterator[Span]]] = {
        "demo": lambda: demo_spans(content=False),
        "said": lambda: demo_spans(content=True),
        "week": lambda: made_spans(200, 20_000),
        "hostile": lambda: iter(hostile_spans()),
        "cut": lambda: made_spans(1, 400),
    }

    def file(name: str) -> Path:
        path = folder / f"{name}.html"
        if not path.exists():
            write_page(makers[name](), path, name)
        if name == "cut":
            path.write_text(_cut(path.read_text(encoding="utf-8")), encoding="utf-8")
        return path

    assert golden.DEMO.exists()
    return file


def _cut(text: str) -> str:
    """Returns a page with half of its data, as a copy that was broken off and mended by hand."""
    begin = text.index('id="data">') + len('id="data">\n')
    end = text.index("</script>", begin)
    return text[: begin + (end - begin) // 8 * 4] + text[end:]


@pytest.fixture
def opened(browser: Browser, files: Callable[[str], Path]) -> Iterator[Open]:
    """Opens pages; at the end no console may have said anything bad, and nothing but the file may have been asked for."""
    contexts: list[BrowserContext] = []
    wrong: list[str] = []

    def opened(name: str, address: str = "", before: str = "", **options: object) -> Page:
        context = browser.new_context(viewport={"width": 1280, "height": 800}, **options)  # type: ignore[arg-type]
        contexts.append(context)
        context.add_init_script(before)
        page = context.new_page()
        page.set_default_timeout(WITHIN_MS)
        url = files(name).as_uri()
        page.on("console", lambda said: wrong.append(f"{said.type}: {said.text}"))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}"))
        page.on("request", lambda asked: wrong.append(asked.url) if asked.url.partition("#")[0] not in (url, "") and not asked.url.startswith("data:image/") else None)  # fmt: skip
        page.goto(url + address)
        page.wait_for_selector("html[data-ready=yes], [role=alert]")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []
