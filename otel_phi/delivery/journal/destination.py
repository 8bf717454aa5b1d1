"""Destinations: the name of where spans go, and whether two processes go there with the same credentials.

Rule 1: a name never holds a secret: user, password, query and fragment of an endpoint are left out of it.
Rule 2: credentials are compared by a salted scrypt: who reads a journal cannot guess a token from it, or compare two.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import urlsplit

from otel_phi.delivery.journal.facts import Destination

_SLUG_BYTES = 60  # a file name holds 255 bytes; this much tells a reader where it is
_SALT_BYTES = 16
_SCRYPT_N, _SCRYPT_R, _SCRYPT_P = 2**12, 8, 1  # 4 MiB and about 10 ms, once a process and once a folder to adopt
_UNSAFE = re.compile(r"[^A-Za-z0-9]+")


def destination(endpoint: str, protocol: str, given: str | None = None) -> Destination:
    """Returns the destination of an endpoint.

    Args:
        endpoint: URL or path; what is secret in it is left out.
        protocol: such as `http/protobuf`.
        given: a name the user gave it (`destination_name`), which is then all that counts.
    """
    shown = _without_secrets(endpoint)
    what = f"name {given}" if given else f"{protocol} {shown}"
    slug = _UNSAFE.sub("-", given or f"{shown} {protocol}".removeprefix("https://").removeprefix("http://")).strip("-")
    digest = hashlib.blake2b(what.encode("utf-8", "surrogatepass"), digest_size=5).hexdigest()
    return Destination(f"{slug[:_SLUG_BYTES].strip('-').lower() or 'exporter'}-{digest}", f"{shown} ({protocol})")


def _without_secrets(endpoint: str) -> str:
    try:
        parts = urlsplit(endpoint)
    except ValueError:
        return endpoint.rpartition("@")[2].partition("?")[0]
    host = parts.netloc.rpartition("@")[2]
    scheme = f"{parts.scheme}://" if parts.scheme and host else f"{parts.scheme}:" if parts.scheme else ""
    return f"{scheme}{host}{parts.path}"


def new_salt() -> bytes:
    """Returns a salt for a head."""
    return secrets.token_bytes(_SALT_BYTES)


def credentials(salt: bytes, headers: Mapping[str, str], client_certificate: bytes = b"") -> bytes:
    """Returns what a head says of credentials.

    Args:
        salt: from `new_salt`.
        headers: the static headers.
        client_certificate: the certificate's bytes, empty where there is none.

    Returns:
        32 bytes; none where there are no credentials.
    """
    if not headers and not client_certificate:
        return b""
    secret = bytearray()
    pairs = sorted((name.lower(), value) for name, value in headers.items())
    texts = [text.encode("utf-8", "surrogatepass") for pair in pairs for text in pair]
    for part in (b"%d" % len(pairs), *texts, client_certificate):
        secret += len(part).to_bytes(8, "big") + part
    return hashlib.scrypt(bytes(secret), salt=salt, n=_SCRYPT_N, r=_SCRYPT_R, p=_SCRYPT_P, dklen=32)


class Sealed(Protocol):
    """What says whose it is without telling the secret: a journal's head, a dead letter."""

    @property
    def salt(self) -> bytes:
        """Random bytes, from `new_salt`."""

    @property
    def credentials(self) -> bytes:
        """What `credentials` makes of that salt."""


def credentials_match(sealed: Sealed, headers: Mapping[str, str], client_certificate: bytes = b"") -> bool:
    """Tells whether a journal's credentials are these, in a time that does not tell how far they agree."""
    return hmac.compare_digest(sealed.credentials, credentials(sealed.salt, headers, client_certificate))
