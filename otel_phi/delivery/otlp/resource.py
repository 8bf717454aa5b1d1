"""The resource: who produced the spans, as OpenTelemetry detects it, plus the host's name."""

from __future__ import annotations

import socket
from collections.abc import Mapping

import msgspec

from otel_phi.mapping.span import Attributes, AttributeValue

_INSTANCE = "service.instance.id"


class Resource(msgspec.Struct, frozen=True):
    """A resource is the entity that produced the spans, fixed for an exporter's life.

    Attributes:
        attributes: pairs sorted by key, so that equal resources give equal bytes.
        schema_url: the schema the attributes follow, "" if none.
    """

    attributes: Attributes
    schema_url: str = ""

    def get(self, key: str) -> AttributeValue | None:
        """Returns the value of attribute `key`, or None where the resource has none."""
        return dict(self.attributes).get(key)


def detect_resource(service_name: str | None = None, extra: Mapping[str, AttributeValue] | None = None) -> Resource:
    """Asks OpenTelemetry's SDK who we are, with its precedence.

    `service_name` beats `extra`, which beats OTEL_SERVICE_NAME, which beats OTEL_RESOURCE_ATTRIBUTES and the
    detectors named in OTEL_EXPERIMENTAL_RESOURCE_DETECTORS. With none of them `service.name` is `unknown_service:...`,
    as the specification asks.

    Args:
        service_name: `service.name`; None leaves it to the environment.
        extra: further resource attributes.

    Returns:
        The resource, always with `host.name`: without it Jaeger warns about clocks on spans outside their parent. Never with
        a random `service.instance.id`.
    """
    from opentelemetry.sdk.resources import OTELResourceDetector
    from opentelemetry.sdk.resources import Resource as SdkResource

    given: dict[str, AttributeValue] = dict(extra or {})
    if service_name is not None:
        given["service.name"] = service_name
    detected = SdkResource.create({key: list(v) if isinstance(v, tuple) else v for key, v in given.items()})
    found = {key: value for key, raw in detected.attributes.items() if (value := _value(raw)) is not None}
    found.setdefault("host.name", socket.gethostname())
    # The SDK makes one up for each process. Then a span sent again by the next one would not be the same bytes, and no
    # backend could know it for the same: only one that somebody gave stays.
    if _INSTANCE not in given and _INSTANCE not in OTELResourceDetector().detect().attributes:
        found.pop(_INSTANCE, None)
    return Resource(tuple(sorted(found.items())), detected.schema_url)


def with_ip(resource: Resource) -> Resource:
    """Adds the attribute `ip`, by which alone Jaeger's page (up to 2.13 at least) tells hosts apart, unless it is given.

    Without it Jaeger takes every span for another host's and warns of clocks on each loop that goes on after its parent ended.
    It holds the host's name: what counts is that it is the same on the same host, whatever network that is in.
    """
    if resource.get("ip") is not None:
        return resource
    own = ("ip", resource.get("host.name") or "localhost")
    return Resource(tuple(sorted((*resource.attributes, own))), resource.schema_url)


def _value(raw: object) -> AttributeValue | None:
    """Takes a detector's value as ours; a sequence becomes strings, what OTLP has no word for is dropped."""
    if isinstance(raw, (str, bool, int, float)):
        return raw
    if isinstance(raw, (tuple, list)):
        return tuple(str(item) for item in raw)
    return None
