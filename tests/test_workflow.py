"""The workflow on GitHub runs the Makefile's targets, on the Pythons we name, with actions that cannot change behind our back."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests import golden

WORKFLOW = golden.PROJECT / ".github" / "workflows" / "ci.yml"
MAKEFILE = (golden.PROJECT / "Makefile").read_text(encoding="utf-8")
PYPROJECT = (golden.PROJECT / "pyproject.toml").read_text(encoding="utf-8")
TEMPLATES = sorted((golden.PROJECT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
_ACTION = re.compile(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}")
_TARGET = re.compile(r"^([\w-]+):", re.MULTILINE)


def workflow() -> dict[Any, Any]:
    """Returns the workflow; YAML 1.1 reads the key `on` as true."""
    found = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def steps() -> list[dict[str, Any]]:
    """Returns the steps of all jobs."""
    return [step for job in workflow()["jobs"].values() for step in job["steps"]]


def test_the_matrix_is_the_pythons_of_the_classifiers() -> None:
    matrix = workflow()["jobs"]["test"]["strategy"]["matrix"]["python-version"]
    assert all(isinstance(version, str) for version in matrix)  # 3.10 without quotes is the number 3.1
    assert matrix == re.findall(r'"Programming Language :: Python :: (3\.\d+)"', PYPROJECT)
    assert f'requires-python = ">={matrix[0]}"' in PYPROJECT


def test_every_action_is_pinned_by_its_commit() -> None:
    used = [step["uses"] for step in steps() if "uses" in step]
    assert used
    assert [action for action in used if not _ACTION.fullmatch(action)] == []


def test_every_step_runs_a_target_of_the_makefile() -> None:
    runs = [step["run"] for step in steps() if "run" in step]
    targets = {run.split()[1] for run in runs if run.startswith("make ")}
    assert len(runs) == len(targets) == 3
    assert targets <= set(_TARGET.findall(MAKEFILE))
    assert {"test", "release-check"} <= targets


def test_it_may_read_and_nothing_else_and_ends_some_time() -> None:
    assert workflow()["permissions"] == {"contents": "read"}
    assert {"push", "pull_request"} == set(workflow()[True])
    assert all(1 <= job["timeout-minutes"] <= 60 for job in workflow()["jobs"].values())


def test_the_hooks_run_the_commands_of_lint_and_types() -> None:
    config = yaml.safe_load((golden.PROJECT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    (repository,) = config["repos"]
    assert repository["repo"] == "local"  # nothing is downloaded, and the versions are ours
    entries = [hook["entry"].removesuffix(" --force-exclude") for hook in repository["hooks"]]
    assert entries == [".venv/bin/ruff check", ".venv/bin/ruff format", ".venv/bin/mypy"]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_an_issue_template_has_what_github_asks_for(path: Any) -> None:
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    if path.stem == "config":
        assert form == {"blank_issues_enabled": True}
        return
    assert {"name", "description", "body"} <= set(form)
    for part in form["body"]:
        assert part["type"] in {"markdown", "textarea", "input"}
        assert part["attributes"].get("label") or part["type"] == "markdown"
