#!/bin/sh
# Exports sessions already written: event logs, JSON lines, saved sessions, folders of them, gzipped or not; without a name, ./logs.
# Run it again after an interruption: it goes on where it stopped.
#
#     import.sh logs/ old-sessions/
#
# They go where OTEL_EXPORTER_OTLP_ENDPOINT says; http://localhost:4318 without it.
set -eu
[ $# -gt 0 ] || set -- logs
otel-phi export "$@"
