"""Configuration: keyword over environment over default, OpenTelemetry's path rules, and no secret in any message."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import environment_variables as api_names
from opentelemetry.sdk import environment_variables as sdk_names

from otel_phi import config as config_module
from otel_phi.config import Config, Options, destination, resolve
from otel_phi.config.tls_files import TlsFiles
from otel_phi.delivery.exporters.open import resource_of
from otel_phi.delivery.options import MAX_REQUEST_BYTES
from otel_phi.errors import ConfigError
from otel_phi.mapping.options import MappingOptions

SECRET = "hunter2hunter2"


def with_env(monkeypatch: pytest.MonkeyPatch, env: Mapping[str, str], **keywords: Any) -> Config:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    return resolve(**keywords)


def otlp(**env: str) -> dict[str, str]:
    return {f"OTEL_EXPORTER_OTLP_{name}": value for name, value in env.items()}


def test_the_defaults_are_opentelemetry_s() -> None:
    config = resolve()
    assert (config.endpoint, config.protocol) == ("http://localhost:4318/v1/traces", "http/protobuf")
    assert (config.headers, config.timeout_s, config.gzip, config.tls) == ({}, 10.0, True, TlsFiles())
    assert (config.exporters, config.disabled, config.sampler, config.proxy) == (("otlp",), False, "always_on", None)
    assert (config.max_request_bytes, config.give_up_after_s) == (MAX_REQUEST_BYTES, 60.0)
    assert config.mapping == MappingOptions()
    assert (
        resolve(file="out").max_request_bytes
        < MAX_REQUEST_BYTES
        == resolve(file="out", max_request_bytes=MAX_REQUEST_BYTES).max_request_bytes
    )
    assert resolve(protocol="grpc").endpoint == "http://localhost:4317"


def test_every_variable_we_read_is_one_of_opentelemetry_s_or_ours() -> None:
    import re

    known = (
        set(vars(sdk_names)) | set(vars(api_names)) | {"OTEL_PHI_TRACE_URL", "OTEL_PHI_STATE_DIR", "OTEL_PHI_PROFILE"}
    )
    source = Path(config_module.__file__).read_text() + Path(destination.__file__).read_text()
    for name in set(re.findall(r'"(OTEL_[A-Z_]+)"', source)):
        assert name in known, name
    for suffix in set(re.findall(r'otlp\("([A-Z_]+)"\)', source)):
        assert {f"OTEL_EXPORTER_OTLP_{suffix}", f"OTEL_EXPORTER_OTLP_TRACES_{suffix}"} <= known, suffix


@pytest.mark.parametrize(
    ("env", "keywords", "endpoint"),
    [
        (otlp(ENDPOINT="http://localhost:9"), {}, "http://localhost:9/v1/traces"),
        (otlp(ENDPOINT="http://localhost:9/"), {}, "http://localhost:9/v1/traces"),
        (otlp(ENDPOINT="http://localhost:9/otlp/"), {}, "http://localhost:9/otlp/v1/traces"),
        (otlp(TRACES_ENDPOINT="http://localhost:9/as/is/"), {}, "http://localhost:9/as/is/"),
        (otlp(TRACES_ENDPOINT="http://localhost:9"), {}, "http://localhost:9"),
        (otlp(ENDPOINT="http://localhost:8", TRACES_ENDPOINT="http://localhost:9/x"), {}, "http://localhost:9/x"),
        (otlp(ENDPOINT="http://localhost:8", TRACES_ENDPOINT=""), {}, "http://localhost:8/v1/traces"),
        (otlp(ENDPOINT="http://localhost:8"), {"endpoint": "http://localhost:9"}, "http://localhost:9/v1/traces"),
        ({}, {"endpoint": "http://localhost:9/"}, "http://localhost:9/v1/traces"),
        ({}, {"endpoint": "http://localhost:9/otlp"}, "http://localhost:9/otlp"),
        ({}, {"endpoint": "https://[::1]:9"}, "https://[::1]:9/v1/traces"),
        (otlp(ENDPOINT="http://localhost:9", PROTOCOL="grpc"), {}, "http://localhost:9"),
        (otlp(ENDPOINT="localhost:9", PROTOCOL="grpc"), {}, "https://localhost:9"),
        (otlp(ENDPOINT="localhost:9", PROTOCOL="grpc", INSECURE="true"), {}, "http://localhost:9"),
        ({}, {"endpoint": "http://localhost:9", "protocol": "grpc"}, "http://localhost:9"),
    ],
)
def test_endpoints(
    monkeypatch: pytest.MonkeyPatch, env: Mapping[str, str], keywords: Mapping[str, Any], endpoint: str
) -> None:
    assert with_env(monkeypatch, env, **keywords).endpoint == endpoint


@pytest.mark.parametrize(
    ("endpoint", "fix"),
    [
        ("collector:4318", "write 'http://collector:4318'"),
        ("localhost", "write 'http://localhost'"),
        (f"me:{SECRET}@collector:4318", "write 'http://collector:4318'"),
        ("ftp://collector", "write 'http://' or 'https://'"),
        ("http://", "names no host"),
        ("http://host:port", "is no URL"),
        ("http://host:99999", "is no URL"),
        ("http://[::1", "is no URL"),
        ("http://a b", "space"),
        ("http://host\r\nx", "control"),
    ],
)
def test_an_endpoint_that_cannot_be_is_an_error_with_the_fix(endpoint: str, fix: str) -> None:
    with pytest.raises(ConfigError, match=fix.replace("(", r"\(")) as caught:
        resolve(endpoint=endpoint)
    assert SECRET not in str(caught.value)


def test_a_bad_endpoint_in_the_environment_is_reported_once_and_ignored(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    env = otlp(ENDPOINT=f"me:{SECRET}@collector:4318")
    assert with_env(monkeypatch, env).endpoint == "http://localhost:4318/v1/traces"
    resolve()
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("otel_phi", "WARNING")
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in record.message
    assert SECRET not in caplog.text


def test_user_and_password_become_a_header_and_are_shown_nowhere() -> None:
    config = resolve(endpoint=f"https://me:{SECRET}@collector:4318/?key={SECRET}")
    assert config.headers == {"authorization": "Basic bWU6aHVudGVyMmh1bnRlcjI="}
    assert config.endpoint == f"https://collector:4318/v1/traces?key={SECRET}"
    assert config.display_endpoint == "https://collector:4318/v1/traces"
    assert SECRET not in repr(config)


def test_repr_names_headers_without_values() -> None:
    config = resolve(headers={"X-Api-Key": SECRET})
    assert "x-api-key" in repr(config)
    assert SECRET not in repr(config)
    assert "a callable" in repr(resolve(headers=lambda: {"a": SECRET}))


@pytest.mark.parametrize(
    ("env", "keywords", "headers"),
    [
        (otlp(HEADERS="a=1,B=2"), {}, {"a": "1", "b": "2"}),
        (otlp(HEADERS="a=1", TRACES_HEADERS="b=2"), {}, {"b": "2"}),
        (otlp(HEADERS="Authorization=Bearer%20x%3D%3D, c = d "), {}, {"authorization": "Bearer x==", "c": "d"}),
        (otlp(HEADERS="authorization=Bearer x=="), {}, {"authorization": "Bearer x=="}),
        (otlp(HEADERS=",a=1,,"), {}, {"a": "1"}),
        (otlp(HEADERS="a=1,b=1"), {"headers": {"A": "2"}}, {"a": "2", "b": "1"}),
    ],
)
def test_headers(
    monkeypatch: pytest.MonkeyPatch, env: Mapping[str, str], keywords: Mapping[str, Any], headers: Mapping[str, str]
) -> None:
    assert with_env(monkeypatch, env, **keywords).headers == headers


@pytest.mark.parametrize("entry", [SECRET, f"={SECRET}", f"a=%0d%0a{SECRET}", f"a b={SECRET}", f"a=ж{SECRET}"])
def test_a_malformed_header_in_the_environment_is_reported_without_its_text(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, entry: str
) -> None:
    assert with_env(monkeypatch, otlp(HEADERS=f"good=1,{entry}")).headers == {"good": "1"}
    assert "entry 2" in caplog.text
    assert SECRET not in caplog.text


def test_a_malformed_header_keyword_is_an_error_without_its_text() -> None:
    for headers in ({"a": f"{SECRET}\n"}, {SECRET + " ": "x"}, {"a": 7}, SECRET):
        with pytest.raises(ConfigError) as caught:
            resolve(headers=headers)  # type: ignore[arg-type]
        assert SECRET not in str(caught.value)


def test_a_callable_gets_the_environment_s_headers_beneath_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    config = with_env(monkeypatch, otlp(HEADERS="a=1,b=1"), headers=lambda: {"A": "2"})
    assert callable(config.headers)
    assert config.headers() == {"a": "2", "b": "1"}


@pytest.mark.parametrize("name", ["Authorization", "cookie", "x-api-key", "signoz-access-token", "Client-Secret"])
def test_credentials_do_not_cross_a_network_in_the_clear(name: str) -> None:
    for endpoint, protocol in (("http://collector:4318", "http/protobuf"), ("http://10.0.0.1:4317", "grpc")):
        with pytest.raises(ConfigError, match="unencrypted: use https, or say insecure=True") as caught:
            resolve(endpoint=endpoint, protocol=protocol, headers={name: SECRET})
        assert SECRET not in str(caught.value)
        assert resolve(endpoint=endpoint, protocol=protocol, headers={name: SECRET}, insecure=True)
    assert resolve(endpoint="https://collector:4318", headers={name: SECRET})
    for host in ("localhost", "127.0.0.1", "127.9.9.9", "[::1]", "agent.localhost"):
        assert resolve(endpoint=f"http://{host}:4318", headers={name: SECRET})


def test_a_callable_and_a_password_count_as_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="the headers callable"):
        resolve(endpoint="http://collector:4318", headers=dict)
    with pytest.raises(ConfigError, match="authorization"):
        resolve(endpoint="http://me:pw@collector:4318")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_INSECURE", "TRUE")
    assert resolve(endpoint="http://me:pw@collector:4318")


def test_plain_http_beyond_this_machine_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        resolve(endpoint="http://collector:4318", headers={"x-scope-orgid": "7"})
    assert len(caplog.records) == 1
    assert "unencrypted" in caplog.text


@pytest.mark.parametrize(
    ("env", "keywords", "field", "value"),
    [
        (otlp(TIMEOUT="3.5"), {}, "timeout_s", 3.5),
        (otlp(TIMEOUT="3", TRACES_TIMEOUT="4"), {}, "timeout_s", 4.0),
        (otlp(TIMEOUT="3"), {"timeout_s": 5}, "timeout_s", 5.0),
        (otlp(COMPRESSION="none"), {}, "gzip", False),
        (otlp(COMPRESSION="none", TRACES_COMPRESSION="GZIP"), {}, "gzip", True),
        (otlp(COMPRESSION="none"), {"compression": "gzip"}, "gzip", True),
        (otlp(PROTOCOL="grpc"), {}, "protocol", "grpc"),
        (otlp(PROTOCOL="grpc", TRACES_PROTOCOL="http/protobuf"), {}, "protocol", "http/protobuf"),
        (otlp(PROTOCOL="grpc"), {"protocol": "http/protobuf"}, "protocol", "http/protobuf"),
        (otlp(CERTIFICATE="a", TRACES_CERTIFICATE="b"), {}, "tls", TlsFiles("b")),
        (otlp(CERTIFICATE="a"), {"certificate": Path("c")}, "tls", TlsFiles("c")),
        (otlp(CLIENT_CERTIFICATE="a", CLIENT_KEY="b"), {}, "tls", TlsFiles(None, "a", "b")),
        ({"OTEL_TRACES_EXPORTER": "console"}, {}, "exporters", ("console",)),
        ({"OTEL_TRACES_EXPORTER": "console"}, {"exporter": "none"}, "exporters", ("none",)),
        ({"OTEL_TRACES_EXPORTER": "otlp_proto_grpc"}, {}, "endpoint", "http://localhost:4317"),
        ({"OTEL_SDK_DISABLED": "True"}, {}, "disabled", True),
        ({"OTEL_SDK_DISABLED": "1"}, {}, "disabled", False),
        ({"OTEL_SERVICE_NAME": "a", "OTEL_RESOURCE_ATTRIBUTES": "service.name=b"}, {}, "service_name", "a"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "x=y,service.name=b%20c"}, {}, "service_name", "b c"),
        ({"OTEL_SERVICE_NAME": "a"}, {"service_name": "c"}, "service_name", "c"),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, {}, "sampler", "always_off"),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}, {}, "sampler", "always_off"),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}, {}, "sampler", 0.25),
        ({"OTEL_TRACES_SAMPLER": "PARENTBASED_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}, {}, "sampler", 0.0),
        ({"OTEL_TRACES_SAMPLER": "traceidratio"}, {}, "sampler", 1.0),
        ({"OTEL_TRACES_SAMPLER_ARG": "0.25"}, {}, "sampler", "always_on"),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, {"sampler": 0.5}, "sampler", 0.5),
        ({"OTEL_PHI_TRACE_URL": "http://j/{trace_id}"}, {}, "trace_url", "http://j/{trace_id}"),
        ({"OTEL_PHI_STATE_DIR": "/x"}, {}, "state_dir", Path("/x")),
        ({"OTEL_PHI_STATE_DIR": "/x"}, {"state_dir": "/y"}, "state_dir", Path("/y")),
        ({"OTEL_PHI_PROFILE": "phoenix"}, {}, "profile", "phoenix"),
        ({"OTEL_PHI_PROFILE": "phoenix"}, {"profile": "tempo"}, "profile", "tempo"),
        ({"TRACEPARENT": f"00-{'A' * 32}-{'b' * 16}-01"}, {}, "traceparent", f"00-{'a' * 32}-{'b' * 16}-01"),
        ({}, {"give_up_after_s": math.inf}, "give_up_after_s", math.inf),
    ],
)
def test_keyword_over_traces_variable_over_common_variable(
    monkeypatch: pytest.MonkeyPatch, env: Mapping[str, str], keywords: Mapping[str, Any], field: str, value: object
) -> None:
    assert getattr(with_env(monkeypatch, env, **keywords), field) == value


@pytest.mark.parametrize(
    ("env", "field"),
    [
        (otlp(TIMEOUT="soon"), "timeout_s"),
        (otlp(TIMEOUT="-1"), "timeout_s"),
        (otlp(TIMEOUT="nan"), "timeout_s"),
        (otlp(COMPRESSION="brotli"), "gzip"),
        (otlp(PROTOCOL="http/json"), "protocol"),
        (otlp(CLIENT_KEY="a"), None),
        ({"OTEL_TRACES_SAMPLER": "jaeger_remote"}, "sampler"),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "2"}, None),
        ({"OTEL_TRACES_EXPORTER": "otlp_proto_http,otlp_proto_grpc"}, "protocol"),
        ({"OTEL_PHI_PROFILE": "zipkin"}, "profile"),
        ({"OTEL_PHI_TRACE_URL": "http://jaeger"}, "trace_url"),
        ({"TRACEPARENT": "yes"}, "traceparent"),
        ({"https_proxy": "http://"}, "proxy"),
    ],
)
def test_a_bad_variable_is_reported_once_and_the_default_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, env: Mapping[str, str], field: str | None
) -> None:
    default = resolve(endpoint="https://collector")
    found = with_env(monkeypatch, env, endpoint="https://collector")
    resolve(endpoint="https://collector")
    assert len(caplog.records) == 1
    if field is not None:
        assert getattr(found, field) == getattr(default, field)


def test_milliseconds_in_a_timeout_are_suspected(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert with_env(monkeypatch, otlp(TIMEOUT="10000")).timeout_s == 10000.0
    assert "seconds" in caplog.text


@pytest.mark.parametrize(
    ("keywords", "fix"),
    [
        ({"endpont": "x"}, "did you mean 'endpoint'"),
        ({"zzz": 1}, "use one of"),
        ({"protocol": "http/json"}, "use 'http/protobuf' or 'grpc'"),
        ({"timeout_s": 0}, "seconds above 0"),
        ({"timeout_s": "soon"}, "timeout_s"),
        ({"compression": "zip"}, "use 'gzip' or 'none'"),
        ({"sampler": "sometimes"}, "share from 0 to 1"),
        ({"sampler": 1.5}, "number from 0 to 1"),
        ({"trace_url": "http://jaeger"}, r"\{trace_id\}"),
        ({"give_up_after_s": -1}, "inf for never"),
        ({"give_up_after_s": math.nan}, "inf for never"),
        ({"max_request_bytes": 0}, "bytes above 0"),
        ({"client_key": "k"}, "give client_certificate too"),
        ({"profile": "zipkin"}, "use one of generic"),
        ({"trace_scope": "planet"}, "trace_scope"),
        ({"loop_layout": "round"}, "loop_layout"),
        ({"tool_spans": "maybe"}, "tool_spans"),
    ],
)
def test_a_bad_keyword_is_an_error_with_the_fix_in_it(keywords: Mapping[str, Any], fix: str) -> None:
    with pytest.raises(ConfigError, match=fix):
        resolve(**keywords)


def test_none_means_not_given() -> None:
    nothing: Any = dict.fromkeys(Options.__annotations__)
    assert resolve(**nothing) == resolve()


def test_every_mapping_option_is_a_keyword() -> None:
    assert set(MappingOptions.__struct_fields__) <= set(Options.__annotations__)


def test_profile_and_explicit_options_reach_the_mapping() -> None:
    assert resolve(profile="phoenix").mapping.trace_scope == "loop"
    assert resolve(profile="phoenix", trace_scope="session").mapping.trace_scope == "session"
    assert resolve(profile="tempo", service_name="svc").mapping.service_name == "svc"


def test_the_resource_carries_name_and_attributes() -> None:
    resource = resource_of(resolve(service_name="svc", resource_attributes={"team": "phi"}))
    assert (resource.get("service.name"), resource.get("team")) == ("svc", "phi")


def test_importing_the_configuration_loads_neither_grpc_nor_the_sdk() -> None:
    code = (
        "import sys, otel_phi.config; otel_phi.config.resolve()\n"
        "bad = [m for m in sys.modules if m.split('.')[0] in ('grpc', 'google', 'opentelemetry', 'urllib3')]\n"
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("resource_attributes", 5), ("resource_attributes", ["a"]), ("state_dir", 5), ("state_dir", "a\0b"), ("endpoint", 5),
        ("endpoint", b"http://x"), ("file", 5), ("service_name", 5), ("insecure", "yes"), ("max_attribute_bytes", -1),
        ("max_attribute_bytes", "x"), ("join", 1),
    ],
)  # fmt: skip
def test_a_keyword_of_another_type_is_an_error_that_names_it(option: str, value: object) -> None:
    options: Any = {option: value}
    with pytest.raises(ConfigError, match=f"{option}|size"):
        resolve(**options)
