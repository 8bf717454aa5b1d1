"""The policy of a door: what is asked before anything else sees an event. One of two, chosen once by configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from otel_phi.policy.content import admit, decode_without_content
from otel_phi.policy.options import ContentOptions
from otel_phi.wire.decode import Undecodable
from otel_phi.wire.events import AgentEvent

if TYPE_CHECKING:
    from otel_phi.wire.spellings import UnknownKey


class Policy(Protocol):
    """A policy says what may be said of an event."""

    def admit(self, event: AgentEvent, /) -> AgentEvent | Undecodable:
        """Returns an event as it may be said; `Undecodable` for what is none."""

    def decode(self, line: bytes | str, unknown: list[UnknownKey] | None = None, /) -> AgentEvent | Undecodable:
        """Decodes one AgentEvent as it may be said; `unknown` gets the keys that nobody knows."""


class WithoutContent:
    """The policy of content off: nothing that a person or a model wrote."""

    admit = staticmethod(admit)
    decode = staticmethod(decode_without_content)


def sees_content(policy: Policy | None) -> bool:
    """Says whether a policy looks at contents: an event that is read for another need not have any. None is without."""
    return policy is not None and not isinstance(policy, WithoutContent)


def policy_of(options: ContentOptions, limit: int, profile: str | None = None) -> Policy:
    """Returns the policy that was configured.

    Args:
        options: whether contents may be said, and which.
        limit: UTF-8 bytes of an attribute.
        profile: the backend; MLflow shows a conversation with a model's thoughts in it as YAML, so they are left out there.
    """
    if not options.capture:
        return WithoutContent()
    from otel_phi.policy.capture.rules import Capture  # whoever does not ask for it loads none of it

    return Capture(options, limit, reasoning=profile != "mlflow")
