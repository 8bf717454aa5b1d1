"""What may be said of the parts of events: configuration, request, kind of continuation, tool result, usage."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from otel_phi.policy.words import (
    CACHED,
    FLAGS,
    FRACTIONS,
    GIVEN_FLAGS,
    GIVEN_IDENTIFIERS,
    IDENTIFIERS,
    LEVELS,
    NUMBERS,
    address,
    checked,
    display_name,
    given_of,
    name,
    one_of,
    word,
)
from otel_phi.wire.messages import NULL, Usage
from otel_phi.wire.parts import (
    ConfigSnapshot,
    ContinuationKind,
    RequestPayload,
    ResponseFormat,
    Source,
    Tag,
    ToolResult,
    Vcs,
)

S = TypeVar("S", bound=msgspec.Struct)


def old_if_equal(new: S, old: S) -> S:
    """Returns the very object that was given where nothing had to be taken out of it."""
    return old if new == old else new


def usage(given: Usage) -> Usage:
    """Returns token counts as they are, and in one word whether cached ones are among the others.

    Raises:
        TypeError: they are none, or hold something else than integers.
    """
    if (
        given.__class__ is Usage
        and given.input.__class__
        is given.output.__class__
        is given.reasoning.__class__
        is given.cache_read.__class__
        is given.cache_write.__class__
        is given.total_tokens.__class__
        is int
        and given.cached is given.partial is UNSET
    ):
        return given
    return _usage(given)


def _usage(given: Usage) -> Usage:
    checked({Usage}, given)
    checked({int}, given.input, given.output, given.reasoning, given.cache_read, given.cache_write, given.total_tokens)
    checked(GIVEN_FLAGS, given.partial)
    cached = given_of(CACHED, given.cached)
    return given if cached is given.cached else msgspec.structs.replace(given, cached=cached)


def config(given: ConfigSnapshot | None) -> ConfigSnapshot | None:
    """Returns a configuration of which only words, numbers and the server's address are left."""
    if given is None:
        return None
    checked({ConfigSnapshot}, given)
    checked(IDENTIFIERS, given.config_id, given.name, given.base_url)
    checked(FLAGS, given.reasoning)
    checked(NUMBERS, given.context_window, given.max_tokens)
    checked(FRACTIONS, given.temperature)
    model = name(given.model)
    new = ConfigSnapshot(
        model=model,
        provider=word(given.provider),
        config_id=given.config_id,
        name=None if given.name is None else display_name(given.name, model),
        api=None if given.api is None else word(given.api),
        base_url=None if given.base_url is None else address(given.base_url),
        reasoning=given.reasoning,
        context_window=given.context_window,
        max_tokens=given.max_tokens,
        thinking_level=one_of(LEVELS, given.thinking_level),
        temperature=given.temperature,
    )
    return old_if_equal(new, given)


def kind(given: ContinuationKind) -> ContinuationKind:
    """Returns a kind of continuation: its name, and the tag of a rerun or branch, if they are words."""
    if given is None:
        return None
    if given.__class__ is not dict:
        return word(given)  # type: ignore[arg-type]  # a TypeError says so
    first = next(iter(given.items()), None)
    if first is None:
        return given
    checked({Tag}, first[1])
    new = {word(first[0]): Tag(word(first[1].tag))}
    return given if new == given else new


def request(given: RequestPayload | None) -> RequestPayload | None:
    """Returns a request's settings without what is asked: prompt, messages, tools."""
    if given is None:
        return None
    checked({RequestPayload}, given)
    checked(NUMBERS, given.max_tokens)
    checked(FRACTIONS, given.temperature)
    new = RequestPayload(
        model_id=name(given.model_id),
        thinking_level=one_of(LEVELS, given.thinking_level),
        max_tokens=given.max_tokens,
        temperature=given.temperature,
        response_format=form(given.response_format),
        tool_names=given.tool_names if given.tool_names is UNSET else tool_names(given.tool_names),
    )
    return old_if_equal(new, given)


def tool_names(given: tuple[str, ...]) -> tuple[str, ...]:
    """Returns names of tools as words.

    Raises:
        TypeError: they are no tuple of texts.
    """
    checked({tuple}, given)
    new = tuple([name(one) for one in given])
    return given if new == given else new


def form(given: ResponseFormat | None) -> ResponseFormat | None:
    """Returns the form of an answer by its kind alone: a class of its own can hold a whole schema."""
    if given is None:
        return None
    if not isinstance(given, ResponseFormat):
        raise TypeError(f"a {given.__class__.__name__} where a form of answer is expected")
    new = ResponseFormat(word(given.kind))
    return given if given.__class__ is ResponseFormat and new == given else new


def result(given: ToolResult | None) -> ToolResult | None:
    """Returns of a tool's result the loop that it ran, None where it ran none."""
    if given is None:
        return None
    checked({ToolResult}, given)
    if given.child_loop_id is None:
        return None
    checked({str}, given.child_loop_id)
    return given if given.content is NULL and given.details is NULL else ToolResult(child_loop_id=given.child_loop_id)


def source(given: Source) -> Source:
    """Returns which agent's records a loop was read from, without where that worked and what it calls the session."""
    checked({Source}, given)
    new = Source(
        agent=word(given.agent),
        version=UNSET if given.version is UNSET else word(given.version),
        entrypoint=UNSET if given.entrypoint is UNSET else word(given.entrypoint),
    )
    return old_if_equal(new, given)


def whole_source(given: Source, guard: Callable[[str], str]) -> Source:
    """Returns the same with where the agent worked and what it calls the session: for who asks to have that said."""
    lean, vcs = source(given), given.vcs
    checked(GIVEN_IDENTIFIERS, given.cwd, given.title)
    checked({Vcs, UnsetType}, vcs)
    if isinstance(vcs, Vcs):
        checked(GIVEN_IDENTIFIERS, vcs.branch, vcs.revision, vcs.repository_url)
        vcs = Vcs(
            branch=_by(guard, vcs.branch),
            revision=_by(guard, vcs.revision),
            repository_url=_by(guard, vcs.repository_url),
        )
    return msgspec.structs.replace(lean, cwd=_by(guard, given.cwd), title=_by(guard, given.title), vcs=vcs)


def _by(guard: Callable[[str], str], text: str | UnsetType) -> str | UnsetType:
    return guard(text) if isinstance(text, str) else text


# A few dozen labels of short texts are what backends show; past it the rest is left out, a text is cut.
MAX_ATTRIBUTES = 64
MAX_ATTRIBUTE_TEXT = 1_024
_INT64 = 1 << 63  # an OTLP integer is signed


def attributes(given: Mapping[str, str | bool | int | float]) -> dict[str, str | bool | int | float]:
    """Returns what an agent's configurer puts on a loop, within bounds; neither a person nor a model writes it.

    What has a key that is no name, or a value that no attribute carries, is left out.

    Raises:
        TypeError: it is no dict with texts for keys.
    """
    checked({dict}, given)
    kept: dict[str, str | bool | int | float] = {}
    for key, value in given.items():
        if key and name(key) == key and len(kept) < MAX_ATTRIBUTES and (value.__class__ is str or _is_number(value)):
            kept[key] = value[:MAX_ATTRIBUTE_TEXT] if isinstance(value, str) else value
    return kept


def _is_number(value: object) -> bool:
    if value.__class__ is int and isinstance(value, int):
        return -_INT64 <= value < _INT64
    return isinstance(value, bool) or (value.__class__ is float and isinstance(value, float) and math.isfinite(value))
