"""docs/json.md says what is written for machines: each key, in order, with a version."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from otel_phi.pipeline import spans
from otel_phi.testing import Receiver
from tests import golden
from tests.cli.conftest import Run
from tests.cli.lost import lose
from tests.cli.streams import a_session, lines_of
from tests.cli.test_status import refuse

DOCUMENTED = (golden.PROJECT / "docs" / "json.md").read_text(encoding="utf-8")
NOWHERE = "http://127.0.0.1:9"


def section(title: str) -> str:
    return DOCUMENTED.split(f"## {title}\n")[1].split("\n## ")[0]


def documented(title: str) -> list[str]:
    """Returns the keys of a section's table."""
    return re.findall(r"^\| `(\w+)` \|", section(title), re.MULTILINE)


def within(title: str, key: str) -> set[str]:
    """Returns the words that stand as keys in what a key holds."""
    row = next(line for line in section(title).splitlines() if line.startswith(f"| `{key}` |"))
    return set(re.findall(r"`(\w+)`", row.split("|", 2)[2]))


def test_spans(run: Run, tmp_path: Path) -> None:
    result = run("show", golden.DEMO, "--json")
    found: list[dict[str, Any]] = json.loads(result.stdout)
    for span in found:
        assert list(span) == documented("`otel-phi.span/1`")
        assert span["schema"] == "otel-phi.span/1"
        for key in ("events", "links"):
            assert all(set(one) == within("`otel-phi.span/1`", key) for one in span[key])
    assert result.stdout.count("\n") == len(found) + 2
    assert result.stdout.isascii()


def test_export(run: Run, receiver: Receiver) -> None:
    flags = ("--endpoint", receiver.endpoint, "--trace-url", "http://j/{trace_id}", "--json")
    report = json.loads(run("export", golden.DEMO, *flags).stdout)
    assert list(report) == documented("`otel-phi.export/1`")
    assert report["schema"] == "otel-phi.export/1"
    assert report["sessions"]
    assert all(set(one) == within("`otel-phi.export/1`", "sessions") for one in report["sessions"])


def test_status(run: Run, receiver: Receiver) -> None:
    refuse(run, receiver, b"no")
    lose(NOWHERE, a_session(session_id="waits"))
    report = json.loads(run("status", "--json").stdout)
    title = "`schema` 2: `otel-phi status --json`"
    assert list(report) == documented(title)
    assert report["schema"] == 2
    keys = within(title, "destinations")
    letters = [letter for one in report["destinations"] for letter in one["dead_letters"]]
    assert letters
    for one in (*report["destinations"], *(one["open"] for one in report["destinations"]), *letters):
        assert set(one) <= keys
    used = {key for one in report["destinations"] for key in (*one, *one["open"])} | {
        key for one in letters for key in one
    }
    assert used == keys
    assert within(title, "left_alone") == {"path", "reason"}


@pytest.mark.parametrize("flag", ["--retry", "--purge"])
def test_what_status_did(flag: str, run: Run) -> None:
    report = json.loads(run("status", "--json", flag, *(["--yes"] if flag == "--purge" else [])).stdout)
    done = {"--retry": "retried", "--purge": "purged"}[flag]
    assert list(report)[-1] == done
    assert f"`{done}`" in section("`schema` 2: `otel-phi status --json`")


def test_spans_are_written_as_they_are_read(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_bytes(lines_of(a_session(session_id=name, turns=2)))
    written: list[int] = []
    seen = [0]
    real = json.dumps

    def dumped(item: Any, **options: Any) -> str:
        written.append(seen[0])
        return real(item, **options)

    def counted(*arguments: Any, **options: Any) -> Any:
        for span in spans(*arguments, **options):
            seen[0] += 1
            yield span

    monkeypatch.setattr("otel_phi.cli.commands.show.spans", counted)
    monkeypatch.setattr("otel_phi.cli.screen.json.dumps", dumped)
    assert run("show", tmp_path, "--json").exit_code == 0
    assert written == list(range(1, len(written) + 1))
