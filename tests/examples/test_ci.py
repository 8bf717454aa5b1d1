"""examples/ci: the last step of a job exports what its agents left, as children of the job's span, and never fails the job."""

from __future__ import annotations

import datetime as dt
import re
import subprocess
from pathlib import Path

from otel_phi.testing import Receiver
from tests import golden
from tests.examples.conftest import Environment
from tests.sources.agents.samples import written
from tests.sources.agents.test_claude_code import prompt, spoke

SCRIPT = golden.PROJECT / "examples" / "ci" / "export.sh"
TRACE, SPAN = f"{7:032x}", f"{8:016x}"


def test_an_agents_run_is_below_the_jobs_span_and_one_that_left_nothing_fails_nothing(
    environment: Environment, receiver: Receiver, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    session = home / ".claude" / "projects" / "-w" / "x.jsonl"
    session.parent.mkdir(parents=True)
    an_hour_ago = dt.datetime.now(dt.timezone.utc) - dt.timedelta(hours=1)
    text = written(prompt(0, "p"), spoke(1, "a"))
    session.write_bytes(re.sub(rb"\d{4}-\d\d-\d\dT\d\d:", an_hour_ago.strftime("%Y-%m-%dT%H:").encode(), text))
    given = {**environment, "HOME": str(home), "TRACEPARENT": f"00-{TRACE}-{SPAN}-01"}
    done = subprocess.run(
        [str(SCRIPT), "claude", "codex"], env=given, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0
    assert "the sessions of codex were not exported, exit code 2" in done.stderr
    (loop,) = (span for span in receiver.spans if span.name.startswith("invoke_agent"))
    assert (loop.trace_id, loop.parent_span_id) == (int(TRACE, 16), int(SPAN, 16))
