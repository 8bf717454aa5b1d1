#!/bin/sh
# Traces an agent while it works: any command that prints AgentEvents, a line each (or server-sent events).
#
#     pipe.sh my-agent --pipe
#
# They go where OTEL_EXPORTER_OTLP_ENDPOINT says; http://localhost:4318 without it.
# The exit code is otel-phi's where that is not 0, else the agent's: what `set -o pipefail` does in a shell that knows it.
set -eu
failed=$({ { "$@" 3>&- || echo $? >&3; } | otel-phi pipe 3>&- >&2; } 3>&1)
exit "${failed:-0}"
