"""The names of PEM files; what is in them is read when an exporter is opened."""

from __future__ import annotations

import msgspec


class TlsFiles(msgspec.Struct, frozen=True):
    """Names PEM files.

    Attributes:
        certificate: trusted CA certificates, None for the system's and certifi's.
        client_certificate: our certificate for mutual TLS, None for none.
        client_key: its private key; None if it stands in `client_certificate`.
    """

    certificate: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None
