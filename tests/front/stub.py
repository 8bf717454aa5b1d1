"""A model provider on the loopback: it speaks as OpenAI, Anthropic and Google do, whole and streamed, and never thinks."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.front import answers as a


class Stub(ThreadingHTTPServer):
    """Answers every request; `asked` holds the bodies, `refuse` makes it answer with a status from then on.

    Attributes:
        asked: path and body of each request.
        refuse: HTTP status of every answer, 0 for good ones.
        endless: whether answers, all streamed, have no end.
        url: where it listens.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, Any]] = []
        self.refuse = 0
        self.endless = False
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Lets a client go that hung up."""


@contextmanager
def stub() -> Iterator[Stub]:
    """Runs a provider."""
    with Stub() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Stub

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
        self.server.asked.append((self.path, body))
        if self.server.refuse:
            self._send(
                self.server.refuse, json.dumps({"error": {"message": "no", "type": "refused"}}), "application/json"
            )
            return
        if self.server.endless:
            self._send_for_ever()
            return
        whole, pieces = _answers(self.path, body)
        if body.get("stream") or "streamGenerateContent" in self.path:
            self._send(200, "".join(_events(pieces, self.path)), "text/event-stream")
        else:
            self._send(200, json.dumps(whole), "application/json")

    def _send(self, status: int, text: str, kind: str) -> None:
        content = text.encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _send_for_ever(self) -> None:
        """Streams an answer that has no end, until the client hangs up; a client that never does is left after a minute."""
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for _ in range(3_000):
            self.wfile.write("".join(_events([a.CHUNKS[1]], "")).encode())
            self.wfile.flush()
            time.sleep(0.02)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # its name there
        """Says nothing."""


def _answers(path: str, body: a.Json) -> tuple[a.Json, list[a.Json]]:
    if path.endswith("/chat/completions"):
        usage = (body.get("stream_options") or {}).get("include_usage")
        choice = _chat_choice(body)
        calls = choice["message"].get("tool_calls")
        pieces = a.CHUNKS if calls is None else _calling(calls)
        return {**a.CHAT, "choices": [choice]}, pieces if usage else pieces[:-1]
    if path.endswith("/responses"):
        return a.RESPONSE, a.EVENTS
    if path.endswith("/messages"):
        return a.MESSAGE, _using_tools(body) or a.STREAMED
    return a.GEMINI, a.GEMINI_STREAM


def _chat_choice(body: a.Json) -> a.Json:
    """Returns the choice that asks for the tools it is offered, until it has an answer of one."""
    offered = [tool["function"]["name"] for tool in body.get("tools") or ()]
    answered = any(message["role"] == "tool" for message in body["messages"])
    if not offered or answered:
        return {
            "index": 0,
            "finish_reason": "stop",
            "logprobs": None,
            "message": {"role": "assistant", "content": "Hello"},
        }
    calls = [
        {"id": f"call_{number}", "type": "function", "function": {"name": name, "arguments": '{"city": "Lima"}'}}
        for number, name in enumerate(offered)
    ]
    said = {"role": "assistant", "content": None, "tool_calls": calls}
    return {"index": 0, "finish_reason": "tool_calls", "logprobs": None, "message": said}


def _using_tools(body: a.Json) -> list[a.Json]:
    """Returns Anthropic's events of an answer that asks for the tools offered, none once one is answered."""
    offered = [tool["name"] for tool in body.get("tools") or ()]
    if not offered or any(isinstance(one["content"], list) and one["role"] == "user" for one in body["messages"]):
        return []
    events = [a.STREAMED[0]]
    for index, name in enumerate(offered):
        block = {"type": "tool_use", "id": f"toolu_{index}", "name": name, "input": {}}
        given = {"type": "input_json_delta", "partial_json": '{"city": "Lima"}'}
        events += [
            {"type": "content_block_start", "index": index, "content_block": block},
            {"type": "content_block_delta", "index": index, "delta": given},
            {"type": "content_block_stop", "index": index},
        ]
    end = {**a.STREAMED[5], "delta": {"stop_reason": "tool_use", "stop_sequence": None}}
    return [*events, end, a.STREAMED[6]]


def _calling(calls: list[a.Json]) -> list[a.Json]:
    """Returns the chunks of an answer that asks for tools."""
    begun = a.chunk({"role": "assistant", "content": None})
    asked = [a.chunk({"tool_calls": [{"index": index, **call}]}) for index, call in enumerate(calls)]
    return [begun, *asked, a.chunk({}, "tool_calls"), a.CHUNKS[-1]]


def _events(pieces: Iterable[a.Json], path: str) -> Iterator[str]:
    for piece in pieces:
        if "type" in piece:
            yield f"event: {piece['type']}\n"
        yield f"data: {json.dumps(piece)}\n\n"
    if path.endswith("/chat/completions"):
        yield "data: [DONE]\n\n"
