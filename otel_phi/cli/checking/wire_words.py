"""What a server's first bytes say: TLS, HTTP or gRPC. A request without anything of ours is enough for that."""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import Literal

Spoken = Literal["HTTP", "gRPC", ""]

_PREFACE = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
)  # and an empty frame of SETTINGS
_FRAME_BYTES = 9
_STATUS_BYTES = 12  # `HTTP/1.1 400`
_SETTINGS, _GOAWAY = 4, 7  # an HTTP/2 server's first frame


def first_answer(line: socket.socket, protocol: Spoken, host: str) -> bytes:
    """Returns the first bytes of what a server answers when it is spoken to in a protocol.

    Args:
        line: a connection, with its timeout.
        protocol: which to speak: for gRPC the beginning of HTTP/2, which every gRPC server answers.
        host: for the request of HTTP.

    Raises:
        OSError: the connection broke off, or nothing came in time.
    """
    named = f"[{host}]" if ":" in host else host
    hello = f"GET / HTTP/1.1\r\nHost: {named}\r\nUser-Agent: otel-phi\r\nConnection: close\r\n\r\n".encode()
    line.sendall(_PREFACE if protocol == "gRPC" else hello)
    found = b""
    while len(found) < (_STATUS_BYTES if found.startswith(b"HTTP") else _FRAME_BYTES):
        piece = line.recv(64)
        if not piece:
            break
        found += piece
    return found


def meant(answer: bytes) -> Spoken:
    """Returns which protocol the first bytes of an answer are of."""
    if answer.startswith(b"HTTP/1."):
        return "HTTP"
    is_frame = len(answer) >= _FRAME_BYTES and answer[:1] == b"\x00" and answer[5:9] == bytes(4)
    return "gRPC" if is_frame and answer[3] in (_SETTINGS, _GOAWAY) else ""


def is_bad_request(answer: bytes) -> bool:
    """Tells whether an answer of HTTP is a 400, as servers of TLS give it to who speaks in the clear."""
    return answer[:7] == b"HTTP/1." and answer[9:_STATUS_BYTES] == b"400"


def answers_tls(line: socket.socket, host: str) -> bool:
    """Tells whether a server answers a TLS handshake, whatever its certificate.

    Args:
        line: a connection, with its timeout.
        host: the server's name.
    """
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    # Nothing is ever sent over it: only the server's first word is looked at.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    hello = context.wrap_bio(incoming, outgoing, server_hostname=host)
    with contextlib.suppress(ssl.SSLWantReadError):
        hello.do_handshake()
    line.sendall(outgoing.read())
    answer = line.recv(3)
    return answer[:1] in (b"\x16", b"\x15") and answer[1:2] == b"\x03"  # a handshake or an alert, of TLS


def speaks_no_tls(error: ssl.SSLError) -> bool:
    """Tells from a failed handshake whether what came was no TLS."""
    reason = (error.reason or "").upper()
    return any(
        word in reason for word in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE")
    )
