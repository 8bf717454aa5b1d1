"""A Collector with a persistent queue, killed in the middle and started again: nothing is lost, doubles are the same bytes."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

from otel_phi.delivery.otlp.decode import parse_request
from otel_phi.testing import Receiver
from tests.e2e.backends import Programs
from tests.e2e.collector import pipeline
from tests.e2e.commands import agent
from tests.e2e.conftest import StartCollector
from tests.e2e.jaeger import Jaeger, Place, exporter_to
from tests.e2e.processes import Backend, wait_for
from tests.e2e.sessions import spans_of, streams, with_other_ids
from tests.e2e.trees import differences, places

_KEEP = {  # taken means on disk, and nothing is given up
    "sending_queue": {"storage": "file_storage"},
    "retry_on_failure": {"initial_interval": "100ms", "max_interval": "1s", "max_elapsed_time": "0s"},
}


def test_nothing_is_lost_and_what_comes_twice_is_the_same_and_shown_once(
    collector: StartCollector, backends: Programs, running: list[Backend], tmp_path: Path
) -> None:
    jaeger = Jaeger(backends.jaeger, tmp_path / "jaeger")  # down at first: what is for it waits in the queue
    running.append(jaeger)
    first = streams(tmp_path / "first")
    second, third = (
        sorted(with_other_ids(tmp_path / "first", tmp_path / name).iterdir()) for name in ("second", "third")
    )
    sent = [span for path in (*first, *second, *third) for span in spans_of([path])]
    with Receiver() as beside:
        exporters = {**exporter_to(jaeger, **_KEEP), "otlp_http/beside": {"endpoint": beside.endpoint, **_KEEP}}
        storage = {"file_storage": {"directory": str(tmp_path / "queue"), "create_directory": True}}
        otelcol = collector(pipeline(exporters, extensions=storage))
        with agent(otelcol, tmp_path / "state") as working:
            beside.answer(delay_s=10.0)  # so long that the Collector dies without it, and has to send that again
            for path in first:
                working.works_through(path)
            beside.wait_for(1, 60.0)
            otelcol.kill()
            for path in second:
                working.works_through(path)
            otelcol.start()
            jaeger.start()
            for path in third:
                working.works_through(path)
            wait_for(jaeger.services, "something is in Jaeger")
            otelcol.kill()
            otelcol.start()
            assert working.ends() == {"sent": True, "acknowledged": len(sent), "balanced": True}
        assert differences(jaeger, sent) == []
        wait_for(lambda: places(sent) <= places(beside.spans), "all of it is beside Jaeger too")
        came = _forms(beside)
    assert [place for place, forms in came.items() if len(forms) > 1] == [], "sent again as something else"
    assert max(forms.total() for forms in came.values()) > 1, "the request without an answer was sent again"


def _forms(receiver: Receiver) -> dict[Place, Counter[tuple[bytes, ...]]]:
    """Returns the bytes each span came in, with those of its resource and scope, and how often."""
    found: dict[Place, Counter[tuple[bytes, ...]]] = defaultdict(Counter)
    for request in receiver.requests:
        for group in parse_request(request.body).resource_spans:
            for scoped in group.scope_spans:
                for span in scoped.spans:
                    place = int.from_bytes(span.trace_id, "big"), int.from_bytes(span.span_id, "big")
                    form = (group.resource, scoped.scope, span)
                    found[place][tuple(part.SerializeToString(deterministic=True) for part in form)] += 1
    return found
