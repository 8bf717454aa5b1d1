"""An agent that sends its own OpenTelemetry, too, is named once: what it did arrives twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from otel_phi.cli.own_telemetry import own_telemetry
from tests.cli.conftest import Run
from tests.cli.test_agents import claude_project, codex_sessions


def claude_settings(home: Path, content: str) -> None:
    path = home / ".claude" / "settings.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def codex_config(home: Path, content: str) -> None:
    path = home / ".codex" / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


@pytest.mark.parametrize(("value", "said"), [("1", True), ("true", True), ("0", False), ("", False)])
def test_claude_code_is_asked_for_its_variable(value: str, said: bool, tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path), "CLAUDE_CODE_ENABLE_TELEMETRY": value}
    assert (own_telemetry("claude-code", env) is not None) is said
    assert own_telemetry("codex", env) is None
    assert own_telemetry("pi", env) is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"env": {"CLAUDE_CODE_ENABLE_TELEMETRY": "1"}}', True),
        ('{"env": {"CLAUDE_CODE_ENABLE_TELEMETRY": 1}}', True),
        ('{"env": {"CLAUDE_CODE_ENABLE_TELEMETRY": "0"}}', False),
        ('{"env": []}', False),
        ('{"permissions": {}}', False),
        ("{", False),
        ("[" * 100_000, False),
    ],
)
def test_claude_codes_settings_are_read(content: str, said: bool, tmp_path: Path) -> None:
    claude_settings(tmp_path, content)
    found = own_telemetry("claude-code", {"HOME": str(tmp_path)})
    assert (found is not None) is said
    assert found is None or f"{tmp_path}/.claude/settings.json" in found


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('[otel]\nexporter = "otlp-http"\n', True),
        ('model = "m"\n[otel]\nenvironment = "dev"\nexporter = { otlp-http = { endpoint = "x" } }\n', True),
        ('[otel.exporter."otlp-http"]\nendpoint = "x"\n', True),
        ('[otel]\ntrace_exporter = "otlp-grpc"\n', True),
        ('otel.exporter = "otlp-http"\n', True),
        ('[otel]\nexporter = "none"\n', False),
        ('[otel]\nlog_user_prompt = true\n[other]\nexporter = "otlp-http"\n', False),
        ('exporter = "otlp-http"\n', False),
        ("", False),
    ],
)
def test_codexs_configuration_is_read(content: str, said: bool, tmp_path: Path) -> None:
    codex_config(tmp_path, content)
    found = own_telemetry("codex", {"HOME": str(tmp_path)})
    assert (found is not None) is said
    assert found is None or f"{tmp_path}/.codex/config.toml" in found


def test_watch_and_export_say_it_once_and_show_which_sends_nothing_does_not(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CLAUDE_CODE_ENABLE_TELEMETRY", "1")
    monkeypatch.delenv("CODEX_HOME", raising=False)
    codex_config(tmp_path, '[otel]\nexporter = "none"\n')
    sessions = tmp_path / "sessions"
    claude_project(sessions / "one")
    codex_sessions(sessions / "two")
    word = "sends its own OpenTelemetry, too"
    assert run("export", sessions, "--file", tmp_path / "out.jsonl").stderr.count(word) == 1
    done = run("watch", "--once", sessions, "--file", "-", "--state-dir", tmp_path / "state")
    assert done.stderr.count(f"Claude Code {word} (CLAUDE_CODE_ENABLE_TELEMETRY)") == 1
    assert word not in run("show", sessions).stderr
