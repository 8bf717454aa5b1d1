"""`otel-phi check` without arguments: what counts, where it comes from, what is wrong with it, and never a secret."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from otel_phi.cli.checking.rules import CONFIGURATION_RULES
from otel_phi.cli.outbox.status import DestinationStatus, LeftAlone, OutboxStatus
from otel_phi.config.config import Options
from otel_phi.config.origins import KNOWN_VARIABLES, VARIABLES
from tests import golden
from tests.cli.conftest import Run

SECRET = "s3cr3t-token-of-mine"


def checked(run: Run, *arguments: object, code: int) -> dict[str, Any]:
    result = run("check", "--json", *arguments)
    assert result.exit_code == code, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def options(found: dict[str, Any]) -> dict[str, tuple[str, str, str | None]]:
    return {one["option"]: (one["value"], one["origin"], one["name"]) for one in found["options"]}


def rules(found: dict[str, Any]) -> dict[str, str]:
    return {one["rule"]: one["what"] for one in found["findings"]}


def test_an_untouched_configuration_is_clean_and_all_by_default(run: Run) -> None:
    found = checked(run, code=0)
    assert found["findings"] == []
    assert (found["waiting"], found["dead"]) == (0, 0)
    shown = options(found)
    assert shown["endpoint"] == ("http://localhost:4318/v1/traces", "default", None)
    set_here = {name for name, (_, origin, _) in shown.items() if origin != "default"}
    assert set_here == {"state_dir"}  # the tests' own


@pytest.mark.parametrize(
    ("variable", "value", "option", "shown"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1", "endpoint", "http://127.0.0.1:1/v1/traces"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:1/x", "endpoint", "http://127.0.0.1:1/x"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "protocol", "grpc"),
        ("OTEL_TRACES_EXPORTER", "otlp_proto_grpc", "protocol", "grpc"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=b,c=d", "headers", "a, c"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "3", "timeout_s", "3 s"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "none", "compression", "none"),
        ("OTEL_EXPORTER_OTLP_INSECURE", "true", "insecure", "yes"),
        ("OTEL_SERVICE_NAME", "mine", "service_name", "mine"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=mine,a.b=c", "service_name", "mine"),
        ("OTEL_RESOURCE_ATTRIBUTES", "team=x,a.b=c", "resource_attributes", "a.b, team"),
        ("OTEL_TRACES_SAMPLER", "always_off", "sampler", "always_off"),
        ("OTEL_PHI_PROFILE", "phoenix", "profile", "phoenix"),
        ("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY", "capture_content", "yes"),
        ("OTEL_PHI_METRICS", "1", "metrics", "yes"),
        ("OTEL_PHI_STRICT", "log", "strict", "log"),
        ("OTEL_PHI_TRACE_URL", "http://x/{trace_id}", "trace_url", "http://x/{trace_id}"),
    ],
)
def test_a_value_names_the_variable_it_comes_from(
    variable: str, value: str, option: str, shown: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    assert options(checked(run, code=0))[option] == (shown, "variable", variable)


def test_a_proxy_is_named_by_the_variable_of_the_endpoints_scheme(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:{SECRET}@proxy.example:3128")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector.example")
    shown = options(checked(run, code=0))
    assert shown["proxy"] == ("http://proxy.example:3128", "variable", "HTTPS_PROXY")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    assert options(checked(run, code=0))["proxy"][1] == "default"


def test_a_flag_wins_over_a_variable_and_a_profile_over_a_default(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3")
    monkeypatch.setenv("OTEL_PHI_PROFILE", "tempo")
    shown = options(checked(run, "--timeout", "5", "--trace-scope", "loop", "--header", "a=b", code=0))
    assert shown["timeout_s"] == ("5 s", "flag", "--timeout")
    assert shown["headers"] == ("a", "flag", "--header")
    assert shown["trace_scope"] == ("loop", "flag", "--trace-scope")
    assert shown["max_attribute_bytes"] == ("2.0 KiB", "profile", "tempo")


def test_a_bad_variable_is_a_warning_each_time_and_counts_for_nothing(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "soon")
    for _ in range(2):  # the log says it once a process
        found = checked(run, code=5)
        assert rules(found)["variable-ignored"].startswith("OTEL_EXPORTER_OTLP_TIMEOUT: ")
        assert options(found)["timeout_s"] == ("10 s", "default", None)


def test_a_slip_in_a_variables_name_is_a_warning_with_the_nearest(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENPOINT", "http://x")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://x")  # OpenTelemetry's own
    found = rules(checked(run, code=5))
    assert found == {"variable-unknown": "OTEL_EXPORTER_OTLP_ENPOINT; did you mean OTEL_EXPORTER_OTLP_ENDPOINT?"}


@pytest.mark.parametrize(("variable", "value"), [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")])
def test_that_nothing_is_sent_is_a_warning(
    variable: str, value: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    assert set(rules(checked(run, code=5))) == {"nothing-sent"}


def test_a_certificate_that_is_not_there_is_an_error(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector.example")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(tmp_path / "none.pem"))
    assert set(rules(checked(run, code=6))) == {"exporter-unusable"}


def test_credentials_in_the_clear_are_refused_by_the_environment_and_usage_by_flag(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector.example:4318")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"authorization={SECRET}")
    found = checked(run, code=6)
    assert "authorization would go to" in rules(found)["configuration-refused"]
    assert options(found)["endpoint"] == ("-", "variable", "OTEL_EXPORTER_OTLP_ENDPOINT")
    assert run("check", "--header", "x-api-key=1").exit_code == 2


def test_a_state_folder_that_cannot_be_made_is_a_warning(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("OTEL_PHI_STATE_DIR", str(tmp_path / "file" / "state"))
    assert set(rules(checked(run, code=5))) == {"state-folder"}
    assert not (tmp_path / "file" / "state").exists()


def test_what_waits_in_the_outbox_is_told(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(DestinationStatus, frozen=True):  # instead of a folder that holds it all
        waiting = property(lambda _: 3)
        letters = property(lambda _: ("a", "b"))
        damaged_lines = property(lambda _: 1)

    found = OutboxStatus(tmp_path, (Full("x", "http://x"),), (LeftAlone("old", "of another format"),))
    monkeypatch.setattr("otel_phi.cli.outbox.status.outbox_status", lambda _: found)
    told = checked(run, code=6)
    assert {(one["rule"], one["count"]) for one in told["findings"]} == {
        ("waiting", 3),
        ("dead-letters", 2),
        ("outbox-damaged", 1),
        ("outbox-left-alone", 1),
    }
    assert (told["waiting"], told["dead"]) == (3, 2)


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_no_secret_of_a_header_or_url_is_ever_said(form: list[str], run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"https://me:{SECRET}@collector.example/v1/traces?token={SECRET}#{SECRET}"
    for name in ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"):
        monkeypatch.setenv(name, url)
    monkeypatch.setenv("OTEL_PHI_METRICS", "1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"authorization={SECRET},{SECRET}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_HEADERS", f"x-api-key={SECRET},{SECRET}")
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:{SECRET}@proxy.example:3128")
    monkeypatch.setenv("OTEL_PHI_TRACE_URL", f"https://me:{SECRET}@x.example/{{trace_id}}?key={SECRET}")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", f"token={SECRET}")
    result = run("check", *form, "--header", f"b={SECRET}", "--attribute", f"k={SECRET}")
    assert result.exit_code == 5
    assert SECRET not in result.output
    assert "authorization" in result.output


def test_every_variable_that_the_configuration_reads_is_in_the_list() -> None:
    folder = golden.PROJECT / "otel_phi" / "config"
    text = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py") if path.name != "origins.py")
    named = set(re.findall(r'"((?:OTEL_|TRACEPARENT|NO_PROXY|no_proxy)[A-Z_]*)"', text))
    suffixes = set(re.findall(r'(?:otlp\(|choices, |, )"([A-Z_]+)"\)', text))
    assert len(named) >= 15
    assert {"ENDPOINT", "PROTOCOL"} & suffixes
    assert named <= KNOWN_VARIABLES
    read = {f"OTEL_EXPORTER_OTLP_{suffix}" for suffix in suffixes if not suffix.endswith("_PROXY")}
    assert read <= KNOWN_VARIABLES


def test_every_option_that_a_command_line_can_say_is_in_the_list() -> None:
    code_alone = {
        *("attributes_for", "record", "redact", "redact_keys", "redact_patterns", "redact_defaults"),
        *("destination_name", "file"),  # of one command each
    }
    assert set(Options.__annotations__) - set(VARIABLES) == code_alone


def test_the_lines_fit_the_width_and_unset_options_are_one_list(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("OTEL_PHI_STATE_DIR", "/tmp/s")
    lines = run("check").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) < 40
    assert any(line.startswith("not set: ") for line in lines)


def test_every_rule_about_the_configuration_is_in_a_test_of_this_file() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert {rule.id for rule in CONFIGURATION_RULES if f'"{rule.id}"' not in text} == set()
