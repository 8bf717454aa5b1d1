"""The formats that are known, and which of them a file is of."""

from __future__ import annotations

from otel_phi.sources.agents.adapter import Adapter
from otel_phi.sources.agents.atif import Atif
from otel_phi.sources.agents.claude_code import ClaudeCode
from otel_phi.sources.agents.codex import Codex
from otel_phi.sources.agents.gemini import Gemini
from otel_phi.sources.agents.openclaw import OpenClaw
from otel_phi.sources.agents.opencode import Opencode
from otel_phi.sources.agents.pi import Pi

# OpenClaw's files are pi's with something added: it is asked first.
ADAPTERS: tuple[Adapter, ...] = (ClaudeCode(), Codex(), OpenClaw(), Pi(), Opencode(), Gemini(), Atif())
BY_NAME: dict[str, Adapter] = {adapter.name: adapter for adapter in ADAPTERS}


def adapter_of(head: bytes, path: str) -> Adapter | None:
    """Returns the format of a file that begins so, None for a file of none of them."""
    return next((adapter for adapter in ADAPTERS if adapter.recognizes(head, path)), None)
