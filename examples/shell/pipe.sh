#!/bin/sh
# Traces an agent while it works: any command that prints AgentEvents, a line each (or server-sent events).
#
#     pipe.sh my-agent --pipe
#
# They go where OTEL_EXPORTER_OTLP_ENDPOINT says; http://localhost:4318 without it.
set -eu
"$@" | otel-phi pipe
