"""Servers that say exactly these bytes: what a library's server never says, half an answer above all."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator

# HTTP/2 frame types and flags, RFC 9113.
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
END_STREAM, END_HEADERS, ACK = 1, 4, 1
PREFACE_BYTES = 24
EMPTY_MESSAGE = b"\x00" + struct.pack(">I", 0)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def field(name: bytes, value: bytes) -> bytes:
    """Returns a header field as HPACK has it without any table."""
    return b"\x00" + bytes((len(name),)) + name + bytes((len(value),)) + value


def headers(stream: int, *, end: bool = False, status: bytes = b"200", kind: bytes = b"application/grpc") -> bytes:
    flags = END_HEADERS | (END_STREAM if end else 0)
    return frame(HEADERS, flags, stream, field(b":status", status) + field(b"content-type", kind))


def trailers(stream: int) -> bytes:
    return frame(HEADERS, END_HEADERS | END_STREAM, stream, field(b"grpc-status", b"0"))


@contextlib.contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """Serves each connection in a thread; yields `http://host:port`."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=one, args=(connection,), daemon=True).start()

        def one(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError, EOFError):
                serve(connection)

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


def saying(answer: bytes) -> contextlib.AbstractContextManager[str]:
    """Reads an HTTP/1 request whole, says this and closes."""

    def serve(connection: socket.socket) -> None:
        stream = connection.makefile("rb")
        length = 0
        while (line := stream.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        stream.read(length)
        connection.sendall(answer)

    return listening(serve)


def greeting(answer: bytes) -> contextlib.AbstractContextManager[str]:
    """Says this to whatever comes first and closes, as HTTP/1 servers do with HTTP/2 and the reverse."""

    def serve(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 16):  # closed with something unread, the other side may lose the answer
            continue

    return listening(serve)


def grpc_saying(answer: Callable[[int], bytes], *, close: bool) -> contextlib.AbstractContextManager[str]:
    """Speaks HTTP/2 as far as need be, and answers each call with these frames; then closes, if asked to.

    Args:
        answer: gets the stream's number.
        close: close the connection behind it.
    """

    def serve(connection: socket.socket) -> None:
        stream = connection.makefile("rb")
        connection.sendall(frame(SETTINGS, 0, 0))
        stream.read(PREFACE_BYTES)
        while len(head := stream.read(9)) == 9:
            payload = stream.read(int.from_bytes(head[:3], "big"))
            kind, flags, number = head[3], head[4], int.from_bytes(head[5:], "big")
            if kind in (SETTINGS, PING) and not flags & ACK:
                connection.sendall(frame(kind, ACK, 0, payload if kind == PING else b""))
            elif kind == DATA and flags & END_STREAM:
                connection.sendall(answer(number))
                if close:
                    return

    return listening(serve)
