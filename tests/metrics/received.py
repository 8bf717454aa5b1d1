"""What arrived at a receiver as metrics: points by name and attributes, of the latest request of each process."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from otel_phi.testing import Receiver

Attributes = frozenset[tuple[str, object]]


class Point(msgspec.Struct, frozen=True):
    """A point is a number, or a histogram's count, sum and buckets."""

    value: float
    count: int
    bounds: tuple[float, ...]
    buckets: tuple[int, ...]


class Metric(msgspec.Struct, frozen=True):
    """A metric is what was sent under one name."""

    unit: str
    kind: str
    monotonic: bool
    points: dict[Attributes, Point]

    @property
    def total(self) -> float:
        """Returns the sum of all points."""
        return sum(point.value for point in self.points.values())

    @property
    def count(self) -> int:
        """Returns how many measurements a histogram has."""
        return sum(point.count for point in self.points.values())

    def values(self, key: str) -> set[object]:
        """Returns the values of an attribute."""
        return {value for attributes in self.points for name, value in attributes if name == key}

    def at(self, **wanted: object) -> float:
        """Returns the sum of the points with these attributes, dots written as `__`."""
        pairs = {(key.replace("__", "."), value) for key, value in wanted.items()}
        return sum(point.value for attributes, point in self.points.items() if pairs <= attributes)


def received(receiver: Receiver) -> dict[str, Metric]:
    """Returns the metrics of the latest request."""
    return metrics_of(requests(receiver)[-1])


def requests(receiver: Receiver) -> list[ExportMetricsServiceRequest]:
    """Returns the requests in the order they came."""
    return [ExportMetricsServiceRequest.FromString(each.body) for each in receiver.metric_requests]


def resource_of(request: ExportMetricsServiceRequest) -> dict[str, object]:
    """Returns the resource that metrics were sent with."""
    return dict(_pairs(request.resource_metrics[0].resource.attributes))


def metrics_of(request: ExportMetricsServiceRequest) -> dict[str, Metric]:
    """Returns the metrics of a request by name."""
    found: dict[str, Metric] = {}
    for resource in request.resource_metrics:
        for scope in resource.scope_metrics:
            for one in scope.metrics:
                kind = str(one.WhichOneof("data"))
                data: Any = getattr(one, kind)
                points = {frozenset(_pairs(point.attributes)): _point(point, kind) for point in data.data_points}
                assert len(points) == len(data.data_points), "a series stands twice"
                found[one.name] = Metric(one.unit, kind, kind == "sum" and data.is_monotonic, points)
    return found


def _point(point: Any, kind: str) -> Point:
    if kind == "histogram":
        return Point(point.sum, point.count, tuple(point.explicit_bounds), tuple(point.bucket_counts))
    return Point(float(point.as_int or point.as_double), 1, (), ())


def _pairs(attributes: Iterable[Any]) -> Iterable[tuple[str, object]]:
    for pair in attributes:
        yield pair.key, getattr(pair.value, str(pair.value.WhichOneof("value")))
