"""No output overwrites what is read."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from otel_phi.cli import main
from tests import golden


@pytest.mark.parametrize("command", [["export", "--file"], ["show", "--svg"], ["show", "--html"]])
@pytest.mark.parametrize("as_folder", [False, True])
def test_an_output_that_is_also_read_is_refused_and_left_as_it_was(
    command: list[str], as_folder: bool, tmp_path: Path
) -> None:
    log = tmp_path / "run.jsonl"
    shutil.copy(golden.DEMO, log)
    link = tmp_path.parent / f"{tmp_path.name}-link"
    link.symlink_to(log)
    source = tmp_path if as_folder else log
    for output in (log, link):
        result = CliRunner().invoke(main, [command[0], str(source), command[1], str(output)])
        assert result.exit_code == 2
        assert "is also the input" in result.stderr
    assert log.read_bytes() == golden.DEMO.read_bytes()


def test_an_older_output_may_be_written_anew(tmp_path: Path) -> None:
    target = tmp_path / "old.otlp.jsonl"
    target.write_text("old")
    result = CliRunner().invoke(main, ["export", str(golden.DEMO), "--file", str(target)])
    assert result.exit_code == 0, result.stderr
    assert target.read_text() != "old"
