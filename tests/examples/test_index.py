"""examples/README.md names every example, and every example is run by a test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import golden

FOLDER = golden.PROJECT / "examples"
INDEX = (FOLDER / "README.md").read_text(encoding="utf-8")
EXAMPLES = sorted(path.name for path in FOLDER.iterdir() if path.is_dir() or path.suffix == ".py")
TESTS = [path for path in (golden.PROJECT / "tests").rglob("*.py") if path != Path(__file__)]


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_in_the_index_and_run_by_a_test(name: str) -> None:
    assert re.search(rf"^\| \[{re.escape(name)}/?\]", INDEX, re.MULTILINE)
    assert any(f'"{name}"' in path.read_text(encoding="utf-8") for path in TESTS)


@pytest.mark.parametrize("page", sorted(FOLDER.rglob("README.md")), ids=lambda page: page.parent.name)
def test_every_link_of_a_page_ends_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if "://" not in target and not (page.parent / target).exists()] == []
