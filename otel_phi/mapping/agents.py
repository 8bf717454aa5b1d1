"""The agent's name: `gen_ai.agent.name` of every span, and the subject of a loop's name.

Rule 1: it is low in cardinality, never an id: span names and labels of metrics hold it.
Rule 2: whoever is nearest wins: `AgentStart.agent_name`, else the option `agent_name`, else the agent whose records were read, else the name that its user gave the loop's configuration (so that the branches of a
parallel evaluation can be told apart in a list), else a configured `service.name`, for the attribute alone. Else there is none: `unknown_service` is no name.
"""

from __future__ import annotations

import functools
import re

from otel_phi.mapping.options import DEFAULT_SERVICE, UNKNOWN_SERVICE, MappingOptions
from otel_phi.recorder.notices import LoopStart

# A name, such as `concise` or `Careful Judge`; not one that holds what ids are made of: 8 hexadecimal digits with a decimal one among
# them, or 6 decimal ones. A sentence has more than five parts, or other signs in it.
_NAME = re.compile(r"(?=.{1,64}$)[^\W\d_][\w.:/@+-]*(?: [\w.+&()'-]+){0,4}")
_ID = re.compile(r"(?=[a-f]*\d)[0-9a-f]{8}|\d{6}", re.IGNORECASE)
_NO_WORD = re.compile(r"[^\w-]")


def of_loop(start: LoopStart, options: MappingOptions) -> str | None:
    """Returns the name of a loop's agent, None where there is none for its span's name."""
    recorded = start.source.agent if start.source is not None else None
    said = _known(start.agent_name) or _known(options.agent_name) or recorded
    if said:
        return said
    config = start.config
    return None if config is None else _known(_given(config.config_id, config.provider, config.model))


def of_service(options: MappingOptions) -> str | None:
    """Returns the name of the agent where no loop says it: of a session's root, say."""
    service = options.service_name
    return _known(options.agent_name) or (_known(service) if service != DEFAULT_SERVICE else None)


def _known(name: str | None) -> str | None:
    """Returns a name, None for OpenTelemetry's word for a service that nobody named: who takes it from a resource may hand it on."""
    return None if not name or name.startswith(UNKNOWN_SERVICE) else name


@functools.lru_cache(maxsize=256)
def _given(config_id: str | None, provider: str, model: str) -> str | None:
    """Returns a configuration's name where its user chose it; phi-core makes up `{provider}.{model}`, `.thinking` behind it at times."""
    if not config_id or not _NAME.fullmatch(config_id) or _ID.search(config_id):
        return None
    # phi-core 0.15, `ModelConfig::id`: every character of the model's id that is no letter, digit or hyphen becomes a hyphen.
    made_up = f"{provider}.{_NO_WORD.sub('-', model).replace('_', '-')}"
    return None if config_id.removesuffix(".thinking") == made_up else config_id
