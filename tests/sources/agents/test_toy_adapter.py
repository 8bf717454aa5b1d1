"""docs/adding-an-agent.md: the adapter it shows is run as it stands there, through every door that reads files."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from otel_phi.cli import main
from otel_phi.events import encode_event
from otel_phi.mapping import semconv as s
from otel_phi.mapping.options import MappingOptions
from otel_phi.sources.agents import registry
from otel_phi.sources.agents.adapter import Adapter
from otel_phi.sources.agents.claims import ClaimsInMemory
from tests import golden
from tests.laws import Run, role
from tests.sources.agents.samples import folded, totals
from tests.sources.agents.test_stored import made, old

TEXT = (golden.PROJECT / "docs" / "adding-an-agent.md").read_text(encoding="utf-8")


def _block(name: str) -> str:
    return re.findall(rf"<!-- {name}: begin -->\n```\w*\n(.*?)```", TEXT, re.DOTALL)[0]  # type: ignore[no-any-return]


SESSION, CODE, TREE = _block("session"), _block("adapter"), _block("tree")
DATA = SESSION.encode()


@pytest.fixture
def parrot(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Adapter:
    """Runs the page's code as a module, and puts its adapter where the page says."""
    path = tmp_path_factory.mktemp("page") / "parrot.py"
    path.write_text(CODE, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("parrot_of_the_page", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    adapter: Adapter = module.Parrot()
    monkeypatch.setattr(registry, "ADAPTERS", (*registry.ADAPTERS, adapter))
    monkeypatch.setitem(registry.BY_NAME, adapter.name, adapter)
    return adapter


@pytest.mark.usefixtures("parrot")
def test_its_session_is_the_tree_beside_it(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["show", str(old(tmp_path / "x.jsonl", DATA)), "--all"])
    assert done.exit_code == 0
    assert done.stdout == TREE


def test_its_totals_are_those_of_its_lines_and_the_laws_hold(parrot: Adapter) -> None:
    events, counts = folded(parrot, DATA)
    found = totals(events)
    assert (found.loops, found.calls, found.tools, found.results, found.errors) == (2, 3, 1, 1, 1)
    assert found.tokens == Counter(input=410, output=15)
    assert counts == Counter()
    assert Run(events, MappingOptions()).broken() == []


@pytest.mark.parametrize("kill_after", [1, 2, 3])
def test_it_goes_on_after_a_kill_at_any_line(parrot: Adapter, kill_after: int) -> None:
    whole = [encode_event(event) for event in folded(parrot, DATA)[0]]
    assert [encode_event(event) for event in folded(parrot, DATA, kill_after=kill_after)[0]] == whole


def test_a_copy_is_counted_once_and_damage_costs_its_line(parrot: Adapter) -> None:
    claims = ClaimsInMemory()
    first = totals(folded(parrot, DATA, claims=claims)[0])
    copied = (
        DATA.replace(b"7c9e6679", b"8d9e6679")
        + b'{"at":"2026-05-01T10:00:50Z","id":"l9","model":"a","says":"!"}\n{"at\n7\n'
    )
    second, counts = folded(parrot, copied, claims=claims)
    assert (first.calls, totals(second).calls) == (3, 1)
    assert (counts["copied_calls"], counts["copied_prompts"], counts["bad_lines"]) == (3, 2, 2)


def test_it_is_told_among_the_others_by_its_content(parrot: Adapter, tmp_path: Path) -> None:
    assert [one.name for one in registry.ADAPTERS if one.recognizes(DATA, "x")] == [parrot.name]
    old(tmp_path / "a.txt", DATA)
    old(tmp_path / "phi.jsonl", golden.DEMO.read_bytes())
    found, _ = made(tmp_path)
    assert {span.get(s.SOURCE_AGENT) for span in found if role(span) == "root"} == {None, "parrot"}


def test_what_the_page_names_exists() -> None:
    for name in set(re.findall(r"`((?:otel_phi|tests)/[\w/]+\.py)`", TEXT)) - {"otel_phi/sources/agents/parrot.py"}:
        assert (golden.PROJECT / name).is_file(), name
    for link in re.findall(r"\]\(([\w./-]+)\)", TEXT):
        assert (golden.PROJECT / "docs" / link).exists(), link
    assert len([json.loads(line) for line in SESSION.splitlines()]) == 7
