"""`otel-phi check --endpoint`: each way an endpoint can be wrong is told by its step, and nothing secret is said."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from otel_phi.cli.checking.probe import MARK, STEPS
from otel_phi.cli.checking.rules import ENDPOINT_RULES
from otel_phi.cli.checking.wire_words import meant
from otel_phi.testing import Receiver
from tests.cli.conftest import Run
from tests.delivery.exporters.test_tls import serving as secured

SECRET = "s3cr3t-token-of-mine"


@pytest.fixture(scope="module")
def both() -> Iterator[Receiver]:
    with Receiver(grpc=True) as served:
        yield served


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def steps(run: Run, *arguments: object, code: int) -> dict[str, tuple[str, str | None]]:
    """Returns outcome and rule of each step."""
    result = run("check", "--json", "--endpoint", *arguments)
    assert result.exit_code == code, result.output
    found = json.loads(result.stdout)
    assert tuple(step["step"] for step in found["steps"]) == STEPS
    return {step["step"]: (step["outcome"], step["rule"]) for step in found["steps"]}


def failed(found: dict[str, tuple[str, str | None]]) -> tuple[str, str | None]:
    """Returns the step that failed and its rule; those behind it were skipped, those before it were not."""
    names = [name for name in STEPS if found[name][0] == "failed"]
    assert len(names) == 1
    at = STEPS.index(names[0])
    assert {found[name][0] for name in STEPS[:at]} <= {"ok", "skipped", "warning"}
    assert {found[name][0] for name in STEPS[at + 1 :]} <= {"skipped"}
    return names[0], found[names[0]][1]


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that is taken, so that nobody else takes it, and that nobody listens on."""
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        yield line.getsockname()[1]


@contextlib.contextmanager
def answering(status: int, kind: str, body: bytes = b"hello") -> Iterator[str]:
    """An HTTP server that answers everything alike."""

    class Page(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def greeting(words: bytes, heard: list[bytes] | None = None) -> Iterator[str]:
    """A server that says something at once, hears what it is told and hangs up: no HTTP and no gRPC."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                line, _ = listening.accept()
            except OSError:
                return
            with line, contextlib.suppress(OSError):
                line.sendall(words)
                told = line.recv(65_536)
                if heard is not None:
                    heard.append(told)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


def pem(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


# --- all is well -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_collector_is_well_and_keeps_nothing_of_the_question(protocol: str, both: Receiver, run: Run) -> None:
    endpoint, before = (both.grpc_endpoint if protocol == "grpc" else both.endpoint), len(both.spans)
    found = steps(run, endpoint, "--protocol", protocol, code=0)
    assert {name: outcome for name, (outcome, _) in found.items() if outcome != "ok"} == {"span": "skipped"}
    assert len(both.spans) == before


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_one_marked_span_is_sent_where_it_is_asked_for(protocol: str, both: Receiver, run: Run) -> None:
    endpoint, before = (both.grpc_endpoint if protocol == "grpc" else both.endpoint), len(both.spans)
    result = run("check", "--endpoint", endpoint, "--protocol", protocol, "--send")
    assert result.exit_code == 0
    (span,) = both.spans[before:]
    assert span.get(MARK) is True
    assert f"{span.trace_id:032x}" in result.stdout


def test_without_a_url_the_configured_endpoint_is_asked(
    both: Receiver, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", both.endpoint)
    result = run("check", "--json", "--endpoint")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["endpoint"] == f"{both.endpoint}/v1/traces"


# --- the way there ---------------------------------------------------------------------------------------------------------


def test_a_name_that_does_not_resolve(run: Run) -> None:
    assert failed(steps(run, "http://collector.invalid:4318", code=6)) == ("resolves", "name-unknown")


def test_a_closed_port(closed_port: int, run: Run) -> None:
    assert failed(steps(run, f"http://127.0.0.1:{closed_port}", code=6)) == ("connects", "no-connection")


def test_a_socket_that_is_not_there(tmp_path: Path, run: Run) -> None:
    found = steps(run, f"unix://{tmp_path}/none.sock", "--protocol", "grpc", "--timeout", "5", code=6)
    assert failed(found) == ("request", "no-connection")


def test_a_proxy_is_the_way_there(both: Receiver, closed_port: int, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://me:{SECRET}@127.0.0.1:{closed_port}")
    found = run("check", "--endpoint", "http://collector.invalid:4318")
    assert found.exit_code == 6
    assert "the proxy: 127.0.0.1" in found.stdout
    assert SECRET not in found.output
    monkeypatch.setenv("http_proxy", both.endpoint)  # which takes what is meant for another host, as a proxy does
    reached = steps(run, "http://collector.invalid:4318", code=0)
    assert (reached["protocol"][0], reached["request"][0]) == ("skipped", "ok")


def test_a_certificate_of_an_authority_that_nobody_trusts(authority: trustme.CA, run: Run) -> None:
    with secured(authority.issue_cert("127.0.0.1")) as served:
        assert failed(steps(run, served.endpoint, code=6)) == ("TLS", "tls-untrusted")


def test_a_certificate_for_another_name(authority: trustme.CA, tmp_path: Path, run: Run) -> None:
    with secured(authority.issue_cert("elsewhere.example")) as served:
        found = steps(run, served.endpoint, "--certificate", pem(authority, tmp_path), code=6)
        assert failed(found) == ("TLS", "tls-untrusted")


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_trusted_certificate_is_well(authority: trustme.CA, protocol: str, tmp_path: Path, run: Run) -> None:
    with secured(authority.issue_cert("localhost", "127.0.0.1")) as served:
        endpoint = served.grpc_endpoint if protocol == "grpc" else served.endpoint
        found = steps(run, endpoint, "--protocol", protocol, "--certificate", pem(authority, tmp_path), code=0)
        assert found["TLS"] == ("ok", None)
        assert found["request"] == ("ok", None)


def test_a_certificate_that_ends_soon_is_a_warning(authority: trustme.CA, tmp_path: Path, run: Run) -> None:
    ends = dt.datetime.now(dt.timezone.utc) + dt.timedelta(days=3)
    with secured(authority.issue_cert("127.0.0.1", not_after=ends)) as served:
        found = steps(run, served.endpoint, "--certificate", pem(authority, tmp_path), code=5)
        assert found["TLS"] == ("warning", "certificate-ends")


def test_a_server_that_wants_our_certificate(authority: trustme.CA, tmp_path: Path, run: Run) -> None:
    with secured(authority.issue_cert("127.0.0.1"), authority) as served:
        found = steps(run, served.endpoint, "--certificate", pem(authority, tmp_path), code=6)
        assert failed(found)[1] == "tls-failed"  # TLS 1.3 says it behind the handshake


def test_https_to_a_server_without_tls(both: Receiver, run: Run) -> None:
    assert failed(steps(run, both.endpoint.replace("http:", "https:"), code=6)) == ("TLS", "tls-not-spoken")


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_http_to_a_server_that_speaks_tls(authority: trustme.CA, protocol: str, run: Run) -> None:
    with secured(authority.issue_cert("127.0.0.1")) as served:
        endpoint = (served.grpc_endpoint if protocol == "grpc" else served.endpoint).replace("https:", "http:")
        assert failed(steps(run, endpoint, "--protocol", protocol, code=6)) == ("TLS", "tls-wanted")


# --- what is there ---------------------------------------------------------------------------------------------------------


def test_http_to_a_grpc_port(both: Receiver, run: Run) -> None:
    assert failed(steps(run, both.grpc_endpoint, code=6)) == ("protocol", "speaks-grpc")


def test_grpc_to_an_http_port(both: Receiver, run: Run) -> None:
    assert failed(steps(run, both.endpoint, "--protocol", "grpc", code=6)) == ("protocol", "speaks-http")


def test_the_wrong_protocol_over_tls(authority: trustme.CA, tmp_path: Path, run: Run) -> None:
    trusting = ("--certificate", pem(authority, tmp_path))
    with secured(authority.issue_cert("127.0.0.1")) as served:
        assert failed(steps(run, served.grpc_endpoint, *trusting, code=6)) == ("protocol", "speaks-grpc")
        found = steps(run, served.endpoint, "--protocol", "grpc", *trusting, code=6)
        assert failed(found) == ("protocol", "speaks-http")


def test_a_server_that_speaks_neither(run: Run) -> None:
    with greeting(b"SSH-2.0-OpenSSH_9.2\r\n") as endpoint:
        assert failed(steps(run, endpoint, code=6)) == ("protocol", "speaks-neither")


@pytest.mark.parametrize(
    ("status", "step", "rule"),
    [
        (401, "authorization", "unauthorized"),
        (403, "authorization", "unauthorized"),
        (404, "path", "wrong-path"),
        (405, "path", "wrong-path"),
        (302, "path", "no-collector"),
        (400, "request", "not-taken"),
        (500, "request", "not-taken"),
        (429, "request", "not-now"),
        (503, "request", "not-now"),
    ],
)
def test_an_answer_of_http_is_told_by_its_step(status: int, step: str, rule: str, receiver: Receiver, run: Run) -> None:
    receiver.answer(status=status)
    assert failed(steps(run, receiver.endpoint, code=6)) == (step, rule)


@pytest.mark.parametrize(
    ("status", "step", "rule"),
    [
        ("UNAUTHENTICATED", "authorization", "unauthorized"),
        ("PERMISSION_DENIED", "authorization", "unauthorized"),
        ("UNIMPLEMENTED", "path", "wrong-path"),
        ("UNAVAILABLE", "request", "not-now"),
        ("INTERNAL", "request", "not-taken"),
    ],
)
def test_an_answer_of_grpc_is_told_by_its_step(status: str, step: str, rule: str, both: Receiver, run: Run) -> None:
    both.answer(grpc_status=status)
    assert failed(steps(run, both.grpc_endpoint, "--protocol", "grpc", code=6)) == (step, rule)


@pytest.mark.parametrize(
    ("status", "kind"), [(200, "text/html"), (200, "text/plain"), (404, "text/html"), (501, "text/html")]
)
def test_a_web_server_is_no_collector(status: int, kind: str, run: Run) -> None:
    with answering(status, kind) as endpoint:
        assert failed(steps(run, endpoint, code=6)) == ("path", "no-collector")


def test_a_path_without_v1_traces_says_what_to_append(run: Run) -> None:
    with answering(404, "text/plain", b"404 page not found") as endpoint:
        result = run("check", "--endpoint", f"{endpoint}/otlp")
    assert result.exit_code == 6
    assert f"append /v1/traces: {endpoint}/otlp/v1/traces" in " ".join(result.stdout.split())


def test_a_span_that_is_rejected(receiver: Receiver, run: Run) -> None:
    receiver.answer()  # the empty request
    receiver.answer(rejected=1, message="no such tenant")
    result = run("check", "--endpoint", receiver.endpoint, "--send")
    assert result.exit_code == 6
    assert "rejected: no such tenant" in result.stdout


# --- secrets ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_no_header_and_no_part_of_a_url_that_may_be_secret_is_said(
    form: list[str], receiver: Receiver, run: Run
) -> None:
    receiver.answer(status=401, body=f"Bearer {SECRET} is not valid".encode())
    host = receiver.endpoint.removeprefix("http://")
    result = run(
        "check", *form, "--endpoint", f"http://me:{SECRET}@{host}/v1/traces?token={SECRET}",
        "--header", f"x-api-key={SECRET}", "--header", f"authorization=Bearer {SECRET}",
    )  # fmt: skip
    assert result.exit_code == 6
    assert SECRET not in result.output
    assert "x-api-key" in result.output


def test_nothing_of_ours_goes_to_what_speaks_another_protocol(run: Run) -> None:
    heard: list[bytes] = []
    with greeting(b"220 mail.example ESMTP\r\n", heard) as endpoint:
        assert run("check", "--endpoint", endpoint, "--header", f"a={SECRET}").exit_code == 6
    assert b"GET / HTTP/1.1" in b"".join(heard)
    assert SECRET.encode() not in b"".join(heard)


def test_the_steps_fit_the_width(closed_port: int, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    shown = run("check", "--endpoint", f"http://127.0.0.1:{closed_port}").stdout
    assert max(map(len, shown.splitlines())) <= 60
    assert "fix: Start the collector" in shown


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 404 Not Found", "HTTP"),
        (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00", "gRPC"),
        (b"\x00\x00\x08\x07\x00\x00\x00\x00\x00", "gRPC"),
        (b"\x00\x00\x12\x04", ""),
        (b"SSH-2.0-Op", ""),
        (b"", ""),
    ],
)
def test_the_first_bytes_tell_the_protocol(answer: bytes, expected: str) -> None:
    assert meant(answer) == expected


def test_every_rule_about_endpoints_is_in_a_test_of_this_file() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert {rule.id for rule in ENDPOINT_RULES if f'"{rule.id}"' not in text} == set()
