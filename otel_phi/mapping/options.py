"""The options that change what a span says, and the profiles that set them for a backend."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from otel_phi.mapping.attributes import cut, table
from otel_phi.mapping.span import Attributes, AttributeValue

Profile = Literal["generic", "jaeger", "tempo", "phoenix", "mlflow", "langfuse", "logfire", "datadog"]

# Jaeger's badger store loses a span whose tag passes 65,000 bytes (jaeger#3330); half of it leaves room for escapes.
DEFAULT_ATTRIBUTE_BYTES = 32_768
# Tempo cuts at 2,048 bytes, also in the middle of a character.
TEMPO_ATTRIBUTE_BYTES = 2_048
# Of a trace Tempo keeps 5,000,000 bytes (max_bytes_per_trace); what comes above is answered 200 and thrown away.
TEMPO_TRACE_BYTES = 5_000_000

# `service.name` where nobody gave one: ours, and what OpenTelemetry's specification asks for (`unknown_service:python`). It names no agent.
DEFAULT_SERVICE = "otel-phi"
UNKNOWN_SERVICE = "unknown_service"


class MappingOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Says how notices become spans.

    Attributes:
        trace_scope: `session` makes a session one trace, `loop` each loop one.
        trace_namespace: tells equal session ids apart that are no UUIDs, such as those of two installations.
        loop_layout: `tree` puts a loop under its parent loop, `flat` all under the session's root.
        tool_spans: whether a tool execution is a span too; it is always an event on its turn.
        agent_name: low-cardinality name of the agent, None for none.
        service_name: stands in for `agent_name` where only the attribute needs one and nothing nearer has one (`agents.py`).
        attributes: pairs put on every span that has not got the key.
        caller: W3C `traceparent` of what started the agent, linked from loops that name none themselves.
        join: whether a loop becomes a child in its caller's trace, where that is sampled; for `trace_scope="loop"` alone.
        max_attribute_bytes: UTF-8 bytes of a string value; longer ones are cut and marked.
        mlflow_trace_name: whether the root of a trace says its name where MLflow looks for the trace's.
        profile: the backend that looks at the spans. In Phoenix a loop that went well says OK, which reads "Unset" otherwise, and a parallel
            group carries its session under another key: by the usual ones it would be an empty turn of it.
        source_info: whether spans say where an agent worked whose records were read: folder, branch, commit, title.
    """

    trace_scope: Literal["session", "loop"] = "session"
    trace_namespace: str = ""
    loop_layout: Literal["tree", "flat"] = "tree"
    tool_spans: bool = True
    agent_name: str | None = None
    service_name: str = UNKNOWN_SERVICE
    attributes: Attributes = ()
    caller: str | None = None
    join: bool = False
    max_attribute_bytes: int = DEFAULT_ATTRIBUTE_BYTES
    mlflow_trace_name: bool = False
    profile: Profile = "generic"
    source_info: bool = False

    def named_service(self, detected: object) -> str:
        """Returns the `service.name` of a resource: what was detected, else the agent's name, else ours: no row says `unknown_service`."""
        found = str(detected or UNKNOWN_SERVICE)
        return (self.agent_name or DEFAULT_SERVICE) if found.startswith(UNKNOWN_SERVICE) else found

    def bounded(self, pairs: Iterable[tuple[str, AttributeValue]]) -> Attributes:
        """Returns pairs that others chose, keys and texts cut to `max_attribute_bytes`; of keys that are then equal the first stays."""
        kept: dict[str, AttributeValue] = {}
        for key, value in pairs:
            kept.setdefault(cut(key, self.max_attribute_bytes), value)
        return table(self.max_attribute_bytes, kept.items())


# Phoenix, MLflow and Langfuse take attributes of megabytes, and their pages show a conversation of this size; the other two cut theirs.
PAGE_ATTRIBUTE_BYTES = 262_144
LOG_ATTRIBUTE_BYTES = 65_536

_LOOP_SCOPE: dict[str, Any] = {"trace_scope": "loop"}
_PAGE: dict[str, Any] = {**_LOOP_SCOPE, "max_attribute_bytes": PAGE_ATTRIBUTE_BYTES}
_LOG: dict[str, Any] = {**_LOOP_SCOPE, "max_attribute_bytes": LOG_ATTRIBUTE_BYTES}
# What was measured on each is in docs/ and DESIGN: backends with a session page want a trace a loop.
PROFILES: dict[str, dict[str, Any]] = {
    "generic": {},
    "jaeger": {},
    "tempo": {"max_attribute_bytes": TEMPO_ATTRIBUTE_BYTES},
    "phoenix": _PAGE,
    "mlflow": {**_PAGE, "mlflow_trace_name": True},
    "langfuse": _PAGE,
    "logfire": _LOG,
    "datadog": _LOG,
}


def options_for(profile: str | None = None, /, **explicit: Any) -> MappingOptions:
    """Returns the options of a profile, with those given by hand on top.

    Args:
        profile: name of a backend, None for `generic`; or as a keyword.
        **explicit: fields of `MappingOptions`; None means "not given". `attributes` may be a mapping.

    Raises:
        ValueError: the profile, an option or its value does not exist; the message says what does.
    """
    profile = profile or explicit.get("profile")
    if profile is not None and profile not in PROFILES:
        raise ValueError(f"profile {profile!r} is unknown; use one of {', '.join(PROFILES)}")
    given = {key: value for key, value in explicit.items() if value is not None}
    if isinstance(given.get("attributes"), dict):
        given["attributes"] = tuple(given["attributes"].items())
    unknown = set(given) - set(MappingOptions.__struct_fields__)
    if unknown:
        raise ValueError(
            f"option {min(unknown)!r} is unknown; use one of {', '.join(MappingOptions.__struct_fields__)}"
        )
    try:
        settled = {**PROFILES[profile or "generic"], **given, "profile": profile or "generic"}
        options = msgspec.convert(settled, MappingOptions)
    except msgspec.ValidationError as error:
        raise ValueError(f"{error} in the mapping options {sorted(given)}") from None
    if options.join and options.trace_scope != "loop":
        raise ValueError("join makes a loop a child in its caller's trace: it needs trace_scope='loop'")
    return msgspec.structs.replace(options, attributes=options.bounded(options.attributes))  # once, not for every span
