"""The hook's door: what it takes, what it passes on, when it says no."""

from __future__ import annotations

import asyncio
import functools
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import otel_phi
from otel_phi.errors import ConfigError
from otel_phi.events import AgentEvent, MessageUpdate
from otel_phi.mapping.ids import sample_point
from otel_phi.mapping.mapper import spans_of
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import Span
from otel_phi.recorder.core import RecorderCore
from otel_phi.recorder.notices import LoopClosed, Notice
from otel_phi.testing import Receiver
from tests.hook.conftest import Install
from tests.hook.stories import OPTIONS, arrived, as_bytes, as_count, as_dict, expected, loop_of, session
from tests.hook.waiting import until
from tests.laws import role
from tests.streams import LOOP, start

STORY = loop_of("one")
STORY_TRACE = uuid.UUID(session("one")).int


@pytest.mark.parametrize(
    "form",
    [lambda event: event, as_dict, as_bytes, lambda event: as_bytes(event).decode(), lambda e: bytearray(as_bytes(e))],
    ids=["event", "dict", "bytes", "str", "bytearray"],
)
def test_events_come_as_values_dicts_bytes_or_text_and_give_the_spans_of_the_pure_function(
    form: Callable[[AgentEvent], Any], install: Install, receiver: Receiver
) -> None:
    hook = install()
    for event in STORY:
        hook(form(event))
    assert hook.flush(5.0)
    assert arrived(receiver) == expected(STORY)
    assert hook.stats().recorded == len(STORY)


def test_a_turn_has_left_when_it_ends_and_the_root_when_the_session_opens(install: Install, receiver: Receiver) -> None:
    hook = install()
    hook(STORY[0])
    assert [span.name for span in receiver.wait_for(1)] == ["invoke_workflow phi.session"]
    for event in STORY[1:7]:
        hook(event)
    names = [span.name for span in receiver.wait_for(4)]
    assert names[1:] == ["turn", "chat mock", "execute_tool bash"]


def test_deltas_are_left_out_in_every_form_and_counted(install: Install) -> None:
    hook = install()
    delta = MessageUpdate(loop_id=LOOP)
    for given in (delta, as_dict(delta), as_bytes(delta), as_bytes(delta).decode(), '{"type": "MessageUpdate", "x'):
        hook(given)
    stats = hook.stats()
    assert (stats.events, stats.left_out, stats.recorded) == (5, 5, 0)


# --- taps ----------------------------------------------------------------------------------------------------------------


def test_a_tap_passes_everything_through_unchanged(install: Install, receiver: Receiver) -> None:
    hook = install()
    things: list[Any] = [*STORY, "what an agent says besides", None]
    assert [id(thing) for thing in hook.tap(things)] == [id(thing) for thing in things]
    assert hook.flush(5.0)
    assert arrived(receiver) == expected(STORY)
    assert hook.stats().undecodable == 2


def test_an_async_tap_does_too(install: Install, receiver: Receiver) -> None:
    hook = install()

    async def agent() -> AsyncIterator[AgentEvent]:
        for event in STORY:
            await asyncio.sleep(0)
            yield event

    async def consumer() -> list[AgentEvent]:
        return [event async for event in hook.tap(agent())]

    assert asyncio.run(consumer()) == STORY
    assert hook.flush(5.0)
    assert arrived(receiver) == expected(STORY)


def test_a_tap_lets_the_sources_error_through_after_recording_what_came_before(install: Install) -> None:
    hook = install()

    def agent() -> Iterator[AgentEvent]:
        yield STORY[0]
        raise OSError("the agent's own")

    with pytest.raises(OSError, match="the agent's own"):
        list(hook.tap(agent()))
    until(lambda: hook.stats().open_loops == 1)
    assert hook.stats().recorded == 1  # whoever reads the source may go on: nothing was ended


def test_an_event_is_recorded_before_its_consumer_has_it_and_leaving_early_does_not_close_the_source(
    install: Install,
) -> None:
    hook = install()
    source = iter(STORY)
    for _ in hook.tap(source):
        assert hook.stats().recorded == 1
        break
    assert next(source) is STORY[1]


def cancelled(receiver: Receiver, count: int = 1) -> bool:
    loops = [span for span in receiver.spans if role(span) == "loop"]
    return [span.get("error.type") for span in loops] == ["cancelled"] * count


def test_a_tap_whose_consumer_leaves_ends_its_loops_as_cancelled_at_once(install: Install, receiver: Receiver) -> None:
    hook = install()
    for event in loop_of("ended before"):
        hook(event)
    for number, _ in enumerate(hook.tap(STORY)):
        if number == 4:
            break
    until(lambda: hook.stats().open_loops == 0 and len(receiver.spans) == 8 + 5)  # root, turn, chat, tool, loop
    (loop,) = [span for span in receiver.spans if span.trace_id == STORY_TRACE and role(span) == "loop"]
    assert (loop.get("error.type"), loop.end_ns) == ("cancelled", max(span.end_ns for span in receiver.spans[8:]))


def test_a_tap_whose_consumer_read_to_the_end_of_its_loops_ends_nothing_twice(
    install: Install, receiver: Receiver
) -> None:
    hook = install()
    for event in hook.tap([*STORY, "more"]):
        if event is STORY[-1]:
            break
    assert hook.flush(5.0)
    assert arrived(receiver) == expected(STORY)
    assert hook.stats().ignored == {}


def test_a_task_that_is_cancelled_while_it_reads_a_tap_ends_its_loops_as_cancelled(
    install: Install, receiver: Receiver
) -> None:
    """In the midst of the source's wait, and in the midst of its own."""
    hook = install()

    async def agent(name: str) -> AsyncIterator[AgentEvent]:
        for event in loop_of(name)[:4]:
            yield event
        await asyncio.sleep(60)

    async def consumer(name: str, wait_s: float) -> None:
        async for _ in hook.tap(agent(name)):
            await asyncio.sleep(wait_s)

    async def main() -> None:
        tasks = [asyncio.create_task(consumer("a", 0)), asyncio.create_task(consumer("b", 60))]
        while hook.stats().recorded < 5:
            await asyncio.sleep(0.001)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        while not cancelled(receiver, 2):
            await asyncio.sleep(0.005)

    asyncio.run(asyncio.wait_for(main(), 20))
    assert cancelled(receiver, 2)


# --- install -------------------------------------------------------------------------------------------------------------


def test_installed_again_with_the_same_options_it_is_the_same_hook(install: Install) -> None:
    assert install(agent_name="a") is install(agent_name="a")


def test_installed_again_with_other_options_is_an_error_that_names_them_and_shows_no_value(install: Install) -> None:
    install(headers={"x-token": "s3cret"}, insecure=True)
    with pytest.raises(ConfigError, match=r"other options \(agent_name, headers\).*shutdown\(\) first") as caught:
        install(headers={"x-token": "0ther"}, insecure=True, agent_name="a")
    assert "s3cret" not in str(caught.value)
    assert "0ther" not in str(caught.value)


def test_after_a_shutdown_a_new_one_can_be_installed(install: Install) -> None:
    first = install(agent_name="a")
    first.shutdown()
    assert install(agent_name="b") is not first


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"endpont": "http://localhost:1"}, "did you mean 'endpoint'"),
        ({"trace_scope": "galaxy"}, "trace_scope"),
        ({"exporter": "nobody"}, "'nobody' is not installed"),
        ({"exporter": object()}, "neither a name nor a SpanExporter"),
        ({"headers": {"x": "a\r\nb"}}, "header"),
        ({"join": True}, "join"),
    ],
)
def test_a_bad_option_raises_from_install_and_leaves_no_hook_behind(
    options: dict[str, Any], words: str, install: Install
) -> None:
    with pytest.raises(ConfigError, match=words):
        install(**options)
    install(agent_name="a good one")


def test_any_span_exporter_takes_the_spans_with_their_ids(install: Install) -> None:
    exporter = InMemorySpanExporter()
    hook = install(exporter=exporter, endpoint=None)
    for event in STORY:
        hook(event)
    assert hook.flush(5.0)
    wanted = {(span.trace_id, span.span_id) for span in otel_phi.spans(STORY)}
    assert {(s.context.trace_id, s.context.span_id) for s in exporter.get_finished_spans() if s.context} == wanted


# --- off, and sampled ----------------------------------------------------------------------------------------------------


def test_a_disabled_sdk_records_nothing_and_makes_no_file(
    install: Install, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    hook = install()
    for event in STORY:
        hook(event)
    assert (hook.flush(1.0), hook.shutdown(1.0)) == (True, True)
    stats = hook.stats()
    assert (stats.off, stats.left_out, stats.delivery.accepted) == ("sdk_disabled", len(STORY), 0)
    assert not (tmp_path / "state").exists()
    assert receiver.requests == []


def test_no_exporter_means_that_nothing_leaves_and_the_spans_are_counted(
    install: Install, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    hook = install(endpoint=None)
    for event in STORY:
        hook(event)
    assert hook.flush(5.0)
    assert dict(hook.stats().delivery.dropped) == {"exporter_none": expected(STORY).total()}
    assert receiver.requests == []


def kept(names: Iterable[str], ratio: float) -> list[str]:
    return [name for name in names if sample_point(session(name)) < ratio]


@pytest.mark.parametrize(
    ("sampler", "argument", "ratio"),
    [("always_off", "", 0.0), ("traceidratio", "0.5", 0.5), ("parentbased_traceidratio", "0.25", 0.25)],
)
def test_a_sampler_keeps_a_session_or_leaves_it_whole_and_counts_what_it_left(
    sampler: str, argument: str, ratio: float, install: Install, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", argument)
    hook = install()
    names = [f"s{number}" for number in range(16)]
    for name in names:
        for event in loop_of(name):
            hook(event)
    assert hook.flush(5.0)
    wanted = expected(*(loop_of(name) for name in kept(names, ratio)))
    assert arrived(receiver) == wanted
    left = expected(*map(loop_of, names)).total() - wanted.total()
    assert dict(hook.stats().delivery.dropped) == {"sampled_out": left}


# --- the end -------------------------------------------------------------------------------------------------------------


def test_shutdown_sends_what_is_open_as_aborted_and_can_be_repeated(install: Install, receiver: Receiver) -> None:
    hook = install()
    for event in STORY[:-4]:
        hook(event)
    assert hook.shutdown(5.0)
    assert hook.shutdown(5.0)
    assert arrived(receiver) == expected(STORY[:-4])


def test_events_after_the_shutdown_are_counted_as_lost(install: Install) -> None:
    hook = install()
    hook.shutdown(1.0)
    hook(STORY[0])
    assert hook.stats().lost == {"after_shutdown": 1}


def test_a_flush_that_cannot_succeed_says_so_in_time(install: Install) -> None:
    hook = install(endpoint="http://127.0.0.1:9")
    for event in STORY:
        hook(event)
    assert hook.flush(0.2) is False


def test_wrong_arguments_are_said_in_the_log_and_not_raised(install: Install) -> None:
    hook = install()
    wrong: Any = "soon"
    assert (hook.flush(wrong), hook.shutdown(wrong)) == (False, False)
    hook(STORY[0], traceparent=wrong)
    assert hook.stats().troubles == {"flush: TypeError": 1, "shutdown: TypeError": 1}


# --- its voice -----------------------------------------------------------------------------------------------------------


def test_the_first_trouble_of_a_kind_is_one_warning_and_the_rest_are_counted(
    install: Install, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    hook = install()
    for _ in range(3):
        hook(b"{")
    until(lambda: bool(caplog.records))  # the live thread says it
    assert hook.flush(5.0)
    assert [record.name for record in caplog.records] == ["otel_phi"]
    assert caplog.records[0].levelno == logging.WARNING
    assert hook.stats().troubles == {"undecodable": 3}
    assert capfd.readouterr().out == ""


def test_a_logging_handler_that_raises_or_calls_the_hook_harms_nobody(install: Install, receiver: Receiver) -> None:
    hook = install()

    class Wild(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            hook(b"{")
            raise RuntimeError("a handler's own")

    wild = Wild()
    logging.getLogger("otel_phi").addHandler(wild)
    try:
        hook(b"{")
        until(lambda: hook.stats().undecodable == 2)
    finally:
        logging.getLogger("otel_phi").removeHandler(wild)
    for event in STORY:
        hook(event)
    assert hook.flush(5.0)
    assert arrived(receiver) == expected(STORY)


def test_a_fault_of_ours_costs_its_own_event_and_is_told_without_the_events_words(
    install: Install, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hook = install()
    with monkeypatch.context() as patch:
        # Raised in C, as by a library of ours: what a frame of the agent's raises is the agent's, and passes.
        patch.setattr("otel_phi.hook.recording.fact_of", functools.partial("{:a secret of the agent}".format))
        hook(start(0))
    for event in STORY:
        hook(event)
    assert hook.flush(5.0)
    assert arrived(receiver) == expected(STORY)
    assert (hook.stats().failed, hook.stats().troubles) == (1, {"taking an event: TypeError": 1})
    assert "a secret" not in caplog.text


def test_a_fault_of_ours_on_the_live_thread_costs_its_own_event_too(
    install: Install, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hook = install()
    real = RecorderCore.on_event

    def broken(self: RecorderCore, event: AgentEvent, caller: str | None = None) -> Any:
        if getattr(event, "loop_id", None) == LOOP:
            raise ValueError("a secret of the agent")
        return real(self, event, caller)

    monkeypatch.setattr(RecorderCore, "on_event", broken)
    hook(start(0))
    for event in STORY:
        hook(event)
    assert hook.flush(5.0)
    assert arrived(receiver) == expected(STORY)
    assert (hook.stats().ignored, hook.stats().troubles) == ({"recording_failed": 1}, {"recording: ValueError": 1})
    assert "a secret" not in caplog.text


def test_a_span_that_cannot_be_mapped_costs_itself_and_is_counted(
    install: Install, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = install()

    def broken(notice: Notice, options: MappingOptions) -> list[Span]:
        if isinstance(notice, LoopClosed):
            raise ValueError
        return spans_of(notice, options)

    monkeypatch.setattr("otel_phi.pipeline.spans_of", broken)
    for event in STORY:
        hook(event)
    assert hook.flush(5.0)
    monkeypatch.undo()
    assert arrived(receiver) == as_count(span for span in otel_phi.spans(STORY, OPTIONS) if role(span) != "loop")
    assert dict(hook.stats().delivery.dropped) == {"mapping_failed": 1}


def test_options_reach_the_spans(install: Install, receiver: Receiver) -> None:
    hook = install(profile="phoenix", agent_name="a", attributes={"user.id": "u"}, tool_spans=False)
    for event in STORY:
        hook(event)
    assert hook.flush(5.0)
    options = MappingOptions(
        service_name="test",
        trace_scope="loop",
        agent_name="a",
        attributes=(("user.id", "u"),),
        tool_spans=False,
        profile="phoenix",
    )
    assert arrived(receiver) == as_count(otel_phi.spans(STORY, options))
