"""The receiver's gRPC side."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import grpc

from otel_phi.delivery.exporters.grpc import METHOD
from otel_phi.testing.answers import Answer
from otel_phi.testing.http_server import MAX_BODY_BYTES, METRICS_METHOD, Take


class GrpcServer:
    """Serves OTLP/gRPC on a free loopback port until closed.

    Args:
        take: gets method, metadata, message and peer of each call.
        tls: key, certificate chain and the CA of client certificates (None to ask for none), PEM; None for plain text.
        max_message_bytes: larger messages are refused with RESOURCE_EXHAUSTED, as real servers do at 4 MiB.
    """

    def __init__(
        self, take: Take, tls: tuple[bytes, bytes, bytes | None] | None, max_message_bytes: int = MAX_BODY_BYTES
    ) -> None:
        self._take = take
        # Threads enough for the delays of a test, not more.
        self._server = grpc.server(
            ThreadPoolExecutor(max_workers=8), options=[("grpc.max_receive_message_length", max_message_bytes)]
        )
        for path in (METHOD, METRICS_METHOD):
            service, _, name = path.lstrip("/").partition("/")
            method = grpc.unary_unary_rpc_method_handler(partial(self._export, path))
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {name: method}),))
        if tls is None:
            port = self._server.add_insecure_port("127.0.0.1:0")
        else:
            key, chain, client_ca = tls
            credentials = grpc.ssl_server_credentials(
                [(key, chain)], client_ca, require_client_auth=client_ca is not None
            )
            port = self._server.add_secure_port("127.0.0.1:0", credentials)
        self.endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        self._server.start()

    def close(self) -> None:
        """Stops serving and cuts open calls."""
        self._server.stop(grace=None).wait()

    def _export(self, path: str, message: bytes, context: grpc.ServicerContext) -> bytes:
        metadata = {str(key): str(value) for key, value in context.invocation_metadata()}
        answer = self._take(path, metadata, message, context.peer())
        time.sleep(answer.delay_s)
        if answer.reset:  # what a client of gRPC makes of a reset; it was not recorded, and must not read as taken
            context.abort(grpc.StatusCode.UNAVAILABLE, "connection reset")
        if answer.grpc_status != "OK":
            if answer.retry_after_s is not None:
                context.set_trailing_metadata((("grpc-status-details-bin", _retry_info(answer)),))
            context.abort(grpc.StatusCode[answer.grpc_status], answer.message)
        return answer.response()


def _retry_info(answer: Answer) -> bytes:
    """Packs a RetryInfo as real servers do: in a google.rpc.Status in a trailer."""
    from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]  # it ships no stubs
    from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # it ships no stubs

    info = RetryInfo()
    seconds = answer.retry_after_s or 0.0
    info.retry_delay.seconds = int(seconds)
    info.retry_delay.nanos = int((seconds - int(seconds)) * 1e9)
    status = Status(message=answer.message)
    status.details.add().Pack(info)
    packed: bytes = status.SerializeToString()
    return packed
