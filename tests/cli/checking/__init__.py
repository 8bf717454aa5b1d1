"""Tests of `otel-phi check`."""
