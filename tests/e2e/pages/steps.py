"""What to click in each backend's pages to see a session, a trace and what it says. Each ends with a picture.

The texts are those of the versions that the tests run: Jaeger's pages 2.20, Phoenix 20.26, MLflow 3.17.
"""

from __future__ import annotations

from pathlib import Path

from tests.e2e.pages.looking import Steps

DEMO = "3f9a1c7e-5b42-4d0e-8c61-92d7e4ab10f5"
PROMPT = "The test retries_in_time fails. Please fix it."


def jaeger_trace(ui: str, trace_id: str, picture: Path) -> Steps:
    """Returns the steps to a trace's page."""
    return [["goto", f"{ui}/trace/{trace_id}"], ["see", "Total Spans"], ["picture", str(picture)]]


def jaeger_genai(ui: str, trace_id: str, operation: str, picture: Path) -> Steps:
    """Returns the steps to the GenAI tab of a trace's first span of that name; the tab's text is read."""
    return [
        ["goto", f"{ui}/trace/{trace_id}"],
        ["click", operation],
        ["click", "GenAI"],
        ["read", "[role=tabpanel]:visible"],
        ["picture", str(picture)],
    ]


def phoenix_traces(http: str, picture: Path) -> Steps:
    """Returns the steps to the list of a project's traces; its rows are read."""
    return [*_phoenix(http, "traces"), ["see", "invoke_agent"], ["read", "table"], ["picture", str(picture)]]


def phoenix_trace(http: str, trace_name: str, picture: Path) -> Steps:
    """Returns the steps to a trace of that name."""
    return [*_phoenix(http, "traces"), ["click", trace_name], ["see", "View Session"], ["picture", str(picture)]]


def phoenix_contents(http: str, picture: Path) -> Steps:
    """Returns the steps to a model call of the trace that began with the demo's prompt, where contents were sent; the page is read."""
    return [
        *_phoenix(http, "traces"),
        ["click", PROMPT],
        ["see", "View Session"],
        ["click", "chat claude-sonnet-4-5"],
        ["see", "You are a coding agent."],
        ["read", "body"],
        ["picture", str(picture)],
    ]


def phoenix_session(http: str, picture: Path) -> Steps:
    """Returns the steps to the demo's session; its heading and turns are read."""
    return [
        *_phoenix(http, "sessions"),
        ["click", DEMO],
        ["see", "Turn 01"],
        ["read", "[role=tablist]:has-text('Turns')"],
        ["picture", str(picture)],
    ]


def _phoenix(http: str, tab: str) -> Steps:
    return [["goto", f"{http}/projects"], ["click", "default"], ["at", "/spans"], ["follow", "/spans", f"/{tab}"]]


def mlflow_sessions(http: str, experiment: str, picture: Path) -> Steps:
    """Returns the steps to an experiment's traces, grouped by session; the page is read."""
    return [
        ["goto", f"{http}/#/experiments/{experiment}/traces?groupBy=session"],
        ["press?", "Got it"],
        ["press?", "Close"],
        ["see", DEMO[:6]],
        ["read", "body"],
        ["picture", str(picture)],
    ]


def mlflow_contents(http: str, experiment: str, trace_id: int, picture: Path) -> Steps:
    """Returns the steps to the first model call of a trace, where contents were sent; the page is read."""
    return [
        ["goto", f"{http}/#/experiments/{experiment}/traces?selectedEvaluationId=tr-{trace_id:032x}"],
        ["press?", "Got it"],
        ["see", "invoke_agent"],
        ["click", "chat claude-sonnet-4-5"],
        ["read", "body"],
        ["picture", str(picture)],
    ]
