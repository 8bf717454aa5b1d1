"""The real Collector and the real Jaeger at the other end: what left otel-phi, as they tell it. See README.md in this folder."""
