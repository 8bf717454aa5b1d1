"""`show --content`, `show --redact-check`, `export --content`: what was said reads well, and no secret is shown."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result

from otel_phi.cli import main
from otel_phi.events import encode_event
from tests import golden
from tests.policy.capture.stories import TOKEN, content_story


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments], env={"COLUMNS": "80"})


def _flat(output: str) -> str:
    """Returns lines as one, without what leads to them."""
    return " ".join(output.replace("│", " ").split())


def story(folder: Path) -> Path:
    path = folder / "run.jsonl"
    path.write_bytes(b"\n".join(encode_event(event) for event in content_story()))
    return path


def test_show_says_prompts_answers_arguments_and_results_at_80_columns(tmp_path: Path) -> None:
    shown = run("show", "--content", story(tmp_path))
    assert shown.exit_code == 0
    lines = shown.output.splitlines()
    assert max(map(len, lines)) <= 80
    for said in ("system: Be brief.", "user: Deploy with [redacted:github_token].", "thinks: I look first", "assistant: I look.",
                 'calls: bash {"cmd": "ls", "password": "[redacted:password]"}', "result: a.txt [redacted:github_token]", "says: exit 1",
                 "user: [image/png, 33 bytes]"):  # fmt: skip
        assert any(said[:60] in " ".join(line.split()) for line in lines), said
    assert TOKEN not in shown.output
    assert "more characters]" in _flat(shown.output)
    assert "more characters]" not in _flat(run("show", "--content", "--all", story(tmp_path)).output)


def test_without_the_flag_show_says_none_of_it(tmp_path: Path) -> None:
    assert "Deploy" not in run("show", story(tmp_path)).output


def test_the_demo_s_own_contents_read_well() -> None:
    shown = run("show", "--content", golden.DEMO)
    assert "user: The test retries_in_time fails. Please fix it." in shown.output
    assert max(map(len, shown.output.splitlines())) <= 80


def test_redact_check_says_kinds_and_places_and_shows_no_secret(tmp_path: Path) -> None:
    found = run("show", "--redact-check", story(tmp_path))
    assert found.exit_code == 0
    rows = [" ".join(line.split()) for line in found.output.splitlines()]
    assert "2 github_token user message" in rows
    assert "1 password arguments of bash" in rows
    assert TOKEN not in found.output
    assert "hunter2x" not in found.output
    assert "0 secrets" in run("show", "--redact-check", golden.DEMO).output


def test_export_sends_contents_only_when_asked(tmp_path: Path) -> None:
    path = story(tmp_path)
    with_it, without = tmp_path / "on.jsonl", tmp_path / "off.jsonl"
    assert run("export", "--final", path, "--content", "--file", with_it).exit_code == 0
    assert run("export", "--final", path, "--file", without).exit_code == 0
    assert "I look first" in with_it.read_text(encoding="utf-8")
    assert "I look first" not in without.read_text(encoding="utf-8")
    assert TOKEN not in with_it.read_text(encoding="utf-8")
