"""What model calls cost: cases calculated by hand, by a table of the user's own and by the public prices."""

from __future__ import annotations

import importlib.util
import json
import logging
from pathlib import Path
from typing import Any

import msgspec
import pytest

import otel_phi
from otel_phi.config import Config, resolve
from otel_phi.config import prices as config_prices
from otel_phi.errors import ConfigError
from otel_phi.events import AgentEvent, ConfigSnapshot, SideCall, Usage
from otel_phi.mapping import semconv as s
from otel_phi.mapping.price_table import PriceSource, decode_table
from otel_phi.mapping.span import Span
from otel_phi.prices import MAX_NOTES, Prices, source_in
from otel_phi.recorder.core import RecorderCore
from otel_phi.wire.costs import Call
from otel_phi.wire.times import parse_time
from otel_phi.wire.usage import TokenCount, count_tokens
from tests.laws import role
from tests.streams import LOOP, SESSION, answer, end, start, turn, turn_end

# A copy of ../shared/data/content/cost_cases.json: prices and sums by hand.
CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "data" / "cost_cases.json").read_text())["cases"]
KNOWN = [case for case in CASES if case["expected_usd"] is not None]
needs_library = pytest.mark.skipif(
    importlib.util.find_spec("genai_prices") is None,
    reason="SKIPPED, NOT PASSED: pip install genai-prices, or the extra `cost`",
)
AT = parse_time("2026-11-20T12:00:00Z")


def toml_of(*cases: dict[str, Any]) -> str:
    """Returns a table that has the prices of cases, under any name of their providers."""
    entries = []
    for case in cases:
        rates = "\n".join(f"{kind} = {rate}" for kind, rate in case["usd_per_million"].items())
        entries.append(f'[[price]]\nmodel = "{case["model"]}"\nprovider = "{case["provider"].upper()}"\n{rates}\n')
    return "\n".join(entries)


def story(*cases: dict[str, Any], loop: str = LOOP) -> list[AgentEvent]:
    """Returns a loop with a turn for each case; all of one provider."""
    first = cases[0]
    config = ConfigSnapshot(model=first["model"], provider=first["provider"], api=first["api"])
    events: list[AgentEvent] = [start(0, loop, config_snapshot=config)]
    for number, case in enumerate(cases):
        usage = Usage(**case["phi_usage"])
        said = answer(10 * number + 5, number, loop, model=case["model"], provider=case["provider"], usage=usage)
        events += [
            turn(10 * number + 1, number, loop),
            turn_end(10 * number + 9, number, loop, message=said, usage=usage),
        ]
    return [*events, end(900, loop)]


def config_with(tmp_path: Path, text: str = "", **options: Any) -> Config:
    if text:
        (tmp_path / "prices.toml").write_text(text, encoding="utf-8")
        options["prices"] = tmp_path / "prices.toml"
    return resolve(**options)


def of(kind: str, found: list[Span]) -> list[Span]:
    return [span for span in found if role(span) == kind]


def costs(found: list[Span]) -> list[object]:
    return [(span.get(s.COST_USD), span.get(s.COST_SOURCE)) for span in found]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_tokens_of_the_cases_are_counted_as_by_hand(case: dict[str, Any]) -> None:
    found = count_tokens(Usage(**case["phi_usage"]), case["api"], case["provider"])
    assert {key: getattr(found, key) for key in case["normalised"]} == case["normalised"]


@pytest.mark.parametrize("case", KNOWN, ids=lambda case: case["name"])
def test_a_table_of_ones_own_gives_the_sum_by_hand(case: dict[str, Any], tmp_path: Path) -> None:
    found = list(otel_phi.spans(story(case), config_with(tmp_path, toml_of(case))))
    expected = [(float(case["expected_usd"]), "table")]
    assert costs(of("chat", found)) == costs(of("loop", found)) == expected
    assert [span.get(s.COST_USD) for span in found if role(span) not in ("chat", "loop")] == [None, None]


@needs_library
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_public_prices_give_the_sum_by_hand(case: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    config = resolve(cost=True)
    found = list(otel_phi.spans(story(case, case), config))
    if case["expected_usd"] is None:
        assert costs(of("chat", found)) == [(None, None)] * 2
        assert costs(of("loop", found)) == [(None, None)]
        (note,) = [record.getMessage() for record in caplog.records]
        assert note == "no price is known for qwen-local of local: what it cost is not said"
    else:
        expected = float(case["expected_usd"])
        assert costs(of("chat", found)) == [(expected, config.prices.library)] * 2
        (loop,) = of("loop", found)
        assert loop.get(s.COST_USD) == pytest.approx(2 * expected, rel=1e-15)
        assert loop.get(s.COST_SOURCE) == config.prices.library
        assert caplog.records == []


@needs_library
def test_ones_own_prices_come_before_the_public_ones(tmp_path: Path) -> None:
    text = '[[price]]\nmodel = "GPT-4*"\ninput = 1\noutput = 2\n'
    (chat,) = of("chat", list(otel_phi.spans(story(CASES[1]), config_with(tmp_path, text, cost=True))))
    assert costs([chat]) == [(0.012, "table")]


def test_without_being_asked_for_nothing_costs_anything() -> None:
    for case in CASES:
        assert not any(
            key.startswith("phi.cost") for span in otel_phi.spans(story(case), resolve()) for key, _ in span.attributes
        )


def test_the_sum_of_a_loop_is_exact_and_says_where_a_call_is_missing_in_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dime = {**CASES[7], "model": "dime", "phi_usage": {"input": 100_000}}
    config = config_with(tmp_path, '[[price]]\nmodel = "dime"\ninput = 1\noutput = 1\n')
    (loop,) = of("loop", list(otel_phi.spans(story(dime, dime, dime), config)))
    assert (loop.get(s.COST_USD), loop.get(s.COST_PARTIAL)) == (0.3, None)
    (loop,) = of("loop", list(otel_phi.spans(story({**CASES[7], "model": "other"}, dime, dime), config)))
    assert (loop.get(s.COST_USD), loop.get(s.COST_PARTIAL)) == (0.2, True)
    assert len(caplog.records) == 1


def test_a_call_that_counted_nothing_is_neither_priced_nor_missed(tmp_path: Path) -> None:
    nothing = {**CASES[7], "model": "other", "phi_usage": {}}
    dime = {**CASES[7], "model": "dime", "phi_usage": {"input": 100_000}}
    config = config_with(tmp_path, '[[price]]\nmodel = "dime"\ninput = 1\noutput = 1\n')
    (loop,) = of("loop", list(otel_phi.spans(story(nothing, dime), config)))
    assert (loop.get(s.COST_USD), loop.get(s.COST_PARTIAL)) == (0.1, None)


def test_a_side_call_costs_and_counts_in_its_loop(tmp_path: Path) -> None:
    dime = {**CASES[7], "model": "dime", "phi_usage": {"input": 100_000}}
    call = SideCall(id="t", session_id=SESSION, loop_id=LOOP, start=AT, model="dime", usage=Usage(200_000))
    alone = SideCall(id="u", session_id=SESSION, start=AT, model="dime", usage=Usage(300_000))
    events = story(dime)
    config = config_with(tmp_path, '[[price]]\nmodel = "dime"\ninput = 1\noutput = 1\n')
    found = list(otel_phi.spans([*events[:-1], call, events[-1], alone], config))
    assert [span.get(s.COST_USD) for span in of("loop", found)] == [0.3]
    assert sorted(span.get(s.COST_USD) or 0 for span in found if span.get(s.SIDE_CALL_ID)) == [0.2, 0.3]


def test_a_core_that_was_cut_anywhere_adds_up_the_same(tmp_path: Path) -> None:
    config = config_with(tmp_path, toml_of(*KNOWN))
    events = story(KNOWN[1], KNOWN[1], {**KNOWN[1], "model": "unknown"}, KNOWN[1])
    prices = Prices(config.prices, lambda _: None)
    whole = RecorderCore(price=prices)
    expected = [notice for event in events for notice in whole.on_event(event)]
    for cut in range(len(events)):
        first = RecorderCore(price=prices)
        found = [notice for event in events[:cut] for notice in first.on_event(event)]
        second = RecorderCore.restore(first.snapshot())
        second.price_with(prices)
        assert found + [notice for event in events[cut:] for notice in second.on_event(event)] == expected


# --- the table -----------------------------------------------------------------------------------------------------------

TABLE = """
[[price]]
model = "m"
until = 2026-11-20
input = 9
output = 9

[[price]]
model = "m"
provider = "Amazon-Bedrock"
since = 2026-11-20
input = 1
output = 2
cache_read = 0.1
cache_write = 1.25
reasoning = 3

[[price.above]]
input_tokens = 1_000
input = 2
output = 4

[[price.above]]
input_tokens = 2_000
input = 3
output = 6
"""


def cost_of(
    tokens: TokenCount, *, provider: str = "aws.bedrock", at_ns: int = int(AT), models: tuple[str, str] = ("m", "")
) -> int | None:
    prices = Prices(PriceSource(decode_table(TABLE.encode())), lambda _: None)
    found = prices(Call(tokens, None, provider, models, at_ns))
    return None if found is None else found.picodollars


@pytest.mark.parametrize(
    ("tokens", "micro"),
    [
        (TokenCount(100, 10), 100 + 20),
        (TokenCount(1_000, 10, cache_read=400, cache_write=100), 500 + 40 + 125 + 20),
        (TokenCount(100, 10, reasoning=4), 100 + 12 + 12),
        (TokenCount(1_001, 10), 2_002 + 40),
        (TokenCount(2_001, 10, cache_read=1), 6_003 + 60),
        (
            TokenCount(10, 1, cache_read=100),
            10 + 2,
        ),  # wild: not more is charged for a cache than was in the input, nor less than it
    ],
)
def test_every_token_is_charged_once_by_its_own_rate(tokens: TokenCount, micro: int) -> None:
    assert cost_of(tokens) == micro * 1_000_000


def test_a_price_holds_for_its_days_its_provider_and_either_name_of_a_model() -> None:
    day, tokens = 86_400 * 10**9, TokenCount(1, 0)
    assert cost_of(tokens, at_ns=int(AT) - day) == 9_000_000
    assert cost_of(tokens, at_ns=-(10**30)) == 9_000_000
    assert cost_of(tokens, at_ns=10**30) == 1_000_000
    assert cost_of(tokens, provider="bedrock") == 1_000_000
    assert cost_of(tokens, provider="openai") is None
    assert cost_of(tokens, models=("m-2026", "M")) == 1_000_000
    assert cost_of(tokens, models=("", "")) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[price]]\nmodel = 'x'\noutput = 1", "missing required field `input`"),
        ("[[price]]\nmodel = 'x'\ninput = -1\noutput = 1", "input = -1"),
        ("[[price]]\nmodel = 'x'\ninput = nan\noutput = 1", "input = NaN"),
        ("[[price]]\nmodel = 'x'\ninput = 1\noutput = 1\ncashed = 1", "unknown field `cashed`"),
        ("[[prices]]\nmodel = 'x'", "unknown field `prices`"),
        ("model =", "no table of prices"),
        ("\udcff", "no table of prices"),
    ],
)
def test_a_table_that_is_none_says_what_is_wrong_with_it(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(ConfigError, match=said):
        resolve(prices=tmp_path / "prices.toml")


def test_a_table_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"prices: /nowhere/prices.toml cannot be read: No such file"):
        resolve(prices="/nowhere/prices.toml")


def test_in_the_environment_the_same_is_reported_and_there_are_no_prices(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_PHI_PRICES", "/nowhere/at-all.toml")
    monkeypatch.setenv("OTEL_PHI_COST", "true")
    monkeypatch.setattr(config_prices, "installed", lambda: "")
    assert resolve().prices == PriceSource()
    said = "\n".join(record.getMessage() for record in caplog.records)
    assert "OTEL_PHI_PRICES: /nowhere/at-all.toml cannot be read" in said
    assert "OTEL_PHI_COST: the package genai-prices is not here" in said


def test_without_the_package_whoever_asks_for_it_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_prices, "installed", lambda: "")
    with pytest.raises(ConfigError, match=r"pip install 'otel-phi\[cost\]'"):
        resolve(cost=True)


# --- notes and heads -------------------------------------------------------------------------------------------------------


def test_a_model_without_a_price_is_noted_once_and_notes_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    notes: list[str] = []
    prices = Prices(PriceSource(decode_table(b"")), notes.append)
    for number in range(2 * MAX_NOTES):
        for _ in range(2):
            assert prices(Call(TokenCount(1, 1), None, "p", (f"m{number}", ""), 0)) is None
    assert (len(notes), len(set(notes)), caplog.records) == (MAX_NOTES, MAX_NOTES, [])


def test_a_head_keeps_where_prices_come_from() -> None:
    source = PriceSource(decode_table(TABLE.encode()), "genai-prices/0.0.1")
    assert source_in(msgspec.json.encode(source)) == source
    assert source_in(b"null") == source_in(b'{"table":7}') == source_in(b"{") == PriceSource()


def test_a_library_of_another_version_is_not_asked() -> None:
    prices = Prices(PriceSource(library="genai-prices/0.0.1"), lambda _: None)
    assert prices(Call(TokenCount(1, 1), None, "openai", ("gpt-4o", ""), int(AT))) is None
