"""What looks like a secret and is none stays as it is."""

from __future__ import annotations

import base64
import random
import uuid

import pytest

from otel_phi.policy.redaction.ends import Tally
from otel_phi.policy.redaction.redactor import Redactor
from tests.policy.redaction.shown import redacted

_RANDOM = random.Random(14)


def drawn(count: int) -> str:
    """Returns hexadecimal digits."""
    return f"{_RANDOM.getrandbits(4 * count):0{count}x}"


def base64_of(count: int) -> str:
    return base64.b64encode(_RANDOM.randbytes(count)).decode()


CLEAN = [
    f"commit {drawn(40)}\nAuthor: A <a@b.c>",
    f"index {drawn(7)}..{drawn(7)} 100644",
    str(uuid.UUID(int=_RANDOM.getrandbits(128))),
    f"sha256:{drawn(64)}",
    f'"integrity": "sha512-{base64_of(64)}"',
    "data:image/png;base64,iVBORw0KGgo" + base64_of(300),
    f"/home/u/.cache/huggingface/hub/models--x/snapshots/{drawn(40)}/model.safetensors",
    f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{base64_of(32)} me@host",
    f"trace_id={drawn(32)} span_id={drawn(16)}",
    "GPG_KEY=A035C8C19219BA821ECEA86B64E628F8D684696D",
    f"TERM_SESSION_ID=w0t0p0:{uuid.UUID(int=_RANDOM.getrandbits(128))}",
    '{"type": "object", "properties": {"password": {"type": "string"}}, "required": ["password", "email"]}',
    "tests/test_token.py::test_expired_token_is_refused PASSED [ 12%]",
    "deploy --private-key keys/prod-2024.pem --auth none --sort-key name",
    "secrets: inherit",
    "identified by `diagnostics.previous_message_id`",
    "- name: PORT\n  value: 8080",
    '{"name": "API_URL", "value": "https://api.example.com/v1"}',
    "<title>How to choose a password</title><token>string</token>",
    "set password policy to strong",
    'auth=("read", "write")',
    "密码错误\uff0c请重试",
    "class=\"sk-container sk-toggleable sk-estimator-doc-link\"",
    "db-migrations-worker-7d9f8b6c5d-x2x4z",
    "this.props.onChangeHandlerOfTheForm(event)",
]  # fmt: skip


@pytest.mark.parametrize("text", CLEAN)
def test_a_look_alike_stays(text: str) -> None:
    assert redacted(text) == text


def test_a_pair_of_names_stays_and_a_header_s_value_does_not() -> None:
    tally = Tally()
    assert Redactor().value([["password", "email"], ["x-api-key", "name"]], "test", tally) == [
        ["password", "email"],
        ["x-api-key", "name"],
    ]
    assert tally.redacted == 0
    secret = "8f14e45fceea167a5a36dedd4bea2543"  # made up
    assert Redactor().value([["x-api-key", secret]], "test", tally) == [["x-api-key", "[redacted:key]"]]
