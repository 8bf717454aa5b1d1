"""otel-phi turns the work of an AI agent into OpenTelemetry traces."""
