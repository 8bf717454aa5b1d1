"""The state folder: expanded, reported, or missing; `resolve` never raises for a machine without homes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import platformdirs
import pytest
from click.testing import CliRunner

import otel_phi
from otel_phi.cli import main
from otel_phi.config import resolve, state_dir
from otel_phi.errors import ConfigError
from otel_phi.testing import Receiver
from tests import golden


def test_an_unknown_user_s_home_in_the_environment_is_reported_once_and_the_default_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    default = resolve().state_dir
    monkeypatch.setenv("OTEL_PHI_STATE_DIR", "~nosuchuser/state")
    assert resolve().state_dir == resolve().state_dir == default
    assert [record.getMessage() for record in caplog.records] == [
        "OTEL_PHI_STATE_DIR: the home that '~nosuchuser/state' begins with is not known: give the whole path; it is ignored"
    ]


def test_an_unknown_user_s_home_by_keyword_or_flag_is_an_error() -> None:
    with pytest.raises(ConfigError, match="nosuchuser"):
        resolve(state_dir="~nosuchuser/state")
    with pytest.raises(ConfigError, match="nosuchuser"):
        state_dir(Path("~nosuchuser/state"))


def test_a_home_is_spelled_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_PHI_STATE_DIR", "~/state")
    assert resolve().state_dir == Path.home() / "state"


def _raising(*_: object, **__: object) -> str:
    raise RuntimeError("Could not determine home directory.")


@pytest.fixture(params=[_raising, lambda *_, **__: "~/.local/state/otel-phi"], ids=["raises", "gives it back"])
def homeless(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes platformdirs what it is for a user without HOME and without an entry in passwd."""
    found: Callable[..., str] = request.param
    monkeypatch.setattr(platformdirs, "user_state_dir", found)


@pytest.mark.usefixtures("homeless")
def test_without_home_and_passwd_entry_there_is_a_warning_and_no_folder(caplog: pytest.LogCaptureFixture) -> None:
    assert resolve().state_dir is None
    assert resolve().state_dir is None
    (warning,) = [record.getMessage() for record in caplog.records]
    assert "OTEL_PHI_STATE_DIR" in warning


@pytest.mark.usefixtures("homeless")
def test_without_home_an_agent_starts_and_its_spans_leave() -> None:
    with Receiver() as receiver:
        hook = otel_phi.install(service_name="a", endpoint=receiver.endpoint)
        for event in golden.demo():
            hook(event)
        hook.shutdown(10.0)
        assert len(receiver.spans) == len(list(otel_phi.spans(golden.demo())))


@pytest.mark.usefixtures("homeless")
@pytest.mark.parametrize("command", [["status"], ["flush"], ["watch", "."], ["status", "--purge", "--yes"]])
def test_without_home_a_command_that_needs_a_folder_says_so_in_one_line(command: list[str]) -> None:
    done = CliRunner().invoke(main, command)
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1)
    assert "OTEL_PHI_STATE_DIR" in done.stderr


@pytest.mark.usefixtures("homeless")
def test_without_home_an_export_sends_all_the_same() -> None:
    with Receiver() as receiver:
        done = CliRunner().invoke(main, ["export", str(golden.DEMO), "--endpoint", receiver.endpoint])
        assert (done.exit_code, len(receiver.spans)) == (0, len(list(otel_phi.spans(golden.demo()))))
