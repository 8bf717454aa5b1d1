"""The destination's options: endpoint, headers and TLS files, with OpenTelemetry's precedence and path rules."""

from __future__ import annotations

import os
from collections.abc import Mapping

from otel_phi.config import endpoint as urls
from otel_phi.config.choices import Choices, report
from otel_phi.config.headers import Headers, credential_names, from_text, joined
from otel_phi.config.headers import checked as checked_headers
from otel_phi.config.tls_files import TlsFiles
from otel_phi.config.values import Protocol, seconds
from otel_phi.errors import ConfigError

DEFAULT_TIMEOUT_S = 10.0  # OpenTelemetry's
DEFAULT_ENDPOINTS: dict[Protocol, str] = {
    "http/protobuf": "http://localhost:4318/v1/traces",
    "grpc": "http://localhost:4317",
}
# From here on a number of seconds is most likely meant as milliseconds, the specification's unit.
_SUSPICIOUS_TIMEOUT_S = 1000.0


def endpoint(choices: Choices, protocol: Protocol) -> str:
    """Returns the URL requests go to, user and password still in it.

    Raises:
        ConfigError: the keyword is no endpoint.
    """
    is_http = protocol == "http/protobuf"
    checked = urls.checked_endpoint if is_http else urls.checked_grpc_endpoint
    if "endpoint" in choices.given:
        given = checked(choices.given["endpoint"])
        return urls.completed(given) if is_http else given
    for name, is_base in (("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", False), ("OTEL_EXPORTER_OTLP_ENDPOINT", True)):
        url = choices.value(name)
        if url is None:
            continue
        if not is_http and "://" not in url and not urls.is_socket(url):
            # The specification lets gRPC go without a scheme; INSECURE then says which.
            url = ("http://" if insecure(choices) else "https://") + url
        try:
            url = checked(url)
        except ConfigError as error:
            report(name, f"{error}; it is ignored")
            continue
        return urls.with_traces_path(url) if is_base and is_http else url
    return DEFAULT_ENDPOINTS[protocol]


def insecure(choices: Choices) -> bool:
    """Tells whether plain text is wanted, knowing what it shows."""
    found = choices.otlp("INSECURE")
    return bool(choices.given.get("insecure", found is not None and found[1].lower() == "true"))


def headers(choices: Choices, authorization: str | None) -> Headers:
    """Joins the endpoint's user and password, the environment's headers and the keyword's, later ones on top.

    Raises:
        ConfigError: a header given by keyword cannot be sent.
    """
    base = {} if authorization is None else {"authorization": authorization}
    found = choices.otlp("HEADERS")
    if found:
        parsed, complaints = from_text(found[1])
        base.update(parsed)
        for complaint in complaints:
            report(found[0], f"{complaint}; it is ignored")
    own = choices.given.get("headers", {})
    if callable(own):
        return joined(base, own) if base else own
    if not isinstance(own, Mapping):
        raise ConfigError(f"headers: {type(own).__name__} is neither a mapping nor a callable that returns one")
    return {**base, **checked_headers(own)}


def guard_plain_text(url: str, sent: Headers, *, allowed: bool) -> None:
    """Stops credentials from crossing a network in the clear, and says once when spans do.

    Raises:
        ConfigError: the endpoint is plain http beyond this machine and a header looks like a credential.
    """
    if not url.startswith("http://") or urls.is_loopback(url) or allowed:
        return
    shown = urls.without_credentials(url)
    # A callable is asked for nothing here; what it is for is tokens.
    names = "the headers callable" if callable(sent) else ", ".join(credential_names(sent))
    if names:
        raise ConfigError(
            f"{names} would go to {shown} unencrypted: use https, or say insecure=True (--insecure, "
            "OTEL_EXPORTER_OTLP_INSECURE=true) if that network may see it"
        )
    report("endpoint", f"spans go to {shown} unencrypted; use https where others can listen")


def timeout_s(choices: Choices) -> float:
    """Returns the bound of one attempt in seconds."""
    found = choices.otlp("TIMEOUT")
    chosen = choices.choose("timeout_s", found, seconds, DEFAULT_TIMEOUT_S)
    if found and "timeout_s" not in choices.given and chosen >= _SUSPICIOUS_TIMEOUT_S:
        report(found[0], f"{found[1]} is read as seconds, as in opentelemetry-python; milliseconds are not meant")
    return chosen


def tls_files(choices: Choices) -> TlsFiles:
    """Returns the PEM files by name; they are read when an exporter is opened.

    Raises:
        ConfigError: a key is given without its certificate.
    """

    def path(option: str, suffix: str) -> str | None:
        return choices.choose(option, choices.otlp(suffix), os.fspath, None)

    files = TlsFiles(
        path("certificate", "CERTIFICATE"),
        path("client_certificate", "CLIENT_CERTIFICATE"),
        path("client_key", "CLIENT_KEY"),
    )
    if files.client_key and not files.client_certificate:
        if "client_key" in choices.given:
            raise ConfigError("client_key: a key without its certificate is of no use: give client_certificate too")
        report("OTEL_EXPORTER_OTLP_CLIENT_KEY", "there is no OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE; it is ignored")
    return files
