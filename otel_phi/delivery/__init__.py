"""Delivery: finished spans become OTLP bytes and reach a collector, a file or another OpenTelemetry exporter.

    Span ─ encoder ─▶ entry ─ batch ─▶ Batch ─ sender ─▶ exporter (http, grpc, file, sdk) ─▶ ExportResult

It may import mapping's Span and nothing else of ours but errors and version. grpc, urllib3 and OpenTelemetry are
imported where they are used, so that looking at a trace costs none of them.
"""
