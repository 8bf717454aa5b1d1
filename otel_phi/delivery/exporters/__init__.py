"""Exporters: bytes to one destination, one attempt, one of six results."""
