"""The resource is what OpenTelemetry detects, with its precedence, and always names the host."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import otel_phi
from otel_phi.delivery.exporters.open import resource_of
from otel_phi.delivery.otlp.resource import detect_resource
from tests import golden


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS"):
        monkeypatch.delenv(name, raising=False)


def test_without_any_name_it_is_opentelemetry_s_unknown_service() -> None:
    assert str(detect_resource().get("service.name")).startswith("unknown_service")


def test_the_keyword_beats_extra_beats_the_service_variable_beats_the_attributes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=four,deployment.environment.name=test%20bed")
    assert detect_resource().get("service.name") == "four"
    monkeypatch.setenv("OTEL_SERVICE_NAME", "three")
    assert detect_resource().get("service.name") == "three"
    extra = {"service.name": "two"}
    assert detect_resource(extra=extra).get("service.name") == "two"
    resource = detect_resource("one", extra)
    assert resource.get("service.name") == "one"
    assert resource.get("deployment.environment.name") == "test bed"
    assert resource.get("telemetry.sdk.name") == "opentelemetry"


def test_the_host_is_always_named_but_never_renamed() -> None:
    assert detect_resource().get("host.name") == socket.gethostname()
    assert detect_resource(extra={"host.name": "elsewhere"}).get("host.name") == "elsewhere"


def test_detectors_from_the_environment_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS", "otel,os,process")
    resource = detect_resource()
    assert resource.get("os.type")
    assert isinstance(resource.get("process.pid"), int)


@pytest.mark.parametrize("name", ["mine", None])
def test_where_no_thread_can_be_started_it_is_the_same_resource(
    name: str | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The SDK asks its detectors in threads."""
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,service.instance.id=theirs")
    before = detect_resource(name, {"a": ("x", "y")})

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("thread is not supported for isolated subinterpreters")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert detect_resource(name, {"a": ("x", "y")}) == before
    assert [record.getMessage() for record in caplog.records if record.name == "otel_phi"] != []


def test_equal_resources_have_equal_attributes_in_one_order() -> None:
    one = detect_resource("x", {"b": 1, "a": ("x", "y")})
    other = detect_resource("x", {"a": ("x", "y"), "b": 1})
    assert one == other
    assert [key for key, _ in one.attributes] == sorted(key for key, _ in one.attributes)


def test_no_random_instance_id_enters_the_resource_but_a_given_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    assert detect_resource("x").get("service.instance.id") is None
    assert detect_resource("x", {"service.instance.id": "mine"}).get("service.instance.id") == "mine"
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=theirs")
    assert detect_resource("x").get("service.instance.id") == "theirs"


def test_two_processes_make_the_same_request_of_the_same_session(tmp_path: Path) -> None:
    """What is sent again is byte-identical, also by the next process: backends show it once."""
    files = [tmp_path / "one.otlp.jsonl", tmp_path / "two.otlp.jsonl"]
    for file in files:
        command = [sys.executable, "-m", "otel_phi.cli", "export", str(golden.DEMO), "--file", str(file)]
        subprocess.run(command, check=True, capture_output=True)
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize(("profile", "ip"), [("jaeger", "box"), ("tempo", None), (None, None)])
def test_the_jaeger_profile_names_the_host_as_jaeger_tells_hosts_apart(profile: str | None, ip: str | None) -> None:
    config = otel_phi.resolve(profile=profile, resource_attributes={"host.name": "box"})
    assert resource_of(config).get("ip") == ip


def test_an_ip_that_somebody_gave_stays() -> None:
    config = otel_phi.resolve(profile="jaeger", resource_attributes={"ip": "10.0.0.7"})
    assert resource_of(config).get("ip") == "10.0.0.7"
