"""The version, in one place: the wheel, the instrumentation scope and `otel-phi --version` read it here."""

__version__ = "0.1.0"
