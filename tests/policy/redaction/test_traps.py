"""The traps of the issue, one by one; secrets are put together here, so that no scanner takes this file for a leak."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_phi.policy.options import compiled
from otel_phi.policy.redaction.ends import Tally
from otel_phi.policy.redaction.redactor import DROPPED, Redactor
from tests.policy.redaction.shown import redacted, shows

TOKEN = "ghp_" + "aB3dE5gH7jK9mN1pQ3sT5vW7xY9zA2cD4fG6"
PASSWORD = "ember-" + "quartz-99!"
PEM = "-----BEGIN RSA PRIVATE " + "KEY-----\n" + "\n".join(["MIIEowIBAAKCAQEA3Tz2mr7SZiAMfQyuvBjM9Oi"] * 3)
PEM_END = "\n-----END RSA PRIVATE " + "KEY-----"


def value(given: Any, redactor: Redactor | None = None) -> tuple[Any, int]:
    tally = Tally()
    return (redactor or Redactor()).value(given, "test", tally), tally.redacted


@pytest.mark.parametrize(
    "text",
    [
        f"\x1b[1m{TOKEN}\x1b[0m",
        f"ghp_\x1b[01;31m\x1b[K{TOKEN[4:]}\x1b[m",
        json.dumps(f"\x1b[1m{TOKEN}"),
        f"令牌{TOKEN}。",
        TOKEN.replace("_", "\\u005f"),
        TOKEN.replace("_", "\\\\u005f"),
        TOKEN.replace("_", "%5F"),
        json.dumps(json.dumps(json.dumps({"a": f"\n{TOKEN}\t"}))),
        f"https://{TOKEN}@example.com/x.git",
        f"a{TOKEN}",
    ],
)
def test_what_stands_before_or_within_a_token_does_not_hide_it(text: str) -> None:
    assert not shows(redacted(text), TOKEN)


@pytest.mark.parametrize("end", [PEM_END, "", PEM_END.replace("\n", "\\n")])
@pytest.mark.parametrize("newline", ["\n", "\\n", "\\\\n", "\r\n"])
def test_a_private_key_goes_whole_however_its_lines_end_and_where_its_end_is_missing(end: str, newline: str) -> None:
    text = f"key is {PEM.replace(chr(10), newline)}{end}"
    assert redacted(text) == "key is [redacted:private_key]"


def test_a_secret_that_is_an_objects_key_is_taken_out() -> None:
    assert value({"seen": {TOKEN: 3, "other": 1}}) == ({"seen": {"[redacted:github_token]": 3, "other": 1}}, 1)


def test_keys_that_become_the_same_are_both_kept() -> None:
    found, count = value({TOKEN: 1, TOKEN + "x": 2})
    assert (list(found.values()), count) == ([1, 2], 2)


def test_a_secret_split_over_the_items_of_a_list_goes_from_all_of_them() -> None:
    assert value([TOKEN[:20], TOKEN[20:], ", more"]) == (["[redacted:github_token]", "", ", more"], 1)
    assert value((PEM + PEM_END).split("\n")) == (["[redacted:private_key]", "", "", "", ""], 1)


def test_a_password_behind_its_flag_in_a_list_of_arguments_is_taken_out() -> None:
    found, _ = value({"argv": ["deploy", "--password", PASSWORD, "--force"]})
    assert found == {"argv": ["deploy", "--password", "[redacted:password]", "--force"]}


@pytest.mark.parametrize(
    "text",
    [
        f"postgres://svc:{PASSWORD}@10.0.3.7/app",
        f"redis://:{PASSWORD}@cache:6379/0",
        f"Server=db;User Id=sa;Password={PASSWORD};Encrypt=true",
        f"PATH=/bin\nPGPASSWORD={PASSWORD}\nLANG=C\n",
        f"export MYSQL_PWD='{PASSWORD}'",
        f'{{"config": "{{\\"db_password\\": \\"{PASSWORD}\\"}}"}}',
        f"password: {PASSWORD}",
        f"curl -u admin:{PASSWORD} https://example.com",
        f"The password is {PASSWORD}, keep it",
        f"Error: authentication failed for password='{PASSWORD}'",
    ],
)
def test_a_password_goes_from_urls_connection_strings_environments_and_prose(text: str) -> None:
    assert not shows(redacted(text), PASSWORD)


def test_base64_behind_a_telling_key_is_taken_out() -> None:
    coded = "dXNlcjpodW50" + "ZXIyaHVudGVyMg=="
    assert value({"auth": coded}) == ({"auth": "[redacted:auth]"}, 1)
    assert not shows(redacted(f"kind: Secret\ndata:\n  password: {coded}\n"), coded)


def test_a_containers_environment_of_names_and_values_is_seen() -> None:
    found, _ = value({"env": [{"name": "DB_PASSWORD", "value": PASSWORD}, {"name": "PORT", "value": "8080"}]})
    assert found == {
        "env": [{"name": "DB_PASSWORD", "value": "[redacted:password]"}, {"name": "PORT", "value": "8080"}]
    }


@pytest.mark.parametrize(
    "text",
    """
password = request.form["password"]
token = os.getenv("GITHUB_TOKEN")
const password = await bcrypt.hash(pw, 10)
"password": "Enter your password"
api_key=settings.OPENAI_API_KEY
Authorization: Bearer ${token}
Authorization: Bearer <token>
export OPENAI_API_KEY="your-api-key-here"
secret: ${{ secrets.GITHUB_TOKEN }}
cache_key = "user-settings-v2"
session_id: 550e8400-e29b-41d4-a716-446655440000
"password": {"type": "string"}
def login(username: str, password: str) -> bool:
tokenizer = AutoTokenizer.from_pretrained("bert-base-uncased")
PWD=/home/user/project1
https://user@example.com/repo.git
https://example.com/a:b@c/d?e=f
postgres://user:password@localhost/db
let secret: Secret<String> = settings.secret_key.expose();
mkdir -p src/components1/x
docker run -p 8080:80 nginx1
.sk-estimator-id-18{color:#0bbb4d}
signature: (a: string, b: number) => void
max_tokens: 8192, token_count=77
["username", "password", "password2"]
password: ********
AWS_SECRET_ACCESS_KEY=$(vault read -field=secret aws/prod)
""".strip().splitlines(),
)
def test_what_only_looks_like_a_secret_stays(text: str) -> None:
    assert redacted(text) == text


def test_own_keys_and_patterns_are_looked_for_too() -> None:
    own = Redactor(keys=["employee_no"], patterns=compiled({"ticket": r"TICKET-(\d+)"}))
    assert (
        redacted("employee_no: 4711, see TICKET-12345", own)
        == "employee_no: [redacted:key], see TICKET-[redacted:ticket]"
    )
    assert value({"employee_no": 4711, "x": [1]}, own) == ({"employee_no": "[redacted:key]", "x": [1]}, 1)
    assert value({"Employee_No": "hunter"}, own) == ({"Employee_No": "[redacted:key]"}, 1)


def test_without_the_defaults_only_ones_own_are_looked_for() -> None:
    own = Redactor(patterns=compiled([re.compile("secret-word")]), defaults=False)
    assert redacted(f"{TOKEN} secret-word", own) == f"{TOKEN} [redacted:pattern]"


@pytest.mark.parametrize("pattern", ["(", "x*", b"bytes", 7])
def test_a_pattern_that_is_none_is_an_error_that_says_which(pattern: object) -> None:
    with pytest.raises(ValueError, match="pattern 2"):
        compiled(["good", pattern])


def test_a_callable_sees_what_is_left_and_where_it_stands() -> None:
    seen: list[tuple[str, str]] = []

    def ask(text: str, where: str) -> str:
        seen.append((text, where))
        return text.replace("Alice", "A.")

    tally = Tally()
    assert Redactor(ask).text(f"Alice has {TOKEN}", "input", tally) == "A. has [redacted:github_token]"
    assert seen == [("Alice has [redacted:github_token]", "input")]
    assert tally.redacted == 2


def _raising(text: str, where: str) -> str:
    raise RuntimeError(text)


@pytest.mark.parametrize("ask", [_raising, lambda text, where: None, lambda text, where: 7])
def test_a_callable_that_fails_costs_the_text_and_is_counted(ask: Any) -> None:
    tally = Tally()
    assert Redactor(ask).text("anything", "input", tally) == DROPPED
    assert tally.redacted == 1


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=30)
    | st.sampled_from([TOKEN, f"password={PASSWORD}", PEM]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=12) | st.sampled_from(["password", "token", TOKEN]), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=50)
@given(json_values)
def test_any_json_value_stays_json_is_found_clean_afterwards_and_shows_no_token(given: Any) -> None:
    once, _ = value(given)
    text = json.dumps(once)
    assert TOKEN not in text
    again, count = value(once)
    assert (again, count) == (once, 0)


def test_json_nested_without_end_is_dropped_not_walked() -> None:
    deep: Any = TOKEN
    for _ in range(5_000):
        deep = [deep]
    found, count = value(deep)
    assert TOKEN not in repr(found)[:10_000]
    assert count == 1


@pytest.mark.parametrize(
    "unit",
    [
        "password=",
        "Token=a1",
        "-----BEGIN PRIVATE " + "KEY-----",
        "://a:b@",
        "key='",
        "Cookie: a=b; ",
        "sk-",
        '{"pwd":"\\',
    ],
)
def test_a_hostile_text_costs_as_much_as_it_is_long(unit: str) -> None:
    def took(length: int) -> float:
        text = unit * (length // len(unit))
        began = time.thread_time()
        redacted(text)
        return time.thread_time() - began

    short = min(took(15_000) for _ in range(3))
    assert (
        min(took(60_000) for _ in range(3)) < 12 * short + 0.02
    )  # four times as long; with its square it were sixteen
