"""The errors otel-phi raises to its callers.

    OtelPhiError
    ├── ConfigError      a keyword or flag that cannot be; the message holds the fix
    ├── SourceError      a path that is missing, empty or holds nothing of ours
    ├── DecodeError      one line that is no AgentEvent (costs that line alone)
    ├── StrictError      an event that says something nobody understands, for the hook with `strict` alone
    └── DeliveryError    the collector cannot be reached or refuses for good

But for StrictError nothing here is ever raised into an agent by the live doors: they count and log instead.
"""

from __future__ import annotations


class OtelPhiError(Exception):
    """OtelPhiError is the base of every error otel-phi raises on purpose."""


class ConfigError(OtelPhiError, ValueError):
    """Says which option is wrong, what was found and what to write instead."""


class SourceError(OtelPhiError):
    """Says which path cannot be read as agent sessions, what was found there and what to do."""


class DecodeError(OtelPhiError, ValueError):
    """Says why one line is not an AgentEvent, with the path of the offending field in the JSON."""


class StrictError(OtelPhiError, ValueError):
    """Says which event has a type or key that nobody knows, or belongs to no open loop, and what it may have meant."""


class DeliveryError(OtelPhiError):
    """Says why spans could not be delivered, and whether trying again can help."""
