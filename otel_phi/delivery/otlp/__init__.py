"""OTLP: spans to bytes and JSON and back, and the resource that produced them."""
