"""Endpoints: where requests go, as URL, and what of it may be shown."""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit, urlunsplit

TRACES_PATH = "/v1/traces"


def without_credentials(url: str) -> str:
    """Returns a URL for people: without user, password, query and fragment, which may hold tokens."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "(not a URL)"
    host = f"[{host}]" if ":" in host else host
    return urlunsplit(SplitResult(parts.scheme, host + port, parts.path, "", ""))


def is_loopback(url: str) -> bool:
    """Tells whether a URL's host is this machine, so that nothing sent there crosses a network."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def with_traces_path(base: str) -> str:
    """Appends `/v1/traces` to a base endpoint, as the specification asks of OTEL_EXPORTER_OTLP_ENDPOINT."""
    parts = urlsplit(base)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + TRACES_PATH))


def completed(url: str) -> str:
    """Appends `/v1/traces` to a URL without a path; one with a path is taken as it is."""
    return with_traces_path(url) if urlsplit(url).path in ("", "/") else url
