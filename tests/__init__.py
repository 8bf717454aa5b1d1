"""The claims otel-phi makes, each a test."""
