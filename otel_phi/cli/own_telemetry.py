"""Whether an agent sends OpenTelemetry of its own: then what its sessions hold arrives twice, as other spans."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

_CLAUDE = "CLAUDE_CODE_ENABLE_TELEMETRY"
_ON = {"1", "true", "yes", "on"}
# A settings file is a few kilobytes; what is longer is none.
_MAX_BYTES = 1 << 20
_OTEL = re.compile(r"^\s*\[otel(?:\.[^\]]*)?\]")
_TABLE = re.compile(r"^\s*\[")
_EXPORTER = re.compile(r"""^\s*(?:otel\.)?(?:trace_|metrics_)?exporter\s*=\s*(?!\s*["']none["'])\S""")
_EXPORTER_TABLE = re.compile(r"^\s*\[otel\.(?:trace_|metrics_)?exporter\b")


def own_telemetry(agent: str, env: Mapping[str, str]) -> str | None:
    """Returns a sentence about an agent that sends its own, None where nothing says that it does.

    Args:
        agent: its name in the registry.
        env: the environment.
    """
    look = _LOOKS.get(agent)
    found = None if look is None else look(env)
    if found is None:
        return None
    word, where = found
    return (
        f"{word} sends its own OpenTelemetry, too ({where}): what it did arrives twice, as other spans;"
        " switch one of the two off"
    )


def _claude(env: Mapping[str, str]) -> tuple[str, str] | None:
    if env.get(_CLAUDE, "").strip().lower() in _ON:
        return "Claude Code", _CLAUDE
    home = env.get("HOME") or env.get("USERPROFILE") or "~"
    given = [folder.strip() for folder in env.get("CLAUDE_CONFIG_DIR", "").split(",") if folder.strip()]
    for folder in given or [f"{home}/.claude"]:
        path = Path(folder).expanduser() / "settings.json"
        try:
            settings = json.loads(_text(path))
            value = settings["env"][_CLAUDE]
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
        if str(value).strip().lower() in _ON:
            return "Claude Code", f"{_CLAUDE} in {path}"
    return None


def _codex(env: Mapping[str, str]) -> tuple[str, str] | None:
    home = env.get("HOME") or env.get("USERPROFILE") or "~"
    path = Path(env.get("CODEX_HOME") or f"{home}/.codex").expanduser() / "config.toml"
    within = False
    for line in _text(path).splitlines():
        if _EXPORTER_TABLE.match(line):
            return "Codex", f"[otel] in {path}"
        if _TABLE.match(line):
            within = _OTEL.match(line) is not None
        elif _EXPORTER.match(line) and (within or line.lstrip().startswith("otel.")):
            return "Codex", f"[otel] in {path}"
    return None


def _text(path: Path) -> str:
    """Returns what a settings file holds, nothing of one that cannot be read."""
    try:
        with path.open("rb") as stream:
            return stream.read(_MAX_BYTES).decode("utf-8-sig", "replace")
    except OSError:
        return ""


_LOOKS: Mapping[str, Callable[[Mapping[str, str]], tuple[str, str] | None]] = {"claude-code": _claude, "codex": _codex}
