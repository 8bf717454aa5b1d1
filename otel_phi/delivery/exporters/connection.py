"""HTTP connections that can be cut from outside when an attempt's time is over.

Each connection keeps a duplicate of its socket: shutting that one ends whatever the connection waits for, a TLS
handshake included, during which `ssl` has the original in its hands. Only looking up a host name cannot be cut. TLS files are read
once, with errors that name the file and the option.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

import certifi
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, IncompleteRead, NameResolutionError

from otel_phi.config.tls_files import TlsFiles
from otel_phi.delivery.exporters.retry_table import CUT_SHORT
from otel_phi.errors import ConfigError

_current = threading.local()


class Attempt:
    """An attempt is one request under a deadline, used as a context manager in the thread that makes it.

    Args:
        timeout_s: seconds until the connection is cut.
        query: of the URL. It may hold a token, so it goes out with the request and is not in the URL that urllib3 gets, which
            it puts into its debug log.

    Attributes:
        over: the time was over before the attempt was.
    """

    def __init__(self, timeout_s: float, query: str = "") -> None:
        self.over = False
        self.query = query
        self.connection: Cuttable | None = None
        self._timer = threading.Timer(timeout_s, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> None:
        _current.attempt = self
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        _current.attempt = None
        self.connection = None

    def _cut(self) -> None:
        self.over = True
        connection = self.connection
        # Released to the pool a moment ago, it may already serve another attempt.
        if connection is not None and connection.attempt is self:
            connection.cut()


class _LastLine:
    """A stream that remembers the last line that was read of it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        self.line = b""

    def readline(self, size: int = -1, /) -> bytes:
        self.line = self.stream.readline(size)
        return self.line

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class _WholeHeaders(http.client.HTTPResponse):
    """An answer whose headers ended with an empty line: http.client takes the end of the connection for that too."""

    def begin(self) -> None:
        stream = self.fp
        watched: Any = _LastLine(stream)  # a stream in all that is asked of it here
        self.fp = watched
        try:
            super().begin()
        finally:
            if self.fp is watched:
                self.fp = stream
        if watched.line not in (b"\r\n", b"\n"):
            raise http.client.IncompleteRead(watched.line)


class Cuttable(HTTPConnection):
    """A cuttable is a connection that an attempt can cut, and that takes no half of an answer for a whole."""

    response_class = _WholeHeaders
    debuglevel = 0  # anybody may set it for all of http.client: it prints requests, headers and all

    attempt: Attempt | None = None
    _line: socket.socket | None = None

    def cut(self) -> None:
        """Ends what the connection is doing; may be called from any thread."""
        line = self._line
        if line is not None:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> None:
        """Sends a request on behalf of this thread's attempt, over a connection that may have served others."""
        self._claim()
        query = self.attempt.query if self.attempt is not None else ""
        super().request(method, f"{url}?{query}" if query else url, *args, **kwargs)

    def close(self) -> None:
        """Closes both sockets."""
        super().close()
        self._drop()

    def _new_conn(self) -> socket.socket:
        self._claim()
        sock = super()._new_conn()
        self._drop()
        self._line = sock.dup()
        if self.attempt is not None and self.attempt.over:
            self.cut()
        return sock

    def _claim(self) -> None:
        self.attempt = getattr(_current, "attempt", None)
        if self.attempt is not None:
            self.attempt.connection = self

    def _drop(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None


class _TlsConnection(Cuttable, HTTPSConnection):
    """A TLS connection is a cuttable one that speaks TLS."""


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = Cuttable


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


def connection_pool(url: str, tls: TlsFiles, proxy: str | None, connections: int) -> urllib3.PoolManager:
    """Makes a pool of cuttable connections.

    Args:
        url: decides whether TLS files are read: a wrong one must not stop a plain http export.
        tls: PEM files.
        proxy: URL of an HTTP proxy, with `user:password@` if it wants them; None for none.
        connections: kept open at most.

    Raises:
        ConfigError: a TLS file cannot be used.
    """
    options: dict[str, Any] = {"maxsize": connections, "retries": False}
    if url.startswith("https:") or (proxy or "").startswith("https:"):
        options["ssl_context"] = tls_context(tls)
    pool: urllib3.PoolManager
    if proxy is None:
        pool = urllib3.PoolManager(**options)
    else:
        user = urlsplit(proxy)
        if user.username is not None:
            pair = f"{unquote(user.username)}:{unquote(user.password or '')}"
            options["proxy_headers"] = urllib3.make_headers(proxy_basic_auth=pair)
        pool = urllib3.ProxyManager(proxy, **options)
    pool.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
    return pool


def close_idle(pool: urllib3.PoolManager) -> None:
    """Closes the connections that are not in use.

    `clear` alone leaves that to the garbage collector, which does nothing at exit: urllib3's own closing has run by then.
    """
    for key in pool.pools.keys():  # noqa: SIM118  # urllib3's container cannot be iterated over
        with contextlib.suppress(KeyError):  # dropped meanwhile
            pool.pools[key].close()
    pool.clear()


def words(error: Exception) -> str:
    """Says in one line why a connection failed: the innermost cause, not urllib3's layers around it."""
    if isinstance(error, NameResolutionError):
        return "the host name is not known"
    inner: BaseException = error
    while (cause := getattr(inner, "original_error", None) or inner.__cause__ or inner.__context__) is not None:
        inner = cause
    if isinstance(error, IncompleteRead) or isinstance(inner, http.client.IncompleteRead):
        return CUT_SHORT
    if isinstance(inner, ssl.SSLCertVerificationError):
        return f"the server's certificate is not trusted: {inner.verify_message}"
    if isinstance(inner, ssl.SSLError):
        return f"TLS failed: {inner.reason or inner}"
    if isinstance(inner, socket.gaierror):
        return "the host name is not known"
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror.lower()
    return str(inner) if isinstance(error, (HTTPError, OSError)) else type(inner).__name__


# --- TLS ------------------------------------------------------------------------------------------------------------------


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
