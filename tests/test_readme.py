"""The README is short, and what it names exists: commands, flags, agents, files."""

from __future__ import annotations

from otel_phi.cli.agent_flags import _FLAGS
from otel_phi.mapping.options import PROFILES
from tests.pages import README, TOP, commands_of, missing_targets, unknown_words

TEXT = README.read_text(encoding="utf-8")
MOST_LINES = 200  # what one reads before one tries; all else is a page of docs/


def test_the_readme_is_one_sitting() -> None:
    assert len(TEXT.splitlines()) <= MOST_LINES


def test_every_command_that_the_readme_shows_exists() -> None:
    shown = commands_of(README)
    assert {command for command, _ in shown} >= {"demo", "show", "ls", "export", "watch", "pipe", "status", "flush"}
    assert unknown_words(shown) == []


def test_every_agent_that_has_a_flag_is_in_the_table_of_agents() -> None:
    table = TEXT[TEXT.index("## Agents it reads") : TEXT.index("## Commands")]
    assert [flag for flag in _FLAGS if f"--{flag}`" not in table] == []


def test_every_profile_is_in_the_table_of_backends() -> None:
    table = TEXT[TEXT.index("## Backends") : TEXT.index("## More")]
    assert [profile for profile in PROFILES if profile != "generic" and f"| `{profile}` |" not in table] == []


def test_the_files_the_pages_at_the_top_point_at_exist() -> None:
    assert {page.name: missing_targets(page) for page in TOP if missing_targets(page)} == {}
