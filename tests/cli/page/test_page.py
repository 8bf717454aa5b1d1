"""What is in a page: its data, whole and as data alone; its rules for the browser; its libraries."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_phi.cli.page.page import APP, ASSETS, LIBRARIES, write_page
from otel_phi.events import AgentEvent, encode_event
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import Span
from otel_phi.pipeline import spans
from tests import golden
from tests.cli.conftest import Run
from tests.cli.page.hostile import TEXTS, hostile_spans
from tests.cli.page.made import made_spans
from tests.cli.page.reading import Elements, records, shell, spans_in, written
from tests.streams import OWN_CASES, SMALL_CASES

_MOST_BYTES = 200_000  # of a page without data
_GROWS_BYTES = 150_000  # at most, while 2,000 spans pass: of the spans themselves it would be megabytes


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return tmp_path / "page.html"


# --- data ------------------------------------------------------------------------------------------------------------


def test_a_page_holds_the_spans_that_show_draws_each_whole(page: Path, run: Run) -> None:
    result = run("show", golden.DEMO, "--html", page)
    assert (result.exit_code, result.stdout) == (0, "")
    assert re.fullmatch(r"otel-phi: \S+page.html: 2 sessions, 38 spans, \d+ kB\n", result.stderr), result.stderr
    assert spans_in(page) == json.loads(run("show", golden.DEMO, "--json").stdout)


@given(st.sampled_from([*SMALL_CASES.values(), *OWN_CASES.values(), *golden.small_streams().values()]))
@settings(max_examples=30, deadline=None)
def test_whatever_the_spans_the_data_holds_them(
    tmp_path_factory: pytest.TempPathFactory, events: list[AgentEvent]
) -> None:
    page = tmp_path_factory.mktemp("page") / "page.html"
    found = list(spans(events, MappingOptions(source_info=True)))
    write_page(found, page, "title")
    assert spans_in(page) == [written(span) for span in found]


def test_a_page_says_what_each_session_adds_up_to_as_ls_does(page: Path, run: Run) -> None:
    run("show", golden.DEMO, "--html", page)
    listed = [json.loads(line) for line in run("ls", golden.DEMO, "--json").stdout.splitlines()]
    assert records(page)[-1]["sessions"] == listed


def test_where_an_agent_worked_is_not_in_a_page(page: Path, tmp_path: Path, run: Run) -> None:
    log = tmp_path / "run.jsonl"
    log.write_bytes(b"".join(encode_event(event) + b"\n" for event in OWN_CASES["read"]))
    assert run("show", log, "--html", page).exit_code == 0
    said = json.dumps(records(page))
    assert "phi.source.agent" in said
    assert not any(private in said for private in ("phi.source.cwd", "a title", "example.org", "vcs."))


# --- data stays data ---------------------------------------------------------------------------------------------------


def test_texts_of_others_change_nothing_of_a_page_but_its_data(page: Path, tmp_path: Path) -> None:
    write_page(hostile_spans(), page, "title")
    harmless = tmp_path / "harmless.html"
    write_page(made_spans(1, 10), harmless, "title")
    assert shell(page) == shell(harmless)
    assert len(spans_in(page)) == 1 + 3 * len(TEXTS)


@pytest.mark.parametrize("text", [text for text in TEXTS if "\x00" not in text])
def test_a_title_is_text(page: Path, text: str) -> None:
    write_page((), page, text)
    elements = Elements(shell(page))
    ((_, title),) = elements.of("title")
    assert title == "".join(one for one in text.replace("\r", " ").replace("\n", " ") if one.isprintable())
    assert len(elements.of("script")) == 1 + len(LIBRARIES) + 1
    assert elements.of("img") == []


def test_a_page_runs_and_shows_what_its_policy_names_by_digest_and_asks_nobody_for_anything(page: Path) -> None:
    write_page(made_spans(1, 10), page, "title")
    elements = Elements(shell(page))
    (policy,) = [str(attributes["content"]) for attributes, _ in elements.of("meta") if "http-equiv" in attributes]
    scripts = [text for attributes, text in elements.of("script") if not attributes]
    styles = [text for _, text in elements.of("style")]
    assert dict(rule.split(" ", 1) for rule in policy.split("; ")) == {
        "default-src": "'none'",
        "script-src": " ".join(map(_digest, scripts)),
        "style-src": " ".join(map(_digest, styles)),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    names = {name for _, attributes, _ in elements.found for name in attributes}
    assert names == {"charset", "class", "content", "http-equiv", "id", "lang", "name", "role", "type"}


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_the_page_s_own_scripts_make_no_markup_and_no_code_of_strings() -> None:
    own = "".join((ASSETS / "app" / name).read_text(encoding="utf-8") for name in APP)
    banned = r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|new Function|dangerously|setAttribute\(\"(style|on)|\bfetch\(|XMLHttp|WebSocket|import\("
    assert re.findall(banned, own) == []
    assert {path.name for path in (ASSETS / "app").iterdir()} == set(APP)


def test_no_asset_ends_the_element_it_stands_in() -> None:
    for path in ASSETS.rglob("*"):
        if path.suffix in {".js", ".css"}:
            assert not re.search(r"</(script|style)|<!--", path.read_text(encoding="utf-8"), re.IGNORECASE), path.name


# --- size, memory, files ---------------------------------------------------------------------------------------------


def test_a_page_without_data_is_at_most_200_kb(page: Path) -> None:
    write_page((), page, "title")
    assert len(shell(page).encode()) <= _MOST_BYTES


def test_memory_does_not_grow_with_the_spans_of_a_session(page: Path) -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        write_page(made_spans(1, count), page, "title")
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(100)
    assert peak(2_400) - peak(400) < _GROWS_BYTES


def test_a_page_has_its_name_when_it_is_whole(page: Path) -> None:
    page.write_text("the one before")

    def cut_short() -> Iterator[Span]:
        yield from made_spans(1, 10)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_page(cut_short(), page, "title")
    assert [path.name for path in page.parent.iterdir()] == ["page.html"]
    assert page.read_text() == "the one before"


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes in folders there")
def test_a_page_goes_through_a_pipe_that_stays_one(page: Path) -> None:
    os.mkfifo(page)
    with subprocess.Popen(["cat", str(page)], stdout=subprocess.PIPE) as reader:
        with ThreadPoolExecutor(1) as other:
            got = other.submit(reader.communicate)
            written = write_page((), page, "title")
        text, _ = got.result()
    assert page.is_fifo()
    assert (len(text), text[:15]) == (written.size_bytes, b"<!doctype html>")


def test_a_page_that_cannot_be_written_is_said(tmp_path: Path, run: Run) -> None:
    result = run("show", golden.DEMO, "--html", tmp_path / "nowhere" / "page.html")
    assert result.exit_code == 1
    assert result.stderr == f"otel-phi: [Errno 2] No such file or directory: '{tmp_path}/nowhere/page.html'\n"


# --- libraries -------------------------------------------------------------------------------------------------------


def test_the_libraries_are_those_their_list_says_and_their_licences_go_along() -> None:
    folder = ASSETS / "vendor"
    listed = json.loads((folder / "versions.json").read_text(encoding="utf-8"))
    assert set(listed) == set(LIBRARIES)
    digests = {name: digest for library in listed.values() for name, digest in library["files"].items()}
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.name != "versions.json"
    }
    assert found == digests
    for name, library in listed.items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", library["version"])
        assert library["licence"] in {"MIT", "Apache-2.0"}
        assert f"LICENSE-{name}" in library["files"]


def test_docs_name_the_libraries_as_they_are() -> None:
    text = (golden.PROJECT / "docs" / "page.md").read_text(encoding="utf-8")
    listed = json.loads((ASSETS / "vendor" / "versions.json").read_text(encoding="utf-8"))
    rows = {
        name.lower(): (version, licence)
        for name, version, licence in re.findall(r"\| \[(\w+)\].*? \| ([\d.]+) \| (\S+) \|", text)
    }
    assert rows == {name: (library["version"], library["licence"]) for name, library in listed.items()}
