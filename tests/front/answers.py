"""Answers of providers as JSON, as their documentation and APIs have them; tests make objects of the real packages from these."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

CHAT: Json = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-5-2026-08-07",
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "logprobs": None,
            "message": {
                "role": "assistant",
                "content": None,
                "refusal": None,
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}],
            },
        }
    ],
    "usage": {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "total_tokens": 120,
        "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 12, "audio_tokens": 0},
    },
}


def chunk(delta: Json | None, finish: str | None = None, usage: Json | None = None) -> Json:
    """Returns a chunk of a chat completion; without a delta it has no choice."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-5-2026-08-07",
        "choices": choices,
        "usage": usage,
    }


CHUNKS: list[Json] = [
    chunk({"role": "assistant", "content": ""}),
    chunk({"content": "Hel"}),
    chunk({"content": "lo"}),
    chunk({}, "stop"),
    chunk(None, usage=CHAT["usage"]),
]

RESPONSE: Json = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "metadata": {},
    "model": "gpt-5-2026-08-07",
    "output": [
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Hello", "annotations": []}],
        }
    ],
    "parallel_tool_calls": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "usage": {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 8},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 12},
        "total_tokens": 120,
    },
}
RUNNING: Json = {**RESPONSE, "status": "in_progress", "output": [], "usage": None}
_AT: Json = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
EVENTS: list[Json] = [
    {"type": "response.created", "sequence_number": 0, "response": RUNNING},
    {"type": "response.in_progress", "sequence_number": 1, "response": RUNNING},
    {
        "type": "response.output_item.added",
        "sequence_number": 2,
        "output_index": 0,
        "item": {"id": "msg_1", "type": "message", "role": "assistant", "status": "in_progress", "content": []},
    },
    {
        "type": "response.content_part.added",
        "sequence_number": 3,
        **_AT,
        "part": {"type": "output_text", "text": "", "annotations": []},
    },
    {"type": "response.output_text.delta", "sequence_number": 4, **_AT, "delta": "Hello", "logprobs": []},
    {"type": "response.output_text.done", "sequence_number": 5, **_AT, "text": "Hello", "logprobs": []},
    {
        "type": "response.content_part.done",
        "sequence_number": 6,
        **_AT,
        "part": {"type": "output_text", "text": "Hello", "annotations": []},
    },
    {"type": "response.output_item.done", "sequence_number": 7, "output_index": 0, "item": RESPONSE["output"][0]},
    {"type": "response.completed", "sequence_number": 8, "response": RESPONSE},
]

MESSAGE: Json = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-test",
    "content": [{"type": "text", "text": "Hello", "citations": None}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 36,
        "output_tokens": 20,
        "cache_creation_input_tokens": 8,
        "cache_read_input_tokens": 64,
        "output_tokens_details": {"thinking_tokens": 12},
    },
}
STREAMED: list[Json] = [
    {
        "type": "message_start",
        "message": {
            **MESSAGE,
            "content": [],
            "stop_reason": None,
            "usage": {
                "input_tokens": 36,
                "output_tokens": 1,
                "cache_creation_input_tokens": 8,
                "cache_read_input_tokens": 64,
            },
        },
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo"}},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 20, "output_tokens_details": {"thinking_tokens": 12}},
    },
    {"type": "message_stop"},
]


def gemini(text: str, finish: str | None, thoughts: int, answered: int) -> Json:
    """Returns an answer of Gemini, whole or one of a stream: each has all counts so far."""
    counts = {
        "promptTokenCount": 100,
        "cachedContentTokenCount": 64,
        "toolUsePromptTokenCount": 30,
        "thoughtsTokenCount": thoughts,
        "candidatesTokenCount": answered,
        "totalTokenCount": 130 + thoughts + answered,
    }
    candidate = {"index": 0, "content": {"role": "model", "parts": [{"text": text}]}}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "modelVersion": "gemini-3-pro", "usageMetadata": counts}


GEMINI = gemini("Hello", "STOP", 12, 8)
GEMINI_STREAM = [gemini("Hel", None, 12, 3), gemini("lo", "STOP", 12, 8)]
