"""docs/backends.md names what exists: profiles, options, variables, attributes. Its Jaeger queries are asked in tests/e2e."""

from __future__ import annotations

import ast
import re
import uuid
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk import environment_variables
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased

from otel_phi.config import resolve
from otel_phi.mapping import semconv
from otel_phi.mapping.options import PROFILES, options_for

ROOT = Path(__file__).parents[1]
DOC = ROOT / "docs" / "backends.md"
TEXT = DOC.read_text(encoding="utf-8")
BACKENDS = [
    "Jaeger",
    "Tempo and Grafana",
    "Phoenix",
    "MLflow",
    "Langfuse",
    "Logfire",
    "Honeycomb",
    "Datadog",
    "Grafana Cloud",
    "New Relic",
]
_NAMES = re.compile(r"\b(?:gen_ai|phi|session|error|openinference)\.[a-z_]+(?:\.[a-z_]+)*\.?")


def sections() -> dict[str, str]:
    """Returns the page's sections by title."""
    return dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))


def table() -> dict[str, list[str]]:
    """Returns the rows of the first table by backend: profile, what a trace is, whether it was tried."""
    rows = re.findall(r"^\| \[([^\]]+)\]\([^)]+\) \| `(\w+)` \| a (\w+) \| ([^|]+) \|$", TEXT, re.MULTILINE)
    return {name: [profile, scope, tried] for name, profile, scope, tried in rows}


def block(title: str) -> str:
    """Returns the lines to set for a backend."""
    found = re.search(r"```python\n(otel_phi\.install\(.*?\))\n```", sections()[title], re.DOTALL)
    assert found is not None, f"{title} has no lines to set"
    return found[1]


def options(title: str) -> dict[str, Any]:
    """Returns the keywords of these lines, in their order."""
    call = ast.parse(block(title), mode="eval").body
    assert isinstance(call, ast.Call)
    return {keyword.arg or "": ast.literal_eval(keyword.value) for keyword in call.keywords}


def test_every_backend_has_a_section_and_a_row_that_says_whether_it_was_tried() -> None:
    assert list(table()) == BACKENDS
    assert [title for title in sections() if title != "What holds everywhere"] == BACKENDS
    assert [
        name for name, (_, _, tried) in table().items() if not re.match(r"yes: |no: |.*measured|.*by hand", tried)
    ] == []


@pytest.mark.parametrize("title", BACKENDS)
def test_the_three_lines_are_options_that_exist(title: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_PHI_PROFILE", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS"):
        monkeypatch.delenv(name, raising=False)
    given = options(title)
    assert len(block(title).splitlines()) == 3
    assert next(iter(given)) == "profile"
    config = resolve(**given)  # raises where an option or its value does not exist
    assert config.endpoint.endswith("/v1/traces")
    assert config.profile in PROFILES


@pytest.mark.parametrize("title", BACKENDS)
def test_the_variables_mean_what_the_lines_do(title: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = options(title)
    monkeypatch.setenv("OTEL_PHI_PROFILE", given["profile"])
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", given["endpoint"].removesuffix("/v1/traces"))
    headers = {key.lower(): value for key, value in given.get("headers", {}).items()}
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", ",".join(f"{key}={value}" for key, value in headers.items()))
    by_variables, by_lines = resolve(), resolve(**given)
    assert (by_variables.profile, by_variables.endpoint) == (by_lines.profile, by_lines.endpoint)
    assert by_variables.headers == by_lines.headers
    assert "(without the `/v1/traces`" in TEXT


@pytest.mark.parametrize("title", BACKENDS)
def test_the_table_says_what_the_profile_does(title: str) -> None:
    profile, scope, _ = table()[title]
    assert options(title)["profile"] == profile
    assert options_for(profile).trace_scope == scope


@pytest.mark.parametrize("title", BACKENDS)
def test_a_section_says_what_is_not_shown_and_has_queries(title: str) -> None:
    text = sections()[title]
    assert "It does not show:" in text
    assert len(re.findall(r"^```", text, re.MULTILINE)) >= 4 or re.search(
        r"^Filters: |The queries are the same", text, re.MULTILINE
    )


def test_every_attribute_of_ours_in_the_page_exists() -> None:
    keys = {row.key for row in semconv.TABLE} | {
        value for name, value in vars(semconv).items() if name.startswith("EVENT_")
    }
    named = set(_NAMES.findall(TEXT)) - {"openinference.project.name"}  # of the resource, and the user's to set
    assert {semconv.OPERATION, semconv.TOTAL_INPUT, semconv.LINK_KIND} <= named
    unknown = {
        name
        for name in named
        if not (any(key.startswith(name) for key in keys) if name.endswith(".") else name in keys)
    }
    assert {name for name in unknown if name.rstrip(".") not in keys} == set()


def test_every_operation_in_a_query_exists() -> None:
    (row,) = (row for row in semconv.TABLE if row.key == semconv.OPERATION)
    asked = set(re.findall(r"gen_ai\.operation\.name[\"'`]?\s*=\s*[\"'`]?([a-z_]+)", TEXT))
    assert asked
    assert asked <= set(re.findall(r"`([a-z_]+)`", row.source))


def test_every_variable_and_profile_in_the_page_exists() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "otel_phi").rglob("*.py"))
    variables = set(re.findall(r"\bOTEL_[A-Z_]+\b", TEXT))
    assert {name for name in variables if not hasattr(environment_variables, name) and name not in source} == set()
    assert set(re.findall(r"profile=\"(\w+)\"", TEXT)) <= set(PROFILES)
    flags = set(re.findall(r"`(--[a-z-]+)", TEXT))
    assert {flag for flag in flags if f'"{flag}"' not in source} == set()


def test_every_picture_is_shown_and_every_picture_shown_is_there() -> None:
    shown = re.findall(r"!\[[^\]]+\]\((pictures/[^)]+)\)", TEXT)
    pictures = [
        path for path in (DOC.parent / "pictures").iterdir() if not path.name.startswith("page")
    ]  # docs/page.md shows those
    assert sorted(shown) == sorted(f"pictures/{path.name}" for path in pictures)
    page = (DOC.parent / "page.md").read_text(encoding="utf-8") + (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"pictures/{path.name}" in page for path in (DOC.parent / "pictures").glob("page*"))
    for backend in ("Jaeger", "Phoenix", "MLflow"):
        assert f"pictures/{backend.lower()}" in sections()[backend]


def test_the_files_and_sections_the_page_points_at_exist() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", TEXT):
        assert (DOC.parent / target).exists(), target
    anchors = {title.lower().replace(" ", "-") for title in sections()}
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= anchors


def test_the_readme_points_at_the_page() -> None:
    assert "(docs/backends.md)" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("ratio", "kept"), [(0.1, 0), (0.5, 0), (0.75, 500)])
def test_a_ratio_sampler_of_the_sdk_misjudges_uuids_as_the_page_says(ratio: float, kept: int) -> None:
    sampler = TraceIdRatioBased(ratio)
    ids = (uuid.UUID(bytes=uuid.uuid5(uuid.NAMESPACE_OID, str(number)).bytes, version=4).int for number in range(500))
    decisions = [sampler.should_sample(None, trace_id, "x").decision for trace_id in ids]
    assert decisions.count(Decision.RECORD_AND_SAMPLE) == kept
