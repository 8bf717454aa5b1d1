"""No row of any backend says `unknown_service`: a command without a configured name says the agent's, else `otel-phi`."""

from __future__ import annotations

import pytest

from otel_phi.testing import Receiver
from tests import golden
from tests.cli.conftest import Run


@pytest.mark.parametrize(
    ("flags", "environment", "service", "agent"),
    [
        ((), {}, "otel-phi", None),
        (("--agent-name", "fixer"), {}, "fixer", "fixer"),
        (("--service-name", "svc"), {}, "svc", "svc"),
        (("--service-name", "svc", "--agent-name", "fixer"), {}, "svc", "fixer"),
        ((), {"OTEL_SERVICE_NAME": "of-the-environment"}, "of-the-environment", "of-the-environment"),
        ((), {"OTEL_RESOURCE_ATTRIBUTES": "service.name=of-the-resource"}, "of-the-resource", "of-the-resource"),
    ],
)
def test_an_export_names_service_and_agent(
    run: Run,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    flags: tuple[str, ...],
    environment: dict[str, str],
    service: str,
    agent: str | None,
) -> None:
    for name in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert run("export", golden.DEMO, "--endpoint", receiver.endpoint, *flags).exit_code == 0
    assert {group.resource.get("service.name") for group in receiver.groups} == {service}
    roots = {span.get("gen_ai.agent.name") for span in receiver.spans if span.name.startswith("invoke_workflow")}
    assert roots == {agent}
    assert all(b"unknown_service" not in request.body for request in receiver.requests)
