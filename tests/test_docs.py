"""docs/ says what the code does, and is a site: its tables, its commands, its links, its chapters."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_type_hints

import pytest
import yaml

import otel_phi
from otel_phi.config.config import Options
from otel_phi.mapping import semconv
from otel_phi.mapping.options import PROFILES, MappingOptions
from otel_phi.mapping.status import WORDS
from tests import golden
from tests.pages import DOCS, README, commands_of, missing_targets, unknown_words

FOLDER = golden.PROJECT / "docs"
ATTRIBUTES = FOLDER / "attributes.md"
SITE = yaml.safe_load((golden.PROJECT / "mkdocs.yml").read_text(encoding="utf-8"))
_TABLE = re.compile(r"(<!-- mapping: begin[^\n]*-->\n).*?(<!-- mapping: end -->)", re.DOTALL)
_EVENT_ON = {f"event {semconv.EVENT_TOOL}": "tool event", "link": "links"}
# Pages of the site that lie elsewhere; docs/site/hooks.py takes them in.
_TAKEN_IN = {"index.md", "contributing.md", "changelog.md"}


def mapping_table() -> str:
    """Returns the mapping table as Markdown, from the one in the code."""
    lines = ["| attribute | on | says |", "|---|---|---|"]
    for row in semconv.TABLE:
        on = "every span" if row.on == semconv.SPANS else ", ".join(_EVENT_ON.get(place, place) for place in row.on)
        key = f"{row.key}*" if row.key.endswith(".") else row.key
        lines.append(
            f"| `{key}` | {on.replace('event phi', 'event `phi') + ('`' if 'event phi' in on else '')} | {row.source} |"
        )
    return "\n".join(lines) + "\n"


def test_attributes_md_shows_the_mapping_table_of_the_code(pytestconfig: pytest.Config) -> None:
    text = ATTRIBUTES.read_text(encoding="utf-8")
    wanted = _TABLE.sub(lambda found: found[1] + mapping_table() + found[2], text)
    if pytestconfig.getoption("--update-snapshots"):
        ATTRIBUTES.write_text(wanted, encoding="utf-8")
    else:
        assert text == wanted, "the mapping table changed: pytest tests/test_docs.py --update-snapshots"


def test_attributes_md_names_every_error_word() -> None:
    text = ATTRIBUTES.read_text(encoding="utf-8")
    errors = text[text.index("## Errors") :]
    assert {word for word in WORDS if f"`{word}`" not in errors} == set()


def test_options_md_names_every_keyword() -> None:
    text = (FOLDER / "options.md").read_text(encoding="utf-8")
    keywords = {*Options.__annotations__, *get_type_hints(MappingOptions)}
    assert {name for name in keywords if f"`{name}`" not in text} == set()


def test_options_md_names_every_profile() -> None:
    (row,) = re.findall(r"^\| `profile` .*$", (FOLDER / "options.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert [profile for profile in PROFILES if f"`{profile}`" not in row] == []


def test_api_md_shows_every_public_name() -> None:
    shown = re.findall(r"^::: otel_phi\.([\w.]+)$", (FOLDER / "api.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(shown) == len(set(shown))
    assert set(dir(otel_phi)) - {"__version__"} == set(shown) - {"config.Options"}


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.stem)
def test_the_commands_and_links_of_a_page_exist(page: Path) -> None:
    assert unknown_words(commands_of(page)) == []
    assert missing_targets(page) == []


def test_every_picture_is_shown_and_every_picture_shown_is_there() -> None:
    text = "".join(page.read_text(encoding="utf-8").replace("](docs/", "](") for page in (README, *DOCS))
    shown = set(re.findall(r"!\[[^\]]+\]\((pictures/[^)]+)\)", text))
    assert shown == {f"pictures/{path.name}" for path in (FOLDER / "pictures").iterdir()}


def test_every_page_is_a_chapter_of_the_site() -> None:
    listed = [entry for chapter in SITE["nav"] for entry in (chapter, *_values(chapter)) if isinstance(entry, str)]
    assert len(listed) == len(set(listed))
    assert set(listed) - _TAKEN_IN == {page.name for page in DOCS}
    assert set(listed) >= _TAKEN_IN


def _values(chapter: object) -> list[str]:
    return [page for pages in chapter.values() for page in pages] if isinstance(chapter, dict) else []
