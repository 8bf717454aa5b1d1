"""`otel-phi ls`: every session once, counted as its spans say, chosen and summed without losing or inventing a number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import otel_phi
from otel_phi.cli.listing.sums import GROUPINGS, sums
from otel_phi.cli.listing.tally import Tallies, Tally
from otel_phi.recorder.references import ahead_of
from otel_phi.sources.stored import Stored
from tests import golden
from tests.cli.conftest import Run
from tests.cli.streams import a_session, lines_of

DEMO = golden.DEMO


def tallies(*paths: Path) -> list[Tally]:
    stored = Stored(paths, final=True)
    found = Tallies()
    found.add_all(otel_phi.spans(stored.events(), ahead=ahead_of(stored.starts)))
    return found.all()


def objects(run: Run, *arguments: object) -> list[dict[str, Any]]:
    result = run("ls", *arguments, "--json")
    assert result.exit_code == 0
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Returns a folder with the demo and two sessions of a day later, one of them failed."""
    place = tmp_path / "logs"
    place.mkdir()
    (place / "demo.jsonl").write_bytes(DEMO.read_bytes())
    for name in ("alpha", "beta"):
        (place / f"{name}.jsonl").write_bytes(lines_of(a_session(session_id=name)))
    return place


@pytest.mark.parametrize("grouping", GROUPINGS)
def test_sums_are_those_of_the_sessions_however_they_are_grouped(grouping: str, folder: Path) -> None:
    whole = tallies(folder)
    cells = [total.cell for total in sums(whole, grouping)]
    counted = {"tools": sum(tally.tools for tally in whole)}
    if grouping != "tool":
        counted |= {
            "input_tokens": sum(tally.input_tokens for tally in whole),
            "output_tokens": sum(tally.output_tokens for tally in whole),
            "cached_tokens": sum(tally.cached_tokens for tally in whole),
        }
    if grouping not in {"tool", "model"}:  # turns and tools know no model
        counted |= {"turns": sum(tally.turns for tally in whole), "loops": sum(tally.loops for tally in whole)}
    if grouping != "tool":
        counted |= {"errors": sum(tally.error_count for tally in whole)}
    if grouping == "model":
        del counted["tools"]
    assert {name: sum(getattr(cell, name) for cell in cells) for name in counted} == counted
    assert all(counted.values())


def test_every_session_is_a_line_and_they_stand_by_their_start(folder: Path, run: Run) -> None:
    found = objects(run, folder)
    assert {one["session_id"] for one in found} >= {"alpha", "beta"}
    assert [one["start_ns"] for one in found] == sorted(one["start_ns"] for one in found)
    assert {one["schema"] for one in found} == {"otel-phi.session/1"}
    text = run("ls", folder).stdout
    for one in found:
        assert one["session_id"][:8] in text.replace("\n", "")
    assert f"{len(found)} sessions" in text


@pytest.mark.parametrize(
    ("order", "key"),
    [
        ("tokens", lambda one: one["input_tokens"] + one["output_tokens"]),
        ("turns", lambda one: one["turns"]),
        ("errors", lambda one: sum(one["errors"].values())),
        ("duration", lambda one: one["end_ns"] - one["start_ns"]),
    ],
)
def test_an_order_has_the_largest_first_reversed_the_smallest(order: str, key: Any, folder: Path, run: Run) -> None:
    values = [key(one) for one in objects(run, folder, "--sort", order)]
    assert values == sorted(values, reverse=True)
    assert [key(one) for one in objects(run, folder, "--sort", order, "--reverse")] == values[::-1]
    assert [key(one) for one in objects(run, folder, "--sort", order, "--limit", 1)] == values[:1]


def test_filters_choose_whole_sessions_and_hold_together(folder: Path, run: Run) -> None:
    everything = objects(run, folder)
    failed = objects(run, "--errors", folder)  # the path is no kind of error
    assert failed == [one for one in everything if one["errors"]]
    assert failed
    assert objects(run, folder, "--errors=tool_error") == [one for one in everything if "tool_error" in one["errors"]]
    assert objects(run, folder, "--errors=no_such_word") == []
    assert [one["session_id"] for one in objects(run, folder, "--session", "alp")] == ["alpha"]
    haiku = objects(run, folder, "--model", "HAIKU")
    assert haiku == [one for one in everything if any("haiku" in name for name in one["models"])]
    assert haiku
    assert objects(run, folder, "--tool", "edit_file") == [
        one for one in everything if one["session_id"].startswith("3f9a")
    ]
    assert objects(run, folder, "--tool", "edit_file", "--session", "alpha") == []
    assert objects(run, folder, "--open") == [one for one in everything if one["open_loops"]]


def test_since_and_until_count_the_start(folder: Path, run: Run) -> None:
    everything = objects(run, folder)
    assert objects(run, folder, "--since", "2000-01-01", "--until", "2100-01-01") == everything
    assert objects(run, folder, "--since", "2100-01-01") == objects(run, folder, "--until", "2000-01-01") == []
    assert run("ls", folder, "--since", "soon").exit_code == 2


def test_it_fits_80_columns_and_cleans_what_comes_from_outside(tmp_path: Path, run: Run) -> None:
    evil = "evil\x1b[31m\u202e" + "name-" * 20
    path = tmp_path / "run.jsonl"
    path.write_bytes(lines_of(a_session(session_id=evil)))
    for arguments in ((path, DEMO), (path, DEMO, "--by", "model"), (path, DEMO, "--by", "tool")):
        text = run("ls", *arguments).stdout
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert max(map(len, text.splitlines())) <= 80


def test_sums_as_json_say_what_they_sum_by(folder: Path, run: Run) -> None:
    found = objects(run, folder, "--by", "day")
    assert {(one["schema"], one["by"]) for one in found} == {("otel-phi.sum/1", "day")}
    assert [one["name"] for one in found] == sorted(one["name"] for one in found)


def test_the_documented_schema_is_what_is_written(folder: Path, run: Run) -> None:
    documented = (golden.PROJECT / "docs" / "json.md").read_text(encoding="utf-8")
    for one in (*objects(run, folder), *objects(run, folder, "--by", "model")):
        section = documented.split(f"## `{one['schema']}`")[1].split("\n## ")[0]
        assert [line.split("`")[1] for line in section.splitlines() if line.startswith("| `")] == list(one)


def test_nothing_to_read_is_usage(tmp_path: Path, run: Run) -> None:
    assert run("ls", tmp_path / "none").exit_code == 2
    assert run("ls").exit_code == 2
