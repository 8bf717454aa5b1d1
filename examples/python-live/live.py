"""The hook in a program that reads an agent's events from elsewhere and does something with them; here it prints the tools.

    python live.py my-agent --pipe                            a process that prints AgentEvents, a line each
    python live.py http://localhost:8080/events               server-sent events
    my-agent --pipe | python live.py                          standard input

The traces go where OTEL_EXPORTER_OTLP_ENDPOINT says; http://localhost:4318 without it. The exit code is the process's.
"""

import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import otel_phi
from otel_phi.events import ToolExecutionEnd, decode_event

hook = otel_phi.install(service_name="python-live")


def lines(source: list[str]) -> Iterator[bytes]:
    """Yields the JSON of each event as it comes."""
    if not source:
        yield from sys.stdin.buffer
    elif source[0].startswith(("http://", "https://")):
        with urllib.request.urlopen(source[0]) as answer:  # noqa: S310  # its scheme was just looked at
            yield from (line[len(b"data:") :] for line in answer if line.startswith(b"data:"))
    else:
        with subprocess.Popen(source, stdout=subprocess.PIPE) as agent:  # noqa: S603  # the user's own command
            yield from agent.stdout or ()
        if code := agent.returncode:
            sys.exit(code if code > 0 else 128 - code)  # by a signal: as a shell says it


try:
    events = map(decode_event, lines(sys.argv[1:]))
    for event in hook.tap(events):  # the hook sees each event on its way, and changes none
        if isinstance(event, ToolExecutionEnd):
            print(f"{event.tool_name}: {'failed' if event.is_error else 'done'}", flush=True)
except OSError as error:  # no such command, nobody at that address
    print(f"live.py: {error}", file=sys.stderr)
    sys.exit({FileNotFoundError: 127, PermissionError: 126}.get(type(error), 1))
