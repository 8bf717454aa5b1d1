"""Proxies from the environment: HTTP_PROXY, HTTPS_PROXY and NO_PROXY, read as curl reads them.

NO_PROXY is a list, commas or blanks between: a host or domain with all below it (a leading dot or `*.` changes nothing), an
address, a range of addresses (`10.0.0.0/8`, `fd00::/8`), `*` for all; with `:port` for that port alone.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from otel_phi.config import endpoint as urls
from otel_phi.config.choices import Choices, report
from otel_phi.errors import ConfigError

_PORT = re.compile(r"([^:]+):(\d{1,5})\Z")  # more colons are an IPv6 address's
_BRACKETED = re.compile(r"\[([^]]+)\](/\d+)?(?::(\d{1,5}))?\Z")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def proxy(choices: Choices, url: str) -> str | None:
    """Returns the proxy for a URL, None for none; this machine and a socket in its file system need none."""
    parts = urlsplit(url)
    # A web server puts the request header `Proxy:` into HTTP_PROXY (httpoxy), hence only the lower-case one under CGI.
    upper = f"{parts.scheme.upper()}_PROXY"
    names = [f"{parts.scheme}_proxy", *([] if choices.value("REQUEST_METHOD") else [upper])]
    found = choices.variable(*names)
    if not found or not parts.hostname or urls.is_loopback(url):
        return None
    excepted = choices.variable("no_proxy", "NO_PROXY")
    port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    if excepted and any(_names(entry, parts.hostname, port) for entry in re.split(r"[,\s]+", excepted[1].lower())):
        return None
    given = found[1] if "://" in found[1] else f"http://{found[1]}"
    try:
        return urls.checked_endpoint(given)
    except ConfigError as error:
        report(found[0], f"{error}; it is ignored")
        return None


def _names(entry: str, host: str, port: int | None) -> bool:
    """Tells whether an entry of NO_PROXY names a host, in lower case, at a port."""
    if entry == "*":
        return True
    entry, wanted = _split(entry)
    if wanted is not None and wanted != port:
        return False
    address = _address(host)
    if address is not None:
        within = _network(entry)
        return within is not None and address in within
    name = entry.removeprefix("*").strip(".")
    host = host.rstrip(".")
    return name != "" and (host == name or host.endswith(f".{name}"))


def _split(entry: str) -> tuple[str, int | None]:
    """Returns an entry without brackets, and the port behind it, None if it has none."""
    if found := _BRACKETED.match(entry):
        return found[1] + (found[2] or ""), int(found[3]) if found[3] else None
    found = _PORT.match(entry)
    return (found[1], int(found[2])) if found else (entry, None)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(host.partition("%")[0])  # a zone says which interface, not which address
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """Returns the range an entry names, one address being the smallest; host bits below the mask mean nothing."""
    try:
        return ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return None
