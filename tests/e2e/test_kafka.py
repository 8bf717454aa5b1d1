"""kafka-produce.yaml and kafka-consume.yaml around a real Kafka: whatever is away or killed, every span arrives, as it was sent."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import otel_phi
from otel_phi.mapping.options import options_for
from otel_phi.mapping.span import Span
from otel_phi.testing import Receiver
from tests.cli.streams import a_session
from tests.e2e.backends import Programs
from tests.e2e.collector import Collector
from tests.e2e.conftest import MakeKafka, StartCollector
from tests.e2e.jaeger import Jaeger
from tests.e2e.kafka import Kafka
from tests.e2e.processes import Backend, wait_for
from tests.e2e.trees import SERVICE, differences, places
from tests.test_collector_config import FOLDER

pytestmark = pytest.mark.apps  # Kafka comes from a package index, as the applications do

WITHIN_S = 300.0  # for what takes some 20 s on an idle machine
# In this time a consumer that takes messages before the backend does has told Kafka so. A slow machine only makes the test milder.
_WOULD_COMMIT_S = 5.0
_TURNS = 4_000  # 12,001 spans: a loop, and each turn with its chat and its tool

Half = Callable[..., Collector]


@pytest.fixture
def producing(collector: StartCollector, tmp_path: Path) -> Iterator[Half]:
    """Gives what starts the half beside the agents; it says of nothing that it is out of date."""
    started: list[Collector] = []

    def start(kafka: Kafka, **environment: str) -> Collector:
        own = {"KAFKA_BROKER": kafka.address, "QUEUE_DIR": str(tmp_path / "queue"), **environment}
        started.append(collector(FOLDER / "kafka-produce.yaml", environment=own, name="producing"))
        return started[-1]

    yield start
    assert [line for each in started for line in each.out_of_date()] == []


@pytest.fixture
def consuming(collector: StartCollector) -> Iterator[Half]:
    """Gives what starts the half before a backend; it says of nothing that it is out of date."""
    started: list[Collector] = []

    def start(kafka: Kafka, backend: str, **environment: str) -> Collector:
        address = backend.removeprefix("http://")
        own = {"KAFKA_BROKER": kafka.address, "BACKEND_ENDPOINT": address, "BACKEND_INSECURE": "true", **environment}
        started.append(collector(FOLDER / "kafka-consume.yaml", environment=own, name="consuming"))
        return started[-1]

    yield start
    assert [line for each in started for line in each.out_of_date()] == []


def test_12001_spans_arrive_whole_though_broker_and_backend_are_away_and_both_collectors_are_killed(
    kafka: MakeKafka, producing: Half, consuming: Half, backends: Programs, running: list[Backend], tmp_path: Path
) -> None:
    broker = kafka()
    jaeger = Jaeger(backends.jaeger, tmp_path / "jaeger")
    running.append(jaeger)
    sent = send(producing_half := producing(broker), turns=_TURNS)
    assert len(sent) == 12_001
    producing_half.kill()  # the broker was never there: all of it is in the queue on disk
    broker.start()
    producing_half.start()
    consuming_half = consuming(broker, jaeger.grpc)
    wait_for(lambda: "Exporting failed. Will retry" in consuming_half.words(), "a message for the backend", WITHIN_S)
    time.sleep(_WOULD_COMMIT_S)
    consuming_half.kill()  # with messages in its hands that the backend never took
    consuming_half.start()
    jaeger.start()
    wait_for(jaeger.services, "something at the backend", WITHIN_S)
    broker.kill()
    consuming_half.kill()
    broker.start()
    consuming_half.start()
    jaeger.wait_for(places(sent), WITHIN_S)
    assert differences(jaeger, sent) == []


def test_what_the_backend_refuses_for_good_waits_for_the_next_start(
    kafka: MakeKafka, producing: Half, consuming: Half
) -> None:
    broker = kafka()
    broker.start()
    sent = send(producing(broker), turns=1)
    with Receiver(grpc=True) as backend:
        backend.answer(grpc_status="UNAUTHENTICATED")
        half = consuming(broker, backend.grpc_endpoint)
        wait_for(lambda: "pausing partition" in half.words(), "a partition that stands still", WITHIN_S)
        half.kill()
        half.start()
        assert set(backend.wait_for(len(sent), WITHIN_S)) == set(sent)


def test_what_a_consumer_has_no_memory_for_waits_in_kafka(kafka: MakeKafka, producing: Half, consuming: Half) -> None:
    broker = kafka()
    broker.start()
    sent = send(producing(broker), turns=1)
    with Receiver(grpc=True) as backend:
        half = consuming(broker, backend.grpc_endpoint, MEMORY_LIMIT_MIB="1")
        wait_for(lambda: "Backing off due to error" in half.words(), "a message that it has no memory for", WITHIN_S)
        assert backend.spans == ()
        half.kill()
        half.start(MEMORY_LIMIT_MIB="512")
        assert set(backend.wait_for(len(sent), WITHIN_S)) == set(sent)


def test_requests_larger_than_a_broker_takes_by_default_are_cut_and_arrive(
    kafka: MakeKafka, producing: Half, consuming: Half
) -> None:
    broker = kafka()
    broker.start()
    sent = send(producing(broker), turns=6, attributes={"note": noise(300_000)}, max_attribute_bytes=300_000)
    with Receiver(grpc=True) as backend:
        consuming(broker, backend.grpc_endpoint)
        wait_for(lambda: len(set(backend.spans)) == len(sent), "every span at the backend", WITHIN_S)
        assert set(backend.spans) == set(sent)
        assert max(len(request.body) for request in backend.requests) < 1_000_000


def test_a_span_larger_than_a_broker_takes_by_default_arrives_where_three_limits_are_raised(
    kafka: MakeKafka, producing: Half, consuming: Half
) -> None:
    broker = kafka(message__max__bytes=4_000_000)
    broker.start()
    raised = {"KAFKA_MESSAGE_BYTES": "4000000", "KAFKA_BATCH_BYTES": "3600000"}
    half = producing(broker, **raised)
    sent = send(half, turns=1, attributes={"note": noise(1_500_000)}, max_attribute_bytes=1_500_000)
    with Receiver(grpc=True) as backend:
        consuming(broker, backend.grpc_endpoint)
        wait_for(lambda: len(set(backend.spans)) == len(sent), "every span at the backend", WITHIN_S)
        assert set(backend.spans) == set(sent)
        assert min(len(request.body) for request in backend.requests) > 1_048_588


def send(half: Collector, *, turns: int, **options: Any) -> list[Span]:
    """Sends a session as a trace of one loop, taken when this returns; returns its spans."""
    events = a_session(turns=turns)
    with otel_phi.Bridge(
        endpoint=half.http, service_name=SERVICE, trace_scope="loop", profile="jaeger", **options
    ) as bridge:
        bridge.feed(events)
    own = options_for("jaeger", service_name=SERVICE, trace_scope="loop", **options)
    return list(otel_phi.spans(events, own))


def noise(size: int) -> str:
    """Returns letters that no compression makes much smaller, the same on each run."""
    return random.Random(7).randbytes(size // 2).hex()  # no secret
