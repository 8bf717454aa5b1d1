"""docs/check.md lists every rule, docs/json.md every key, and the rules keep their form."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import pytest

from otel_phi.cli.checking.probe import STEPS
from otel_phi.cli.checking.rules import CONFIGURATION_RULES, ENDPOINT_RULES, FILE_RULES, RULES, Rule
from tests import golden
from tests.cli.conftest import Run

PAGE = golden.PROJECT / "docs" / "check.md"
TABLES = {"file rules": FILE_RULES, "endpoint rules": ENDPOINT_RULES, "configuration rules": CONFIGURATION_RULES}


def table(rules: Sequence[Rule]) -> str:
    """Returns rules as a table in Markdown."""
    rows = [f"| `{rule.id}` | {rule.severity} | {rule.meaning} | {rule.fix} |" for rule in rules]
    return "\n".join(["| rule | | means | fix |", "|---|---|---|---|", *rows]) + "\n"


def test_the_page_lists_the_rules_of_the_code(pytestconfig: pytest.Config) -> None:
    text = wanted = PAGE.read_text(encoding="utf-8")
    for name, rules in TABLES.items():
        place = re.compile(rf"(<!-- {name}: begin[^\n]*-->\n).*?(<!-- {name}: end -->)", re.DOTALL)
        assert len(place.findall(wanted)) == 1
        wanted = place.sub(lambda found, rules=rules: found[1] + table(rules) + found[2], wanted)  # type: ignore[misc]
    if pytestconfig.getoption("--update-snapshots"):
        PAGE.write_text(wanted, encoding="utf-8")
    else:
        assert text == wanted, "the rules changed: pytest tests/cli/checking/test_docs.py --update-snapshots"


def test_the_page_names_the_steps_in_their_order() -> None:
    section = PAGE.read_text(encoding="utf-8").split("| step | asks |")[1].split("\n\n")[0]
    assert tuple(line.split("`")[1] for line in section.splitlines() if line.startswith("| `")) == STEPS


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.id)
def test_a_rule_is_a_word_a_sentence_and_a_fix(rule: Rule) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", rule.id)
    assert rule.meaning.endswith(".")
    assert rule.fix.endswith(".")
    assert "|" not in rule.meaning + rule.fix


def test_no_two_rules_have_one_name() -> None:
    assert len(RULES) == sum(len(rules) for rules in TABLES.values())


@pytest.mark.parametrize("arguments", [[golden.DEMO], ["--endpoint", "http://collector.invalid:1"], []])
def test_the_documented_schema_is_what_is_written(arguments: list[object], run: Run) -> None:
    found = json.loads(run("check", *arguments, "--json").stdout)
    section = (golden.PROJECT / "docs" / "json.md").read_text(encoding="utf-8").split(f"## `{found['schema']}`")[1]
    keys = [line.split("`")[1] for line in section.split("\n## ")[0].splitlines() if line.startswith("| `")]
    assert keys == list(found)
    for name in ("steps", "findings"):
        row = next((line for line in section.splitlines() if line.startswith(f"| `{name}` | a list")), "")
        for one in found.get(name, ())[:1]:
            assert [key for key in one if f"`{key}`" not in row] == []
