"""An agent's process with the hook: `python -m tests.e2e.agent ENDPOINT PROTOCOL STATE_DIR`.

Each line on stdin is the path of a stream, worked through at once and answered by a line; at the end of stdin it waits for
what it has to send, and says as JSON what became of it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import otel_phi
from tests.e2e.trees import SERVICE

SEND_WITHIN_S = 120.0  # a machine with both cores busy; on an idle one it takes a second


def main() -> None:
    """Works through what stdin names."""
    endpoint, protocol, state_dir = sys.argv[1:]
    hook = otel_phi.install(
        endpoint=endpoint, protocol=protocol, state_dir=state_dir, service_name=SERVICE, profile="jaeger"
    )
    for line in sys.stdin:
        for event in Path(line.strip()).read_bytes().splitlines():
            hook(event)
        sys.stdout.write("done\n")
        sys.stdout.flush()
    sent = hook.shutdown(SEND_WITHIN_S)
    stats = hook.stats().delivery
    json.dump({"sent": sent, "acknowledged": stats.acknowledged, "balanced": stats.balanced()}, sys.stdout)


if __name__ == "__main__":
    main()
