"""TLS and mutual TLS, over HTTP and gRPC: a bad certificate is never an excuse for plain text."""

from __future__ import annotations

import datetime as dt
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from otel_phi.config.tls_files import TlsFiles
from otel_phi.delivery.exporters.exporter import Accepted, ExportResult, Retry
from otel_phi.delivery.exporters.grpc import GrpcExporter
from otel_phi.delivery.exporters.http import HttpExporter
from otel_phi.delivery.otlp.encoder import Encoder
from otel_phi.errors import ConfigError
from otel_phi.testing import Receiver
from tests.delivery.samples import RESOURCE, plain_span


def pem(folder: Path, name: str, blob: trustme.Blob) -> str:
    path = folder / name
    blob.write_to_path(path)
    return str(path)


@contextmanager
def serving(certificate: trustme.LeafCert, client_ca: trustme.CA | None = None) -> Iterator[Receiver]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        client_ca.configure_trust(context)
    chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
    ca = client_ca.cert_pem.bytes() if client_ca else None
    with Receiver(grpc=True, tls=context, grpc_tls=(certificate.private_key_pem.bytes(), chain, ca)) as receiver:
        yield receiver


def send(receiver: Receiver, protocol: str, tls: TlsFiles) -> ExportResult:
    encoder = Encoder(RESOURCE)
    body = encoder.request([encoder.span(plain_span(1))])
    exporter: HttpExporter | GrpcExporter
    if protocol == "http":
        exporter = HttpExporter(receiver.endpoint + "/v1/traces", tls=tls)
    else:
        exporter = GrpcExporter(receiver.grpc_endpoint, tls=tls)
    try:
        return exporter.send(body, 5.0)
    finally:
        exporter.close()


both = pytest.mark.parametrize("protocol", ["http", "grpc"])


@both
def test_a_trusted_authority_is_enough(authority: trustme.CA, tmp_path: Path, protocol: str) -> None:
    with serving(authority.issue_cert("127.0.0.1")) as receiver:
        tls = TlsFiles(certificate=pem(tmp_path, "ca.pem", authority.cert_pem))
        assert send(receiver, protocol, tls) == Accepted()
        assert receiver.spans == (plain_span(1),)


@both
def test_an_unknown_authority_delivers_nothing(authority: trustme.CA, protocol: str) -> None:
    with serving(authority.issue_cert("127.0.0.1")) as receiver:
        assert isinstance(send(receiver, protocol, TlsFiles()), Retry)
        assert not receiver.requests


@both
def test_a_certificate_for_another_host_delivers_nothing(authority: trustme.CA, tmp_path: Path, protocol: str) -> None:
    with serving(authority.issue_cert("collector.example")) as receiver:
        tls = TlsFiles(certificate=pem(tmp_path, "ca.pem", authority.cert_pem))
        assert isinstance(send(receiver, protocol, tls), Retry)
        assert not receiver.requests


@both
def test_an_expired_certificate_delivers_nothing(authority: trustme.CA, tmp_path: Path, protocol: str) -> None:
    yesterday = dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=1)
    with serving(authority.issue_cert("127.0.0.1", not_after=yesterday)) as receiver:
        tls = TlsFiles(certificate=pem(tmp_path, "ca.pem", authority.cert_pem))
        assert isinstance(send(receiver, protocol, tls), Retry)
        assert not receiver.requests


def test_the_reason_says_what_is_wrong_with_a_certificate(authority: trustme.CA, tmp_path: Path) -> None:
    with serving(authority.issue_cert("collector.example")) as receiver:
        tls = TlsFiles(certificate=pem(tmp_path, "ca.pem", authority.cert_pem))
        result = send(receiver, "http", tls)
        assert isinstance(result, Retry)
        assert "certificate is not trusted" in result.reason


@both
def test_a_server_that_speaks_no_tls_gets_nothing(protocol: str) -> None:
    with Receiver(grpc=True) as receiver:
        url = receiver.endpoint if protocol == "http" else receiver.grpc_endpoint
        tls_url = url.replace("http:", "https:")
        exporter = HttpExporter(tls_url + "/v1/traces") if protocol == "http" else GrpcExporter(tls_url)
        assert isinstance(exporter.send(b"", 3.0), Retry)
        exporter.close()
        assert not receiver.requests


@both
def test_mutual_tls_shows_our_certificate(authority: trustme.CA, tmp_path: Path, protocol: str) -> None:
    ours = authority.issue_cert("client@example.org")
    with serving(authority.issue_cert("127.0.0.1"), client_ca=authority) as receiver:
        ca = pem(tmp_path, "ca.pem", authority.cert_pem)
        certificate = pem(tmp_path, "client.pem", ours.cert_chain_pems[0])
        key = pem(tmp_path, "client.key", ours.private_key_pem)
        assert isinstance(send(receiver, protocol, TlsFiles(ca)), Retry)
        assert send(receiver, protocol, TlsFiles(ca, certificate, key)) == Accepted()
        together = pem(tmp_path, "both.pem", ours.private_key_and_cert_chain_pem)
        assert send(receiver, protocol, TlsFiles(ca, together)) == Accepted()


@both
@pytest.mark.parametrize("option", ["certificate", "client_certificate"])
@pytest.mark.parametrize("content", [None, "no pem"])
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, protocol: str, option: str, content: str | None) -> None:
    path = tmp_path / "file.pem"
    if content is not None:
        path.write_text(content)
    tls = TlsFiles(**{option: str(path)})
    make = HttpExporter if protocol == "http" else GrpcExporter
    with pytest.raises(ConfigError, match=r"file\.pem"):
        make("https://localhost:1/v1/traces", tls=tls)


def test_key_and_certificate_that_do_not_belong_together_are_refused(authority: trustme.CA, tmp_path: Path) -> None:
    one, other = authority.issue_cert("a.example"), authority.issue_cert("b.example")
    certificate = pem(tmp_path, "one.pem", one.cert_chain_pems[0])
    key = pem(tmp_path, "other.key", other.private_key_pem)
    with pytest.raises(ConfigError, match=r"one\.pem"):
        HttpExporter("https://localhost:1/v1/traces", tls=TlsFiles(None, certificate, key))
