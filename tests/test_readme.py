"""The README says what the code does: its mapping table, its commands, its options."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from otel_phi.mapping import semconv
from otel_phi.mapping.status import WORDS

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
_TABLE = re.compile(r"(<!-- mapping: begin[^\n]*-->\n).*?(<!-- mapping: end -->)", re.DOTALL)
_EVENT_ON = {f"event {semconv.EVENT_TOOL}": "tool event", "link": "links"}


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


def test_the_readme_shows_the_mapping_table_of_the_code(pytestconfig: pytest.Config) -> None:
    text = README.read_text(encoding="utf-8")
    wanted = _TABLE.sub(lambda found: found[1] + mapping_table() + found[2], text)
    if pytestconfig.getoption("--update-snapshots"):
        README.write_text(wanted, encoding="utf-8")
    else:
        assert text == wanted, "the mapping table changed: pytest tests/test_readme.py --update-snapshots"


def test_the_readme_names_every_error_word() -> None:
    text = README.read_text(encoding="utf-8")
    errors = text[text.index("### Errors") : text.index("## Backends")]
    assert {word for word in WORDS if f"`{word}`" not in errors} == set()


def test_the_files_the_readme_points_at_exist() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", README.read_text(encoding="utf-8")):
        assert (ROOT / target).exists(), target
