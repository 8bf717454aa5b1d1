"""OpenClaw's sessions: pi's files, with what its gateway adds."""

from __future__ import annotations

from collections.abc import Mapping

from otel_phi.sources.agents.adapter import Context
from otel_phi.sources.agents.pi import Pi
from otel_phi.sources.agents.pi_fold import PiFold
from otel_phi.sources.agents.pi_lines import Entry, Message
from otel_phi.sources.agents.reading import members, text

NAME = "openclaw"
_GATEWAY = ("gateway-injected", "delivery-mirror")  # answers that no model gave
_MARKS = (b'"customType":"model-snapshot"', b'"customType":"openclaw', b'"provider":"openclaw"')
_FOLDERS = (".openclaw", ".clawdbot", ".moltbot")


class OpenClawFold(PiFold):
    """An open claw fold is the fold of one session."""

    def __init__(self, context: Context, state: bytes = b"") -> None:
        super().__init__(context, state, NAME)
        self.agent_name = context.folder

    def custom(self, kind: str, data: Mapping[str, object], entry: Entry) -> None:
        """Takes the model that answers next, and an attempt that came to nothing."""
        match kind:
            case "model-snapshot":
                self.model(data.get("provider"), data.get("modelId"))
            case "openclaw:prompt-error":
                self.build.fail(self.time(entry.timestamp), "api_error")
            case _:
                super().custom(kind, data, entry)

    def is_call(self, message: Message) -> bool:
        """Says whether an answer is a model's, and not the gateway's own words."""
        return not (message.provider == NAME and text(message.model) in _GATEWAY)

    def failed(self, message: Message) -> bool:
        """Says whether a tool failed: OpenClaw tells some failures in the details alone."""
        return super().failed(message) or members(message.details).get("status") == "error"


class OpenClaw(Pi):
    """An open claw is the format of OpenClaw."""

    name = NAME

    def roots(self, env: Mapping[str, str]) -> tuple[str, ...]:
        """Returns the folders of its agents."""
        home = env.get("HOME") or env.get("USERPROFILE") or "~"
        given = env.get("OPENCLAW_STATE_DIR") or env.get("OPENCLAW_DIR")
        return tuple(f"{folder}/agents" for folder in ([given] if given else [f"{home}/{one}" for one in _FOLDERS]))

    def recognizes(self, head: bytes, path: str) -> bool:
        """Says whether a file begins as pi's do, and holds or lies where only OpenClaw's do."""
        if not super().recognizes(head, path):
            return False
        return any(mark in head for mark in _MARKS) or any(f"/{folder}/" in path for folder in _FOLDERS)

    def fold(self, context: Context, state: bytes = b"") -> OpenClawFold:
        """Returns a fold."""
        return OpenClawFold(context, state)
