"""Runs the command line as `python -m otel_phi.cli`."""

from otel_phi.cli.entry import run

run()
