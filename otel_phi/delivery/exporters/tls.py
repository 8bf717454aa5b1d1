"""TLS files: read once, with errors that name the file and the option."""

from __future__ import annotations

import ssl
from pathlib import Path

import certifi

from otel_phi.config.tls_files import TlsFiles
from otel_phi.errors import ConfigError


def tls_context(files: TlsFiles) -> ssl.SSLContext:
    """Makes a context that verifies certificate and host name. There is no way to make one that does not.

    Raises:
        ConfigError: a file is missing or is no PEM of its kind.
    """
    context = ssl.create_default_context()
    if files.certificate is None:
        context.load_verify_locations(certifi.where())
    else:
        context = _trusting(files.certificate)
    if files.client_certificate is not None:
        try:
            context.load_cert_chain(files.client_certificate, files.client_key)
        except (OSError, ValueError) as error:
            named = " with ".join(filter(None, (files.client_certificate, files.client_key)))
            raise ConfigError(f"client certificate {named} cannot be used: {_reason(error)}") from None
    return context


def _trusting(path: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"certificate {path} cannot be used as trusted CA: {_reason(error)}") from None


def pem(path: str | None, option: str) -> bytes | None:
    """Reads a PEM file for gRPC, which takes bytes.

    Raises:
        ConfigError: the file cannot be read or is no PEM.
    """
    if path is None:
        return None
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"{option} {path} cannot be read: {_reason(error)}") from None
    if b"-----BEGIN" not in content:
        raise ConfigError(f"{option} {path} is no PEM file")
    return content


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return "it is no PEM file of that kind, or key and certificate do not belong together"
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
