"""Nothing is imported on an agent's thread: another may fork meanwhile, and the child would wait for that import for ever."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_phi.testing import Receiver
from otel_phi.wire.decode import encode_event
from tests.golden import PROJECT
from tests.hook.stories import loop_of
from tests.streams import OWN_CASES, SMALL_CASES
from tests.wire.test_optional import WITH_THEM

_AGENT = """
import json, sys, threading

class Asked:
    names = []
    def find_spec(self, name, path=None, target=None):
        if threading.current_thread() is threading.main_thread():
            self.names.append(name)

import otel_phi
from otel_phi.wire.decode import decode_event

options, lines = json.loads(sys.argv[1]), open(sys.argv[2], "rb").read().split(bytes([10]))
if "attributes_for" in options:
    options["attributes_for"] = lambda session: {"user.id": "ada", "api_key": "sk-" + "a" * 40}
hook = otel_phi.install(service_name="test", **options)
known = set(sys.modules)
sys.meta_path.insert(0, Asked())
for line in lines:
    given = json.loads(line) or {}
    hook(line)
    hook(line.decode())
    hook(given)
    hook(decode_event(line))
    hook({**{key.replace("_", ""): value for key, value in given.items()}, "nobodyKnows": 1})
hook({"type": "Nonsense"})
hook(object())
hook(b"{")
hook(lines[0], traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
sys.meta_path.pop(0)
print(sorted(set(Asked.names) & (set(sys.modules) - known)))
hook.shutdown(10.0)
"""


def _lines() -> Iterator[bytes]:
    for events in (loop_of("main"), *SMALL_CASES.values(), *OWN_CASES.values(), WITH_THEM):
        for event in events:
            with contextlib.suppress(ValueError):  # a lone surrogate
                yield encode_event(event)


@pytest.mark.parametrize(
    "options",
    ["{}", '{"capture_content": true}', '{"metrics": true}', '{"attributes_for": true}', '{"strict": "log"}'],
    ids=["plain", "content", "metrics", "attributes", "strict"],
)
def test_an_agents_thread_imports_nothing_once_the_hook_is_there(
    options: str, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
    monkeypatch.setenv("OTEL_PHI_STATE_DIR", str(tmp_path))
    given = tmp_path / "lines"
    given.write_bytes(b"\n".join(_lines()))
    done = subprocess.run(
        [sys.executable, "-c", _AGENT, options, str(given)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr
