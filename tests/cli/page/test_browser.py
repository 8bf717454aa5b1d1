"""The page in a real browser, opened from a file: what a person does with it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.page.conftest import Open
from tests.cli.page.hostile import TEXTS
from tests.cli.page.story import ANSWER, LONG, PROMPT

if TYPE_CHECKING:
    from playwright.sync_api import Page


def expect(found: Any) -> Any:
    """Returns what waits until something holds of an element; Playwright is loaded when there is a browser."""
    from playwright.sync_api import expect as waiting

    return waiting(found)


DEMO = "3f9a1c7e5b424d0e8c6192d7e4ab10f5"
SUB = "b70c25d81e944f3aa6d258c90b7f4e13"


def rows(page: Page) -> list[str]:
    """Returns the texts of the rows that are drawn."""
    return [" ".join(text.split()) for text in page.locator(".rows .row").all_inner_texts()]


def column(page: Page, name: str) -> list[str]:
    return page.locator(f".rows .column-{name}").all_inner_texts()


def at(page: Page, address: str) -> None:
    """Waits until the page's address ends so, a pattern."""
    expect(page).to_have_url(re.compile(rf"#{address}$"))


def ticks(page: Page) -> list[str]:
    return page.locator(".axis .tick").all_inner_texts()


def holds(page: Page, fact: Callable[[], bool]) -> None:
    """Asserts that something is so, as soon as what is drawn has settled."""
    for _ in range(200):
        if fact():
            return
        page.wait_for_timeout(50)
    assert fact()


def test_the_list_of_200_sessions_is_sorted_filtered_and_drawn_as_it_is_seen(opened: Open) -> None:
    page = opened("week")
    expect(page.get_by_text(re.compile(r"200 sessions · 1\d,\d{3} spans"))).to_be_visible()
    errors = [int(re.findall(r"\d+", text)[0]) for text in column(page, "errors")]
    assert errors == sorted(errors, reverse=True)  # those with errors first
    assert errors[0] > 1
    page.get_by_role("columnheader", name="agent").get_by_role("button").click()
    expect(page.get_by_role("columnheader", name="agent")).to_have_attribute("aria-sort", "ascending")
    holds(page, lambda: column(page, "agent") == sorted(column(page, "agent")))
    page.get_by_role("columnheader", name="agent").get_by_role("button").click()
    expect(page.get_by_role("columnheader", name="agent")).to_have_attribute("aria-sort", "descending")
    holds(page, lambda: set(column(page, "agent")) == {"triage"})
    assert page.locator(".rows .row").count() < 60
    page.locator(".rows").evaluate("list => list.scrollTop = list.scrollHeight")
    expect(page.locator(".rows .row").last).to_have_attribute("aria-rowindex", "200")
    assert page.locator(".rows .row").count() < 60

    page.get_by_label("filter sessions").fill("reviewer gpt-5 timeout")
    found = page.locator(".found")
    expect(found).to_have_text(re.compile(r"\d+ of 200 sessions"))
    holds(page, lambda: set(column(page, "agent")) == {"reviewer"})
    assert set(column(page, "model")) == {"gpt-5"}
    assert all("timeout" in text for text in column(page, "errors"))
    page.get_by_label("filter sessions").fill("no such thing")
    expect(page.get_by_text("No session matches.")).to_be_visible()


def test_a_session_is_walked_with_the_keyboard_alone(opened: Open) -> None:
    page = opened("demo")
    page.keyboard.press("Enter")  # the first session, the one with the error
    expect(page.get_by_role("tab", name="Timeline")).to_have_attribute("aria-selected", "true")
    at(page, DEMO)
    assert rows(page)[:5] == [
        "▾ loop 1 anthropic.claude-sonnet-4-5.1 33.6k→659 2.58 s",
        "▾ turn 0 user 784 ms",
        "model claude-sonnet-4-5 5.18k→212 511 ms",
        "tool read_file 71 ms",
        "tool bash 272 ms",
    ]
    page.keyboard.press("e")  # the next error
    page.keyboard.press("Enter")
    details = page.get_by_label("details of the span")
    expect(details.get_by_role("heading", name="edit_file")).to_be_visible()
    expect(details).to_contain_text("tool_error")
    at(page, rf"{DEMO}/[0-9a-f]{{16}}")
    page.keyboard.press("ArrowDown")
    expect(details.get_by_role("heading", name="researcher")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    expect(details.get_by_role("heading", name="turn 1")).to_be_visible()
    page.keyboard.press("ArrowLeft")  # folds it
    expect(page.locator(".row.cursor")).to_have_attribute("aria-expanded", "false")
    assert "edit_file" not in rows(page)[6]
    page.keyboard.press("Escape")
    expect(details).to_have_count(0)
    at(page, DEMO)
    page.keyboard.press("/")
    page.keyboard.type("edit_file")
    expect(page.locator(".found")).to_have_text(re.compile(r"2 of \d+ rows"))
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(page.locator(".found")).to_have_text(re.compile(r"^\d+ rows"))
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("u")
    expect(page.get_by_label("filter sessions")).to_be_visible()


def test_the_waterfall_zooms_by_button_key_and_drag(opened: Open) -> None:
    page = opened("demo", f"#{DEMO}")
    whole = ticks(page)
    assert whole[:2] == ["0", "1 s"]
    page.get_by_role("button", name="zoom in").click()
    expect(page.locator(".axis .tick").first).not_to_have_text("0")
    page.keyboard.press("0")
    expect(page.locator(".axis .tick").first).to_have_text("0")
    page.keyboard.press("+")
    page.keyboard.press("-")
    assert ticks(page) == whole
    box = page.locator(".axis").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 8)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + 8, steps=4)
    page.mouse.up()
    expect(page.locator(".axis .tick").first).to_have_text(re.compile(r"^(1\.9|2\.0) s$"))
    expect(page.locator(".rows .row", has_text="read_file").locator(".beyond.before")).to_be_visible()
    page.get_by_role("button", name="Fit").click()
    assert ticks(page) == whole


def test_links_jump_and_addresses_lead_to_a_span(opened: Open) -> None:
    page = opened("demo", f"#{DEMO}")
    page.locator(".rows .row", has_text="researcher").click()
    page.get_by_label("details of the span").get_by_role("link", name="session b70c25d8").click()
    expect(page.get_by_role("heading", name="b70c25d8-1e94-4f3a-a6d2-58c90b7f4e13")).to_be_visible()
    details = page.get_by_label("details of the span")
    expect(details.get_by_role("heading", name="session")).to_be_visible()
    at(page, rf"{SUB}/[0-9a-f]{{16}}")
    details.get_by_role("link", name="execute_tool researcher in session 3f9a1c7e").click()  # and back
    expect(details.get_by_role("heading", name="researcher")).to_be_visible()
    at(page, rf"{DEMO}/[0-9a-f]{{16}}")
    there = page.url.partition("#")[2]
    page.go_back()
    expect(page.get_by_role("heading", name="b70c25d8-1e94-4f3a-a6d2-58c90b7f4e13")).to_be_visible()

    again = opened("demo", f"#{there}")
    expect(again.get_by_label("details of the span").get_by_role("heading", name="researcher")).to_be_visible()
    expect(again.locator(".row.cursor")).to_contain_text("researcher")
    expect(opened("demo", f"#{'0' * 31}1").get_by_text("is not in this page")).to_be_visible()
    expect(opened("demo", f"#{DEMO}/{'0' * 15}1").get_by_text("is not in this page")).to_be_visible()


def test_tools_tokens_and_errors_have_their_tables_and_plots(opened: Open) -> None:
    page = opened("demo", f"#{DEMO}")
    strip = page.get_by_role("group", name="errors")
    expect(strip).to_contain_text("1 error")
    strip.get_by_role("button", name="tool_error edit_file").click()
    expect(page.get_by_label("details of the span").get_by_role("heading", name="edit_file")).to_be_visible()
    page.get_by_role("tab", name="Tools").click()
    table = [" ".join(text.split()) for text in page.locator("table.tools tr").all_inner_texts()]
    assert table[1:3] == ["edit_file 2 ✕ error: 1 tool_error 42 ms 47 ms 89 ms", "bash 2 0 62 ms 272 ms 334 ms"]
    page.get_by_role("button", name="bash").click()
    expect(page.locator(".found")).to_have_text(re.compile(r"2 of \d+ rows"))
    page.get_by_role("tab", name="Tokens").click()
    expect(page.locator(".uplot canvas")).to_have_count(1)  # no cost is known
    expect(page.locator(".u-legend")).to_contain_text("output")
    page.locator(".u-over").click(position={"x": 4, "y": 40})  # the first call
    expect(page.get_by_label("details of the span").get_by_role("heading", name="claude-sonnet-4-5")).to_be_visible()


def test_what_was_said_is_shown_as_a_chat_with_arguments_and_results_folded(opened: Open) -> None:
    expect(opened("demo", f"#{DEMO}").get_by_role("tab", name="Conversation")).to_have_count(0)
    page = opened("said", f"#{DEMO}")
    page.get_by_role("tab", name="Conversation").click()
    call = page.locator(".call").first
    expect(call.locator(".role-user .text")).to_have_text(PROMPT)
    expect(call.locator(".role-assistant > .text")).to_have_text(ANSWER)
    folds = call.locator("details")
    assert [fold.get_attribute("open") for fold in folds.all()] == [
        None,
        None,
        None,
    ]  # system, reasoning, the tool call
    call.get_by_text("read_file").click()
    expect(call.locator("details[open] .text")).to_have_text('{\n  "path": "src/upload.rs"\n}')
    page.get_by_role("tab", name="Timeline").click()
    page.get_by_label("filter spans").fill("BACKOFF(n")
    expect(page.locator(".found")).to_have_text(re.compile(r"^[1-9]\d* of"))
    page.locator(".rows .row:not(.dimmed)", has_text="read_file").first.click()
    result = page.get_by_label("details of the span").locator("details", has_text="result")
    assert len(result.locator(".text").inner_text()) < len(LONG)
    result.get_by_role("button", name="more characters").click()
    expect(result.locator(".text")).to_have_text(LONG)


def test_texts_of_others_are_never_markup_nor_script(opened: Open) -> None:
    page = opened("hostile")
    before = page.evaluate("document.querySelectorAll('script, style, meta').length")
    page.evaluate("void (window.attacked = () => console.error('attacked'))")
    expect(page.get_by_role("heading", name=TEXTS[0])).to_be_visible()  # the session is alone: it is shown at once
    for tab in ("Conversation", "Tokens", "Tools", "Timeline"):
        page.get_by_role("tab", name=tab).click()
        expect(page.get_by_role("tab", name=tab)).to_have_attribute("aria-selected", "true")
        if tab == "Tools":
            assert page.locator("table.tools tbody tr").count() == len(TEXTS)
    page.get_by_role("button", name="✕ Errors").click()
    for text in ("attacked()", "U+202E", "U+001B", "U+0000", "U+E0041", "U+D800"):
        expect(page.locator("main").get_by_text(text).first).to_be_attached()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    for _ in range(3 * len(TEXTS)):
        page.keyboard.press("ArrowDown")
    page.locator(".rows .row .kind-chat").first.click()
    expect(page.get_by_label("details of the span")).to_contain_text("what was said")
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.evaluate("document.querySelectorAll('script, style, meta').length") == before
    assert (
        page.evaluate("document.querySelectorAll('img, iframe, object, a[href]:not([href^=\"#\"]), [onerror]').length")
        == 0
    )
    assert "\u202e" not in page.locator("body").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_in_both_colours(opened: Open, scheme: str) -> None:
    older = "delete Uint8Array.fromBase64" if scheme == "dark" else ""  # and in browsers of 2023
    page = opened("said", before=older, color_scheme=scheme, has_touch=True)
    page.set_viewport_size({"width": 360, "height": 740})

    def fits() -> bool:
        return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth && document.documentElement.scrollHeight <= innerHeight"))  # fmt: skip

    expect(page.locator("html")).to_have_attribute("data-theme", scheme)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(15, 19, 24)"}[scheme]
    expect(page.locator(".card")).to_have_count(2)
    assert fits()
    page.locator(".rows .row").first.tap()
    for tab in ("Conversation", "Tokens", "Tools", "Timeline"):
        page.get_by_role("tab", name=tab).tap()
        assert fits(), tab
    page.locator(".rows .row", has_text="edit_file").first.tap()
    details = page.get_by_label("details of the span")
    expect(details).to_be_visible()
    box = details.bounding_box()
    assert box is not None
    assert box["width"] == 360
    assert fits()
    page.get_by_role("button", name="close the details").tap()
    expect(details).to_have_count(0)


def test_a_page_whose_data_is_cut_or_whose_browser_is_too_old_says_so(opened: Open) -> None:
    expect(opened("cut").get_by_role("alert")).to_contain_text("Write it again: otel-phi show PATH --html FILE.")
    old = opened("demo", before="delete window.DecompressionStream")
    expect(old.get_by_role("alert")).to_contain_text("one of 2023 or newer can")
