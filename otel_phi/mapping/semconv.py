"""Every name a span may carry, in one table: attribute, the spans it stands on, and the phi-core fact behind it.

Names under `gen_ai.` are those of the frozen set 1.41.1, https://github.com/open-telemetry/semantic-conventions/tree/v1.41.1/docs/gen-ai
(the Python package marks its constants "moved", so ours stand here). Names under `phi.` are ours. Nothing is invented
inside `gen_ai.`. docs/attributes.md shows this table; a test holds the two together, and another that no span carries more.
"""

from __future__ import annotations

import msgspec

SCHEMA_URL = "https://opentelemetry.io/schemas/1.41.1"
SCOPE_NAME = "otel_phi"

# --- on every span -------------------------------------------------------------------------------------------------
OPERATION = "gen_ai.operation.name"
CONVERSATION_ID = "gen_ai.conversation.id"
SESSION_ID = "session.id"
AGENT_NAME = "gen_ai.agent.name"
OPENINFERENCE_KIND = "openinference.span.kind"
ERROR_TYPE = "error.type"
TIME_INFERRED = "phi.time.inferred"

# --- root, loop ----------------------------------------------------------------------------------------------------
WORKFLOW_NAME = "gen_ai.workflow.name"
# MLflow 3.17 takes a trace's name from nowhere else: its list shows none. `TRACE_TAG_PREFIX` and `TRACE_NAME` in
# https://github.com/mlflow/mlflow/blob/v3.17.2/mlflow/tracing/constant.py
MLFLOW_TRACE_NAME = "mlflow.traceTag.mlflow.traceName"
PHI_AGENT_ID = "phi.agent.id"
MARKER = "phi.marker"
LOOP_ID = "phi.loop.id"
LOOP_PARENT_ID = "phi.loop.parent_id"
LOOP_KIND = "phi.loop.continuation_kind"
LOOP_TAG = "phi.loop.continuation_tag"
LOOP_STATUS = "phi.loop.status"
LOOP_LIMIT = "phi.loop.limit"
LOOP_TURNS = "phi.loop.turn_count"
LOOP_TOOLS = "phi.loop.tool_call_count"
SPAWN_SESSION = "phi.spawn.parent_session_id"
SPAWN_LOOP = "phi.spawn.parent_loop_id"
CONFIG_ID = "phi.config.id"
MODEL_DISPLAY = "phi.model.name"
MODEL_API = "phi.model.api"
MODEL_REASONING = "phi.model.reasoning"
MODEL_CONTEXT = "phi.model.context_window"

# --- loop, chat ----------------------------------------------------------------------------------------------------
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens"
REQUEST_TEMPERATURE = "gen_ai.request.temperature"
REQUEST_STREAM = "gen_ai.request.stream"
REQUEST_THINKING = "phi.request.thinking_level"
RESPONSE_MODEL = "gen_ai.response.model"
FINISH_REASONS = "gen_ai.response.finish_reasons"
OUTPUT_TYPE = "gen_ai.output.type"
COMPACTED = "phi.context.compacted"  # 1.41.1 has no name for it
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"
STOP_REASON = "phi.stop_reason"
FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
SIDE_CALL_ID = "phi.side_call.id"
SIDE_CALL_KIND = "phi.side_call.kind"

# --- contents, where they may be said ---------------------------------------------------------------------------------
SYSTEM = "gen_ai.system_instructions"
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
TOOL_DEFINITIONS = "gen_ai.tool.definitions"
TOOL_ARGUMENTS = "gen_ai.tool.call.arguments"
TOOL_RESULT = "gen_ai.tool.call.result"
# OpenInference's: what Phoenix, MLflow and Langfuse show of a span that is no model call.
# https://github.com/Arize-ai/openinference/blob/main/spec/semantic_conventions.md
INPUT_VALUE = "input.value"
INPUT_TYPE = "input.mime_type"
OUTPUT_VALUE = "output.value"
OUTPUT_TYPE_OF_VALUE = "output.mime_type"
INPUT_MODE = "phi.input.mode"
INPUT_COUNT = "phi.input.message_count"
INPUT_FIRST = "phi.input.first"
INPUT_PARTIAL = "phi.input.partial"
CONTENT_CUT = "phi.content.cut"
CONTENT_REDACTED = "phi.content.redacted"

# --- usage: gen_ai.* on the chat span only, so that nobody counts twice ----------------------------------------------
USAGE_INPUT = "gen_ai.usage.input_tokens"
USAGE_OUTPUT = "gen_ai.usage.output_tokens"
USAGE_CACHE_READ = "gen_ai.usage.cache_read.input_tokens"
USAGE_CACHE_WRITE = "gen_ai.usage.cache_creation.input_tokens"
USAGE_REASONING = "gen_ai.usage.reasoning.output_tokens"
RAW_INPUT = "phi.usage.input"
RAW_OUTPUT = "phi.usage.output"
RAW_REASONING = "phi.usage.reasoning"
RAW_CACHE_READ = "phi.usage.cache_read"
RAW_CACHE_WRITE = "phi.usage.cache_write"
RAW_TOTAL = "phi.usage.total"
RAW_MODE = "phi.usage.input_mode"
USAGE_PARTIAL = "phi.usage.partial"
TOTAL_INPUT = "phi.usage.input_tokens"
TOTAL_OUTPUT = "phi.usage.output_tokens"
COST_USD = "phi.cost.usd"
COST_SOURCE = "phi.cost.source"
COST_PARTIAL = "phi.cost.partial"


# --- where a session was read from; the last five are content --------------------------------------------------------
SOURCE_AGENT = "phi.source.agent"
SOURCE_VERSION = "phi.source.version"
SOURCE_ENTRYPOINT = "phi.source.entrypoint"
SOURCE_CWD = "phi.source.cwd"
SOURCE_TITLE = "phi.source.title"
VCS_BRANCH = "vcs.ref.head.name"
VCS_REVISION = "vcs.ref.head.revision"
VCS_REPOSITORY = "vcs.repository.url.full"

# --- turn, tool ----------------------------------------------------------------------------------------------------
TURN_INDEX = "phi.turn.index"
TURN_TRIGGER = "phi.turn.triggered_by"
TURN_TOOLS = "phi.turn.tool_call_count"
TURN_MESSAGES = "phi.turn.message_count"
TOOL_NAME = "gen_ai.tool.name"
TOOL_CALL_ID = "gen_ai.tool.call.id"
TOOL_TYPE = "gen_ai.tool.type"
TOOL_OUTCOME = "phi.tool.outcome"
TOOL_DURATION_MS = "phi.tool.duration_ms"
CHILD_LOOP = "phi.child.loop_id"
CHILD_SESSION = "phi.child.session_id"

# --- parallel group ------------------------------------------------------------------------------------------------
PARALLEL_SIZE = "phi.parallel.group_size"
PARALLEL_LOOPS = "phi.parallel.loop_ids"
PARALLEL_SELECTED = "phi.parallel.selected_loop_id"
PARALLEL_INDEX = "phi.parallel.selected_config_index"
PARALLEL_SESSION = "phi.parallel.session_id"
PARALLEL_USAGE = "phi.parallel.evaluation_usage."

# --- events on turns and loops -------------------------------------------------------------------------------------
EVENT_TOOL = "phi.tool.execution"
EVENT_COMPACTION = "phi.compaction"
EVENT_PRUN = "phi.prun"
EVENT_REVERT = "phi.revert"
EVENT_REJECTED = "phi.input.rejected"
EVENT_UNKNOWN = "phi.event"
COMPACTION_TOKENS = "phi.compaction.estimated_tokens"
COMPACTION_MESSAGES = "phi.compaction.message_count"
COMPACTION_MESSAGES_BEFORE = "phi.compaction.messages_before"
COMPACTION_MESSAGES_AFTER = "phi.compaction.messages_after"
COMPACTION_TOKENS_BEFORE = "phi.compaction.tokens_before"
COMPACTION_TOKENS_AFTER = "phi.compaction.tokens_after"
COMPACTION_LOOPS = "phi.compaction.loops_compacted"
COMPACTION_DURATION_MS = "phi.compaction.duration_ms"
PRUN_TOKENS = "phi.prun.tokens_removed"
PRUN_MESSAGES = "phi.prun.messages_removed"
REVERT_CATEGORY = "phi.revert.category"
REVERT_APPLIED = "phi.revert.applied"
REVERT_TARGET = "phi.revert.target"
REVERT_ABANDONED = "phi.revert.abandoned_count"
EVENT_TYPE = "phi.event.type"

# --- links ---------------------------------------------------------------------------------------------------------
LINK_KIND = "phi.link.kind"
LINK_SESSION = "phi.link.session_id"
LINK_LOOP = "phi.link.loop_id"
LINK_TOOL_CALL = "phi.link.tool_call_id"
LINK_TAG = "phi.link.tag"


class Row(msgspec.Struct, frozen=True):
    """A row is one attribute of the mapping table.

    Attributes:
        key: the attribute's name; one ending in `.` stands for the names below it.
        on: where it stands: span names of section "The mapping", `event NAME` or `link`.
        source: the phi-core fact it says.
    """

    key: str
    on: tuple[str, ...]
    source: str


ROOT, LOOP, TURN, CHAT, TOOL, GROUP = "session", "loop", "turn", "chat", "tool", "group"
SPANS = (ROOT, LOOP, TURN, CHAT, TOOL, GROUP)
TOOL_EVENT, LINK = f"event {EVENT_TOOL}", "link"
_BELOW = (LOOP, TURN, CHAT, TOOL)
_COMPACTION = (f"event {EVENT_COMPACTION}",)

TABLE: tuple[Row, ...] = (
    Row(OPERATION, SPANS, "`invoke_workflow`, `invoke_agent`, `agent_step`, `chat`, `execute_tool`, `invoke_workflow`"),
    Row(CONVERSATION_ID, SPANS, "`AgentStart.session_id`"),
    Row(SESSION_ID, SPANS, "`AgentStart.session_id`"),
    Row(
        AGENT_NAME,
        SPANS,
        "`AgentStart.agent_name`, else option `agent_name`, else the name its user gave the loop's configuration, "
        "else a configured `service.name`",
    ),
    Row(OPENINFERENCE_KIND, SPANS, "CHAIN, AGENT, CHAIN, LLM, TOOL, CHAIN"),
    Row(ERROR_TYPE, (*_BELOW, GROUP, TOOL_EVENT), "derived, see [errors](#errors)"),
    Row(TIME_INFERRED, (*_BELOW, GROUP), "true where a time is not in the source"),
    Row(WORKFLOW_NAME, (ROOT, GROUP), "`phi.session` or the agent's name; `phi.parallel`"),
    Row(
        MLFLOW_TRACE_NAME,
        (ROOT, LOOP, CHAT, GROUP),
        "the span's name, where it is its trace's root; `profile=\"mlflow\"` alone",
    ),
    Row(PHI_AGENT_ID, (ROOT, LOOP), "`AgentStart.agent_id`"),
    Row(
        MARKER,
        (ROOT,),
        "true: it marks where a session begins and lasts 1 ns; leave it out of averages and percentiles",
    ),
    Row(SOURCE_AGENT, (ROOT, LOOP), "`AgentStart.source`: the agent whose records were read"),
    Row(SOURCE_VERSION, (ROOT, LOOP), "its version"),
    Row(SOURCE_ENTRYPOINT, (ROOT, LOOP), "how it was started"),
    Row(SOURCE_CWD, (ROOT, LOOP), "its working folder; only with `--source-info`, as are the next four"),
    Row(SOURCE_TITLE, (ROOT, LOOP), "what it calls the session"),
    Row(VCS_BRANCH, (ROOT, LOOP), "the branch that its folder was on"),
    Row(VCS_REVISION, (ROOT, LOOP), "the commit"),
    Row(VCS_REPOSITORY, (ROOT, LOOP), "the repository, without credentials"),
    Row(LOOP_ID, _BELOW, "`loop_id`"),
    Row(LOOP_PARENT_ID, (LOOP,), "`AgentStart.parent_loop_id`"),
    Row(LOOP_KIND, (LOOP,), "`AgentStart.continuation_kind`, lower case"),
    Row(LOOP_TAG, (LOOP,), "tag of a rerun or branch"),
    Row(
        LOOP_STATUS,
        (LOOP,),
        "completed, rejected or aborted, as phi-core's recorder says; error or cancelled where `AgentEnd.outcome` does",
    ),
    Row(LOOP_LIMIT, (LOOP,), "the limit that stopped the loop: turns, tokens, duration, cost"),
    Row(LOOP_TURNS, (LOOP,), "turns of the loop"),
    Row(LOOP_TOOLS, (LOOP,), "tools executed in the loop"),
    Row(SPAWN_SESSION, (LOOP,), "session of the parent loop, if another session spawned this one"),
    Row(SPAWN_LOOP, (LOOP,), "the parent loop there"),
    Row(CONFIG_ID, (LOOP,), "`config_snapshot.config_id`"),
    Row(MODEL_DISPLAY, (LOOP,), "`config_snapshot.name`"),
    Row(MODEL_API, (LOOP,), "`config_snapshot.api`"),
    Row(MODEL_REASONING, (LOOP,), "`config_snapshot.reasoning`"),
    Row(MODEL_CONTEXT, (LOOP,), "`config_snapshot.context_window`"),
    Row(PROVIDER, (LOOP, CHAT), "`config_snapshot.provider` and `.api`, in the convention's words"),
    Row(REQUEST_MODEL, (LOOP, CHAT), "`config_snapshot.model`; `TurnRequest.payload.model_id`"),
    Row(REQUEST_MAX_TOKENS, (LOOP, CHAT), "`max_tokens` of the snapshot; of the request"),
    Row(REQUEST_TEMPERATURE, (LOOP, CHAT), "`temperature` of the snapshot; of the request"),
    Row(REQUEST_STREAM, (CHAT,), "true where the source says that the answer came in pieces; phi-core does not say it"),
    Row(REQUEST_THINKING, (LOOP, CHAT), "`thinking_level`, unless off"),
    Row(RESPONSE_MODEL, (CHAT,), "the message's `model`, where it differs from the request's"),
    Row(FINISH_REASONS, (LOOP, CHAT), "`stopReason`, in the convention's words; on the loop the last one"),
    Row(OUTPUT_TYPE, (CHAT,), "`json` for a JSON response format"),
    Row(COMPACTED, (CHAT,), "true from the compaction of its context on, in later loops of that context too"),
    Row(SERVER_ADDRESS, (CHAT,), "host of `config_snapshot.base_url`"),
    Row(SERVER_PORT, (CHAT,), "port of `config_snapshot.base_url`"),
    Row(STOP_REASON, (TURN, CHAT), "`stopReason` as phi-core writes it"),
    Row(FIRST_CHUNK, (CHAT,), "`first_token_ms`, in seconds"),
    Row(SIDE_CALL_ID, (CHAT,), "`SideCall.id`: a model call outside turns"),
    Row(SIDE_CALL_KIND, (CHAT,), "`SideCall.kind`"),
    Row(USAGE_INPUT, (CHAT,), "input tokens, cached ones included, whatever the provider"),
    Row(USAGE_OUTPUT, (CHAT,), "output tokens, reasoning included"),
    Row(USAGE_CACHE_READ, (CHAT,), "`usage.cache_read`"),
    Row(USAGE_CACHE_WRITE, (CHAT,), "`usage.cache_write`"),
    Row(USAGE_REASONING, (CHAT,), "`usage.reasoning`, or what the total proves"),
    Row(RAW_INPUT, (LOOP, CHAT), "`usage.input` as phi-core wrote it; on the loop, `AgentEnd.usage`"),
    Row(RAW_OUTPUT, (LOOP, CHAT), "`usage.output`"),
    Row(RAW_REASONING, (LOOP, CHAT), "`usage.reasoning`"),
    Row(RAW_CACHE_READ, (LOOP, CHAT), "`usage.cache_read`"),
    Row(RAW_CACHE_WRITE, (LOOP, CHAT), "`usage.cache_write`"),
    Row(RAW_TOTAL, (LOOP, CHAT), "`usage.total_tokens`"),
    Row(RAW_MODE, (CHAT,), "`inclusive` or `exclusive`: whether `usage.input` counts cached tokens"),
    Row(USAGE_PARTIAL, (CHAT,), "true where the answer was left early: counts can be too low"),
    Row(TOTAL_INPUT, (LOOP,), "sum of the chats' `gen_ai.usage.input_tokens`"),
    Row(TOTAL_OUTPUT, (LOOP,), "sum of the chats' `gen_ai.usage.output_tokens`"),
    Row(
        COST_USD,
        (LOOP, CHAT),
        "US dollars: as the source says (`cost_usd`), else by prices that are asked for and know the model; on the loop, the sum",
    ),
    Row(
        COST_SOURCE, (LOOP, CHAT), "who says it: `agent`, `table`, `genai-prices/VERSION`; `mixed` for a sum of several"
    ),
    Row(COST_PARTIAL, (LOOP,), "true where the cost of a call in the sum is not known"),
    Row(TURN_INDEX, (TURN, CHAT, TOOL), "`TurnStart.turn_index`, from 0"),
    Row(TURN_TRIGGER, (TURN,), "`TurnStart.triggered_by`, snake case"),
    Row(TURN_TOOLS, (TURN,), "tools executed in the turn"),
    Row(TURN_MESSAGES, (TURN,), "messages that ended in the turn"),
    Row(TOOL_NAME, (TOOL, TOOL_EVENT), "`tool_name`"),
    Row(TOOL_CALL_ID, (TOOL, TOOL_EVENT), "`tool_call_id`"),
    Row(TOOL_TYPE, (TOOL,), "`extension` for a tool of an MCP server (`mcp__SERVER__TOOL`); of others nobody says it"),
    Row(
        TOOL_OUTCOME,
        (TOOL, TOOL_EVENT),
        "ok, error, aborted, not_executed; detached: it went on when its turn was over",
    ),
    Row(TOOL_DURATION_MS, (TOOL_EVENT,), "milliseconds from start to result; none where it never ran"),
    Row(CHILD_LOOP, (TOOL, TOOL_EVENT), "`child_loop_id` of the execution or its result"),
    Row(CHILD_SESSION, (TOOL, TOOL_EVENT), "the session of that loop"),
    Row(SYSTEM, (CHAT,), "content: `TurnRequest.payload.system_prompt`, in a loop's first turn and where it changes"),
    Row(TOOL_DEFINITIONS, (CHAT,), "content: `TurnRequest.payload.tools`, likewise"),
    Row(
        INPUT_MESSAGES,
        (LOOP, CHAT),
        "content: the prompt; `TurnRequest.payload.messages` after the last answer, or all of them",
    ),
    Row(OUTPUT_MESSAGES, (LOOP, CHAT), "content: the final answer; the assistant's message"),
    Row(TOOL_ARGUMENTS, (TOOL,), "content: `ToolExecutionStart.args`"),
    Row(TOOL_RESULT, (TOOL,), "content: `ToolExecutionEnd.result`, of a tool that went well"),
    Row(INPUT_VALUE, (ROOT, LOOP, TOOL), "content: the first prompt, the prompt, the arguments"),
    Row(INPUT_TYPE, (ROOT, LOOP, TOOL), "`text/plain`; of arguments `application/json`"),
    Row(OUTPUT_VALUE, (LOOP, TOOL), "content: the final answer; what a tool that failed answered"),
    Row(OUTPUT_TYPE_OF_VALUE, (LOOP, TOOL), "`text/plain`"),
    Row(INPUT_MODE, (CHAT,), "content: `delta` or `full`: which messages of the request"),
    Row(INPUT_COUNT, (CHAT,), "content: messages of the whole request"),
    Row(INPUT_FIRST, (CHAT,), "content: number of the first message shown, from 0"),
    Row(INPUT_PARTIAL, (CHAT,), "content: true where there was no request: messages as they ended"),
    Row(CONTENT_CUT, (ROOT, LOOP, CHAT, TOOL), "content: texts and messages that were cut"),
    Row(CONTENT_REDACTED, (ROOT, LOOP, CHAT, TOOL), "content: secrets that were taken out"),
    Row(PARALLEL_SIZE, (GROUP,), "number of `ParallelLoopStart.loop_ids`"),
    Row(PARALLEL_LOOPS, (GROUP,), "`ParallelLoopStart.loop_ids`"),
    Row(PARALLEL_SELECTED, (GROUP,), "`ParallelLoopEnd.selected_loop_id`"),
    Row(PARALLEL_INDEX, (GROUP,), "`ParallelLoopEnd.selected_config_index`"),
    Row(
        PARALLEL_SESSION,
        (GROUP,),
        'the session, in place of the two keys above; `profile="phoenix"` alone, where they would make it a turn',
    ),
    Row(PARALLEL_USAGE, (GROUP,), "the judge's usage as phi-core wrote it: `input`, `output`, ..."),
    Row(COMPACTION_TOKENS, _COMPACTION, "`CompactionStarted.estimated_tokens`"),
    Row(COMPACTION_MESSAGES, _COMPACTION, "`CompactionStarted.message_count`"),
    Row(COMPACTION_MESSAGES_BEFORE, _COMPACTION, "`CompactionEnded.messages_before`"),
    Row(COMPACTION_MESSAGES_AFTER, _COMPACTION, "`CompactionEnded.messages_after`"),
    Row(COMPACTION_TOKENS_BEFORE, _COMPACTION, "`CompactionEnded.estimated_tokens_before`"),
    Row(COMPACTION_TOKENS_AFTER, _COMPACTION, "`CompactionEnded.estimated_tokens_after`"),
    Row(COMPACTION_LOOPS, _COMPACTION, "`CompactionEnded.loops_compacted`"),
    Row(COMPACTION_DURATION_MS, _COMPACTION, "milliseconds from start to end"),
    Row(PRUN_TOKENS, (f"event {EVENT_PRUN}",), "`PrunApplied.tokens_removed`"),
    Row(PRUN_MESSAGES, (f"event {EVENT_PRUN}",), "`PrunApplied.messages_removed`"),
    Row(REVERT_CATEGORY, (f"event {EVENT_REVERT}",), "`RevertApplied.category`"),
    Row(REVERT_APPLIED, (f"event {EVENT_REVERT}",), "`RevertApplied.applied`"),
    Row(REVERT_TARGET, (f"event {EVENT_REVERT}",), "`RevertApplied.target`"),
    Row(REVERT_ABANDONED, (f"event {EVENT_REVERT}",), "number of `RevertApplied.abandoned_node_ids`"),
    Row(EVENT_TYPE, (f"event {EVENT_UNKNOWN}",), "type of an event this version does not know"),
    Row(
        LINK_KIND, (LINK,), "spawned, spawned_by, continuation, rerun, branch, compaction, sub_agent, parallel, caller"
    ),
    Row(LINK_SESSION, (LINK,), "session of the target, where it is another"),
    Row(LINK_LOOP, (LINK,), "loop of the target"),
    Row(LINK_TOOL_CALL, (LINK,), "tool call that spawned it"),
    Row(LINK_TAG, (LINK,), "tag of a rerun or branch"),
)
