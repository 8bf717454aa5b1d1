"""Which agent's records a session was read from: who it was on the resource, what it says of itself on root and loops."""

from __future__ import annotations

from msgspec import UNSET, UnsetType

from otel_phi.mapping import semconv as s
from otel_phi.mapping.attributes import Pair
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import Attributes
from otel_phi.recorder.notices import (
    LoopClosed,
    LoopOpened,
    Notice,
    SessionOpened,
    SideCallMade,
    TurnClosed,
    TurnOpened,
)
from otel_phi.wire.parts import Source, Vcs

# `service.name` where nobody configured one.
_NOBODYS = ("unknown_service", "otel-phi")
_SERVICE_NAME, _SERVICE_VERSION = "service.name", "service.version"  # of the resource, OpenTelemetry's own


def source_of(notice: Notice) -> Source | None:
    """Returns the source of a notice's spans, None for an agent that told them itself."""
    match notice:
        case SessionOpened():
            return notice.source
        case LoopOpened() | LoopClosed() | TurnOpened() | TurnClosed():
            return notice.loop.source
        case SideCallMade():
            return None if notice.loop is None else notice.loop.source
        case _:
            return None


def resource_pairs(source: Source, options: MappingOptions) -> Attributes:
    """Returns what the resource says instead of our own: the agent and its version, unless a service is configured."""
    if not options.service_name.startswith(_NOBODYS):
        return ()
    version = _given(source.version)
    return ((_SERVICE_NAME, source.agent), *(((_SERVICE_VERSION, version),) if version else ()))


def source_pairs(source: Source | None) -> list[Pair]:
    """Returns the attributes of a session's root and its loops; those that are content are only in a source that may say them."""
    if source is None:
        return []
    vcs = Vcs() if source.vcs is UNSET else source.vcs
    return [
        (s.SOURCE_AGENT, source.agent),
        (s.SOURCE_VERSION, _given(source.version)),
        (s.SOURCE_ENTRYPOINT, _given(source.entrypoint)),
        (s.SOURCE_CWD, _given(source.cwd)),
        (s.SOURCE_TITLE, _given(source.title)),
        (s.VCS_BRANCH, _given(vcs.branch)),
        (s.VCS_REVISION, _given(vcs.revision)),
        (s.VCS_REPOSITORY, _given(vcs.repository_url)),
    ]


def _given(text: str | UnsetType) -> str | None:
    return None if isinstance(text, UnsetType) else text or None
