"""docs/faults.md names tests that exist, and every test of the matrix stands in it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROWS = [line for line in (ROOT / "docs" / "faults.md").read_text(encoding="utf-8").splitlines() if "::test_" in line]
NAMED = {tuple(match) for row in ROWS for match in re.findall(r"`([\w/.]+)::(test_\w+)`", row)}


def test_every_row_names_one_test_that_exists() -> None:
    assert len(NAMED) == len(ROWS) > 35
    for path, name in sorted(NAMED):
        assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8"), f"{path} has no {name}"


def test_every_test_of_the_matrix_is_in_the_table() -> None:
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        if path.name == Path(__file__).name:
            continue
        names = re.findall(r"^def (test_\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert {(f"tests/faults/{path.name}", name) for name in names} <= NAMED
