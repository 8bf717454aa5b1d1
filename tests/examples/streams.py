"""The demo's events in two parts, and a URL that gives the second only when told to: what is live arrives before the stream ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import accumulate

from otel_phi.mapping.options import MappingOptions
from otel_phi.pipeline import Pipeline
from tests import golden

SPANS = 38  # of the whole demo
LINES = golden.DEMO.read_bytes().splitlines(keepends=True)
_ROAD = Pipeline(MappingOptions())
_CLOSED = list(accumulate(len(_ROAD.feed(event)) for event in golden.demo()))
# Five spans: the root, a turn, its chat and its tools; the line that closes the turn is the last of the first part.
CUT = next(number for number, closed in enumerate(_CLOSED, 1) if closed >= 5)
FIRST, SECOND = b"".join(LINES[:CUT]), b"".join(LINES[CUT:])
FIRST_SPANS = _CLOSED[CUT - 1]


@contextmanager
def server_sent(go_on: threading.Event) -> Iterator[str]:
    """Serves the events as server-sent events: the first part at once, the second once `go_on` is set. Yields the URL."""

    class Events(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.end_headers()
            self.tell(FIRST)
            go_on.wait(60)
            self.tell(SECOND)

        def tell(self, part: bytes) -> None:
            self.wfile.write(
                b"".join(b"event: agent\ndata: " + line + b"\n" for line in part.splitlines(keepends=True))
            )

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Events) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/events"
        finally:
            go_on.set()
            server.shutdown()
            thread.join()
