"""What events are made of, besides messages: configuration, request, tool result, kind of continuation."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw, UnsetType

from otel_phi.wire.messages import NULL


class Tag(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Holds the tag of a rerun or a branch, free text."""

    tag: str = ""


# "Initial", "Default", "Compaction", {"Rerun": {"tag": ...}}, {"Branch": {"tag": ...}}; None in files of March 2026.
ContinuationKind = str | dict[str, Tag] | None


class ConfigSnapshot(
    msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """A snapshot is the model configuration a loop started with; all but model and provider can be missing.

    Attributes:
        model: model id.
        provider: provider name as configured.
        config_id: phi-core's id of the configuration.
        name: display name of the model.
        api: wire protocol, such as `anthropic_messages`.
        base_url: endpoint of the provider.
        reasoning: whether the model reasons.
        context_window: the model's window, tokens.
        max_tokens: the model's output limit, tokens.
        thinking_level: `off`, `minimal`, `low`, `medium` or `high`.
        temperature: sampling temperature.
    """

    model: str = ""
    provider: str = ""
    config_id: str | None = None
    name: str | None = None
    api: str | None = None
    base_url: str | None = None
    reasoning: bool | None = None
    context_window: int | None = None
    max_tokens: int | None = None
    thinking_level: str | None = None
    temperature: float | None = None


class Vcs(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Says what a source's working folder was checked out from; content, unlike the rest of `Source`.

    Attributes:
        branch: name of the branch.
        revision: the commit.
        repository_url: the repository, without credentials.
    """

    branch: str | UnsetType = UNSET
    revision: str | UnsetType = UNSET
    repository_url: str | UnsetType = UNSET


class Source(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Says which agent's records a loop was read from, and where that agent worked. Not phi-core's.

    Attributes:
        agent: the agent, `claude-code`, `codex`, `pi`, `openclaw`, `opencode`.
        version: of the agent.
        entrypoint: how it was started, such as `cli` or `sdk`.
        cwd: its working folder; content, as are the next two.
        title: what the session is called.
        vcs: what the working folder was checked out from.
    """

    agent: str
    version: str | UnsetType = UNSET
    entrypoint: str | UnsetType = UNSET
    cwd: str | UnsetType = UNSET
    title: str | UnsetType = UNSET
    vcs: Vcs | UnsetType = UNSET


class ResponseFormat(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Says what form of answer was asked for: `text`, `json-object` or `json-schema`; a schema is left where it stands."""

    kind: str = "text"


class RequestPayload(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A request payload is what was sent to the model; the large parts stay undecoded.

    Attributes:
        system_prompt: JSON string.
        messages: JSON list, the whole context.
        provenance: JSON list, parallel to `messages`.
        tools: JSON list of `{name, description, parameters}`.
        model_id: model asked for.
        thinking_level: as in the snapshot.
        max_tokens: this request's own limit, None for the model's.
        temperature: this request's own, None for the provider's default.
        response_format: form of the answer.
        tool_names: names of `tools`, where somebody wants to know which the model was offered. Not phi-core's: policy derives it.
        input_mode: `delta` where policy left of `messages` those after the last answer alone, `full` where it left all. Policy alone says it,
            and then `messages` are in the convention's form.
        message_count: how many messages the whole request had.
        first_message: the number of the first of `messages` in it, from 0.
    """

    system_prompt: Raw = NULL
    messages: Raw = NULL
    provenance: Raw = NULL
    tools: Raw = NULL
    model_id: str = ""
    thinking_level: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    response_format: ResponseFormat | None = None
    tool_names: tuple[str, ...] | UnsetType = UNSET
    input_mode: str | UnsetType = UNSET
    message_count: int | UnsetType = UNSET
    first_message: int | UnsetType = UNSET


class ToolResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A tool result is what a tool returned.

    Attributes:
        content: JSON list of content blocks.
        details: any JSON, the tool's own.
        child_loop_id: loop that the tool ran as a sub-agent, if it did.
    """

    content: Raw = NULL
    details: Raw = NULL
    child_loop_id: str | None = None
