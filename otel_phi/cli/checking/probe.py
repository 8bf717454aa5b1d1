"""An endpoint, asked step by step: what is there, and does it take traces?

    resolves ─▶ connects ─▶ TLS ─▶ protocol ─▶ path ─▶ authorization ─▶ request ─▶ span
    (a step that fails is the last one that is tried)

Rule 1: nothing that is secret leaves before the request itself, and nothing of it is ever said: headers by name, URLs without
        credentials, a server's words without what was sent.
Rule 2: every wait is bounded by the configuration's timeout.
Rule 3: only the last step leaves anything at the collector, and only where it was asked for.
"""

from __future__ import annotations

import re
import secrets
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit

import msgspec

from otel_phi.cli.checking import wire_words
from otel_phi.cli.checking.wire_words import Spoken
from otel_phi.clock import wall_ns
from otel_phi.config import endpoint as urls
from otel_phi.config.headers import scrub
from otel_phi.delivery.exporters.connection import tls_context, words
from otel_phi.delivery.exporters.exporter import Accepted, Exporter, ExportResult, Misconfigured, Retry
from otel_phi.delivery.exporters.open import prepare_grpc_for_gevent, resource_of
from otel_phi.delivery.otlp.encoder import Encoder
from otel_phi.errors import ConfigError
from otel_phi.mapping.span import Span, SpanKind

if TYPE_CHECKING:
    from otel_phi.config import Config

STEPS = ("resolves", "connects", "TLS", "protocol", "path", "authorization", "request", "span")
OK, WARNING, FAILED, SKIPPED = "ok", "warning", "failed", "skipped"
# A certificate that is renewed by itself is renewed a month before its end; two weeks before somebody has to look.
ENDS_SOON_NS = 14 * 86_400 * 10**9
MARK = "phi.check"  # the attribute of the span that --send sends
_HELLO_S = 5.0  # a server that is well answers its first bytes at once; a request may take longer
_PORTS = {"http": 80, "https": 443}
_UNAUTHORIZED = frozenset({"401", "403", "407"})
_NO_PATH = frozenset({"404", "405", "410", "501"})
_OTLP_TYPES = frozenset({"application/x-protobuf", "application/protobuf", "application/json", ""})

_PAGES = frozenset({"text/html", "application/xhtml+xml"})  # of a web server; a collector's errors are words or JSON


class Step(msgspec.Struct, frozen=True):
    """A step is one question and what came of it.

    Attributes:
        name: one of `STEPS`.
        outcome: `ok`, `warning`, `failed` or `skipped`.
        said: what was found.
        rule: id of the rule that says what it means and what to do, "" where nothing is wrong.
    """

    name: str
    outcome: str
    said: str
    rule: str = ""


class _Stop(Exception):  # noqa: N818  # it carries the last step
    def __init__(self, step: Step) -> None:
        super().__init__(step.said)
        self.step = step


def probe(config: Config, *, send: bool = False) -> Iterator[Step]:
    """Yields the steps, each as soon as it is known; those behind one that failed are skipped.

    Args:
        config: where to, and how.
        send: send one span, too.
    """
    done = 0
    try:
        for step in _Probe(config).steps(send=send):
            done = STEPS.index(step.name) + 1
            yield step
    except _Stop as stop:
        done = STEPS.index(stop.step.name) + 1
        yield stop.step
        for name in STEPS[done:]:
            yield Step(name, SKIPPED, "not tried")


class _Probe:
    def __init__(self, config: Config) -> None:
        self._config = config
        parts = urlsplit(config.proxy or config.endpoint)
        self._host = parts.hostname or "localhost"
        self._port = parts.port or _PORTS.get(parts.scheme, 80)
        self._tls = config.endpoint.startswith("https:")
        self._direct = config.proxy is None and not urls.is_socket(config.endpoint)
        self._status, self._kind = 0, ""
        self._wanted: Spoken = "gRPC" if config.protocol == "grpc" else "HTTP"
        self._other: Spoken = "HTTP" if config.protocol == "grpc" else "gRPC"
        self._asked: dict[Spoken, Spoken] = {}
        self._bad_request, self._tls_trouble = False, ""

    def steps(self, *, send: bool) -> Iterator[Step]:
        if urls.is_socket(self._config.endpoint):
            yield Step("resolves", SKIPPED, "a socket of this machine")
            yield Step("connects", SKIPPED, "the request connects")
        else:
            yield self._resolves()
            yield self._connects()
        if self._direct:
            yield self._speaks_tls()
            yield self._protocol()
        else:
            yield Step("TLS", SKIPPED, "the request shows it")
            yield Step("protocol", SKIPPED, "the request shows it")
        yield from self._asks()
        yield self._sends() if send else Step("span", SKIPPED, "--send sends one")

    # --- the way there -----------------------------------------------------------------------------------------------

    def _resolves(self) -> Step:
        try:
            found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            self._fail("resolves", "name-unknown", f"{self._host} is not known")
        addresses = sorted({str(address[0]) for *_, address in found})
        proxy = "the proxy: " if self._config.proxy is not None else ""
        said = f"{self._host}, an address" if addresses == [self._host] else f"{self._host} is {', '.join(addresses)}"
        return Step("resolves", OK, f"{proxy}{said}")

    def _connect(self) -> socket.socket:
        line = socket.create_connection((self._host, self._port), self._config.timeout_s)
        line.settimeout(min(self._config.timeout_s, _HELLO_S))
        return line

    def _connects(self) -> Step:
        try:
            with self._connect() as line:
                there = line.getpeername()
        except OSError as error:
            reason = "no answer in time" if isinstance(error, TimeoutError) else (error.strerror or str(error)).lower()
            self._fail("connects", "no-connection", f"{self._host}:{self._port}: {reason}")
        return Step("connects", OK, f"{there[0]} port {there[1]}")

    def _secured(self, line: socket.socket, *protocols: str) -> ssl.SSLSocket:
        context = tls_context(self._config.tls)
        if protocols:
            context.set_alpn_protocols(list(protocols))
        return context.wrap_socket(line, server_hostname=self._host)

    def _speaks_tls(self) -> Step:
        if not self._tls:
            return self._plain()
        try:
            with self._connect() as line, self._secured(line) as secured:
                version, certificate = secured.version() or "TLS", secured.getpeercert() or {}
        except ConfigError as error:
            self._fail("TLS", "tls-failed", str(error))
        except ssl.SSLCertVerificationError as error:
            self._fail("TLS", "tls-untrusted", words(error))
        except ssl.SSLError as error:
            rule = "tls-not-spoken" if wire_words.speaks_no_tls(error) else "tls-failed"
            self._fail("TLS", rule, words(error))
        except OSError as error:
            self._fail("TLS", "tls-failed", words(error))
        return self._certificate(version, str(certificate.get("notAfter", "")))

    def _certificate(self, version: str, ends: str) -> Step:
        said = f"{version}, the certificate is trusted"
        left_ns = int(ssl.cert_time_to_seconds(ends)) * 10**9 - wall_ns() if ends else ENDS_SOON_NS + 1
        if left_ns < ENDS_SOON_NS:
            return Step("TLS", WARNING, f"{version}, the certificate ends {ends}", "certificate-ends")
        return Step("TLS", OK, f"{said} until {ends}" if ends else said)

    def _plain(self) -> Step:
        """Tells whether a server behind an http endpoint wants TLS: it then says nothing, or 400, to what comes in the clear."""
        if self._ask(self._wanted) not in {self._wanted, self._other} or self._bad_request:
            try:
                with self._connect() as line:
                    found = wire_words.answers_tls(line, self._host)
            except OSError:
                found = False
            if found:
                self._fail("TLS", "tls-wanted", "the server answers a TLS handshake")
        near = " on this machine" if urls.is_loopback(self._config.endpoint) else ": others can read along"
        return Step("TLS", OK, f"none, plain text{near}")

    # --- the protocol ------------------------------------------------------------------------------------------------

    def _protocol(self) -> Step:
        """Tells HTTP from gRPC, what was asked for first."""
        if self._ask(self._wanted) != self._wanted:
            self._speaks_otherwise()
        return Step("protocol", OK, self._wanted)

    def _speaks_otherwise(self) -> NoReturn:
        wanted, other = self._wanted, self._other
        if other in {self._ask(wanted), self._ask(other)}:
            self._fail("protocol", f"speaks-{other.lower()}", f"the server speaks {other}, not {wanted}")
        if self._tls_trouble:
            self._fail("protocol", "tls-failed", self._tls_trouble)
        self._fail("protocol", "speaks-neither", "neither an answer of HTTP nor one of gRPC")

    def _ask(self, protocol: Spoken) -> Spoken:
        """Returns what the server answers in when it is spoken to in a protocol, "" for nothing; asked once."""
        if protocol not in self._asked:
            self._asked[protocol] = self._answered_in(protocol)
        return self._asked[protocol]

    def _answered_in(self, protocol: Spoken) -> Spoken:
        try:
            with self._connect() as line:
                alpn = "h2" if protocol == "gRPC" else "http/1.1"
                with self._secured(line, alpn) if self._tls else line as spoken_to:
                    answer = wire_words.first_answer(spoken_to, protocol, self._host)
        except ssl.SSLError as error:
            self._tls_trouble = words(error)
            return ""
        except OSError:  # it hung up, or said nothing in time
            return ""
        self._bad_request = wire_words.is_bad_request(answer)
        return wire_words.meant(answer)

    # --- what is asked -----------------------------------------------------------------------------------------------

    def _asks(self) -> Iterator[Step]:
        """Sends an empty request and reads out of its answer where it would have gone wrong."""
        result = self._send(b"")
        code = self._code(result)
        shown = urlsplit(self._config.display_endpoint).path or "none"
        path = "gRPC has none" if self._config.protocol == "grpc" else shown
        is_page = self._kind in _PAGES and path.endswith(urls.TRACES_PATH)
        if not is_page and (code in _NO_PATH or code in {"UNIMPLEMENTED", "NOT_FOUND"}):
            self._fail("path", "wrong-path", _reason(result))
        if (is_page and code in _NO_PATH) or self._looks_foreign(result):
            self._fail("path", "no-collector", self._foreign_words(result))
        if not isinstance(result, Accepted) and code in {"", "UNAVAILABLE"}:  # nobody answered
            yield Step("path", SKIPPED, "no answer shows it")
            yield Step("authorization", SKIPPED, "no answer shows it")
            self._fail("request", "no-connection" if "connect" in _reason(result) else "not-now", _reason(result))
        yield Step("path", OK, path)
        if code in _UNAUTHORIZED or code in {"UNAUTHENTICATED", "PERMISSION_DENIED"}:
            self._fail("authorization", "unauthorized", f"{_reason(result)}; {self._headers()}")
        yield Step("authorization", OK, self._headers())
        if not isinstance(result, Accepted):
            self._fail("request", "not-now" if isinstance(result, Retry) else "not-taken", _reason(result))
        yield Step("request", OK, "an empty one was taken")

    def _looks_foreign(self, result: ExportResult) -> bool:
        """Tells whether an answer is no collector's: a web page, a redirection, or a success of another type."""
        if 300 <= self._status < 400 or (isinstance(result, Misconfigured) and "web page" in result.reason):
            return True
        return isinstance(result, Accepted) and self._kind not in _OTLP_TYPES

    def _foreign_words(self, result: ExportResult) -> str:
        return _reason(result) or f"HTTP {self._status} with {scrub(self._kind, {})}, which is no answer of OTLP"

    def _sends(self) -> Step:
        span = _marked_span()
        result = self._send(_request(self._config, span))
        if not isinstance(result, Accepted):
            self._fail("span", "not-now" if isinstance(result, Retry) else "not-taken", _reason(result))
        if result.rejected:
            self._fail("span", "not-taken", f"rejected: {result.message or 'no reason given'}")
        link = self._config.trace_url
        shown = link.replace("{trace_id}", f"{span.trace_id:032x}") if link else f"{span.trace_id:032x}"
        return Step("span", OK, f"taken, trace {urls.without_credentials(shown) if link else shown}")

    def _send(self, body: bytes) -> ExportResult:
        self._status, self._kind = 0, ""
        try:
            exporter = _exporter(self._config, self._answered)
        except ConfigError as error:
            return Misconfigured(str(error))
        try:
            return exporter.send(body, self._config.timeout_s)
        finally:
            exporter.close()

    def _answered(self, status: int, kind: str) -> None:
        self._status, self._kind = status, kind

    def _code(self, result: ExportResult) -> str:
        """Returns the status an answer had: a number of HTTP, or a name of gRPC; "" for none."""
        if self._status:
            return str(self._status)
        found = re.match(r"gRPC ([A-Z_]+)", _reason(result))
        return found[1] if found else ""

    def _headers(self) -> str:
        if callable(self._config.headers):
            return "headers are asked for with each request"
        names = sorted(self._config.headers)
        return f"sent: {', '.join(names)}" if names else "no headers sent, none asked for"

    def _fail(self, name: str, rule: str, said: str) -> NoReturn:
        raise _Stop(Step(name, FAILED, scrub(said, dict(self._config.fixed_headers)), rule))


def _exporter(config: Config, on_answer: Callable[[int, str], None]) -> Exporter:
    """Opens the exporter that a door would use, its answers told."""
    common = {"headers": config.headers, "gzip_body": config.gzip, "tls": config.tls, "proxy": config.proxy}
    if config.protocol == "grpc":
        prepare_grpc_for_gevent()
        from otel_phi.delivery.exporters.grpc import GrpcExporter

        return GrpcExporter(config.endpoint, **common)  # type: ignore[arg-type]  # as their fields are typed
    from otel_phi.delivery.exporters.http import HttpExporter

    return HttpExporter(config.endpoint, on_answer=on_answer, **common)  # type: ignore[arg-type]  # likewise


def _marked_span() -> Span:
    now_ns = wall_ns()
    return Span(
        name="otel-phi check",
        trace_id=secrets.randbits(128) | 1,
        span_id=secrets.randbits(64) | 1,
        parent_span_id=0,
        kind=SpanKind.INTERNAL,
        start_ns=now_ns - 1_000_000,
        end_ns=now_ns,
        attributes=((MARK, True),),
    )


def _request(config: Config, span: Span) -> bytes:
    encoder = Encoder(resource_of(config))
    return encoder.request([encoder.span(span)])


def _reason(result: ExportResult) -> str:
    return getattr(result, "reason", "")
