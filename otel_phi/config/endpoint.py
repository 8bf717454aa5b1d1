"""Endpoints: where requests go, as URL, and what of it may be shown."""

from __future__ import annotations

import base64
import ipaddress
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from otel_phi.errors import ConfigError

TRACES_PATH = "/v1/traces"
_SOCKETS = ("unix:", "unix-abstract:")  # gRPC's own names for sockets of this machine


def is_socket(url: str) -> bool:
    """Tells whether a URL names a Unix domain socket: `unix:///run/otel.sock`, say."""
    return url.startswith(_SOCKETS)


def checked_grpc_endpoint(url: str) -> str:
    """Returns the URL as given; gRPC speaks to Unix domain sockets too.

    Raises:
        ConfigError: it names no socket, or `checked_endpoint` says so.
    """
    if not is_socket(url):
        return checked_endpoint(url)
    if not url.partition(":")[2].strip("/") or not url.isprintable():
        raise ConfigError(f"endpoint {url!r} names no socket: write 'unix:///path/to/socket'")
    return url


def checked_endpoint(url: str) -> str:
    """Returns the URL as given.

    Raises:
        ConfigError: it has no scheme, no host or a port that is none; the message says what to write instead.
    """
    shown = without_credentials(url)
    if any(char.isspace() or not char.isprintable() for char in url):
        raise ConfigError("the endpoint holds a space or a control character: remove it")
    if is_socket(url):
        raise ConfigError(
            f"endpoint {url!r} is a Unix domain socket, which only gRPC speaks to: use the protocol 'grpc'"
        )
    if "://" not in url:
        bare = url.rpartition("@")[2] or "localhost:4318"
        raise ConfigError(f"endpoint {bare!r} has no scheme: write 'http://{bare}' or 'https://{bare}'")
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  # raises where the port is none
    except ValueError:
        raise ConfigError(f"endpoint {shown!r} is no URL: write 'http://host:port'") from None
    if parts.scheme not in ("http", "https"):
        raise ConfigError(f"endpoint {shown!r} has the scheme {parts.scheme!r}: write 'http://' or 'https://'")
    if not parts.hostname:
        raise ConfigError(f"endpoint {shown!r} names no host: write '{parts.scheme}://host:port'")
    return url


def split_credentials(url: str) -> tuple[str, str | None]:
    """Returns the URL without `user:password@`, and the Authorization header they stand for, None if there are none."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, None
    name, _, password = user.partition(":")
    pair = f"{unquote(name)}:{unquote(password)}".encode()
    return urlunsplit(parts._replace(netloc=host)), "Basic " + base64.b64encode(pair).decode("ascii")


def without_credentials(url: str) -> str:
    """Returns a URL for people: without user, password, query and fragment, which may hold tokens."""
    if is_socket(url):
        return url
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
    if is_socket(url):
        return True
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
