"""The commands of `otel-phi`, a file each."""
