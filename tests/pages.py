"""What the tests of README.md and docs/ look at: the pages, their links, and the commands they show."""

from __future__ import annotations

import re
from pathlib import Path

import click

from otel_phi.cli.group import main
from tests import golden

README = golden.PROJECT / "README.md"
TOP = sorted(golden.PROJECT.glob("*.md"))
DOCS = sorted((golden.PROJECT / "docs").glob("*.md"))
_BLOCK = re.compile(r"```(?:sh|bash|console)\n(.*?)```", re.DOTALL)
_INLINE = re.compile(r"`([^`\n]*otel-phi[^`\n]*)`")
_CALL = re.compile(r"(?:^|[\s|/])otel-phi ([a-z]+)\b([^|#;&)]*)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_LINK = re.compile(r"\]\((?!\w+://|mailto:)([^)#\s]*)(?:#([^)]+))?\)")


def commands_of(page: Path) -> list[tuple[str, list[str]]]:
    """Returns each call of ours that a page shows, in a block or between backquotes: the command, and the flags it is given."""
    text = page.read_text(encoding="utf-8")
    code = [line for block in _BLOCK.findall(text) for line in block.splitlines()] + _INLINE.findall(text)
    calls = [found for line in code for found in _CALL.findall(line.replace("\\|", "|"))]
    return [(command, re.findall(r"(?<!\S)--[a-z][a-z-]*", rest)) for command, rest in calls]


def unknown_words(calls: list[tuple[str, list[str]]]) -> list[str]:
    """Returns what of calls is no command, or no flag of its command."""
    context = click.Context(main)
    unknown = []
    for name, flags in calls:
        command = main.get_command(context, name)
        if command is None:
            unknown.append(name)
            continue
        known = {option for each in command.get_params(context) for option in (*each.opts, *each.secondary_opts)}
        unknown += [f"{name} {flag}" for flag in flags if flag not in known]
    return unknown


def anchors(page: Path) -> set[str]:
    """Returns the anchors that GitHub and the site give a page's headings."""
    code_free = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    bare = (re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in _HEADING.findall(code_free))
    return {re.sub(r"\s", "-", heading) for heading in bare}


def missing_targets(page: Path) -> list[str]:
    """Returns the links of a page that end nowhere: no such file, or no such heading in it."""
    missing = []
    for link, anchor in _LINK.findall(page.read_text(encoding="utf-8")):
        target = page.parent / link if link else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            missing.append(f"{link}#{anchor}" if anchor else link)
    return missing
