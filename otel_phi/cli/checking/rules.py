"""The rules: what a check can find, how bad that is, what it means and what to do. Each stands here and nowhere else."""

from __future__ import annotations

from typing import Literal

import msgspec

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")  # the worst first

NO_FIX = "Nothing."


class Rule(msgspec.Struct, frozen=True):
    """A rule is one kind of finding.

    Attributes:
        id: its name, the same for good: scripts look for it.
        severity: `error` for what is lost or refused, `warning` for what is odd or will be shown otherwise than it was meant, `note` for
            what is worth knowing and changes no exit code.
        meaning: what it says of what was looked at.
        fix: what to do.
    """

    id: str
    severity: Severity
    meaning: str
    fix: str


FILE_RULES = (
    Rule(
        "unreadable-line",
        "error",
        "A line is no event and is left out; all others are read.",
        "Look at the line: half a line is left by a process that was killed, anything else by what wrote it.",
    ),
    Rule(
        "unreadable-file",
        "error",
        "A file, or the rest of it, cannot be read and is left out.",
        "Give it read permission, unpack it again, or copy it again from where it came.",
    ),
    Rule(
        "span-too-large",
        "error",
        "A span is larger than the 4 MiB that a gRPC server takes in a message; it is refused and becomes a dead letter.",
        "Use a smaller max_attribute_bytes or another --profile, or http/protobuf to a collector that takes more.",
    ),
    Rule(
        "unknown-type",
        "warning",
        "An event is of a type that nobody knows: it becomes an event on the loop's span, no span of its own.",
        "Spell the type as phi-core does; for a type newer than this version, update otel-phi.",
    ),
    Rule(
        "unknown-role",
        "warning",
        "A message has a role that nobody knows: it is no part of its turn.",
        "Use user, assistant, toolResult or extension.",
    ),
    Rule(
        "unknown-key",
        "warning",
        "A key is one that nobody knows: what stands behind it is not read.",
        "Spell the key as phi-core does; for one newer than this version, update otel-phi.",
    ),
    Rule(
        "loop-not-open",
        "warning",
        "An event belongs to no open loop: no span shows it.",
        "Write AgentStart first and nothing after AgentEnd, with the same loop_id.",
    ),
    Rule(
        "loop-open",
        "warning",
        "A loop has no end: export holds it back for 10 minutes after the file was last written to, then sends it as aborted.",
        "Nothing, where the agent still works or was killed; else write its AgentEnd.",
    ),
    Rule(
        "turn-open",
        "warning",
        "A turn has no end when its loop ends or the next turn begins: it is sent as aborted.",
        "Write TurnEnd behind the turn's tools.",
    ),
    Rule(
        "tool-open",
        "warning",
        "A tool began and never ended in its turn: it is sent as aborted.",
        "Write ToolExecutionEnd with the call id of its start.",
    ),
    Rule(
        "tool-not-begun",
        "warning",
        "A tool ended that had not begun in this turn: its start is taken from what was before, and marked as inferred.",
        "Write ToolExecutionStart first, with the same tool_call_id.",
    ),
    Rule(
        "double-line",
        "warning",
        "A line is there twice in a row: what it says is counted once or twice, as its kind is.",
        "Write each event once; two writers or a log that is kept twice are the usual cause.",
    ),
    Rule(
        "double-loop",
        "warning",
        "A loop is told twice, with the same id and start: the second is ignored, with all that is in it.",
        "Write each event once; a log read from two places is one too many.",
    ),
    Rule(
        "double-turn",
        "warning",
        "A turn is told twice, with the same index and start: while it is open the second is ignored, later it is a turn of its own and counts twice.",
        "Write each event once.",
    ),
    Rule(
        "clock-step",
        "warning",
        "A time lies before an earlier one of its loop: spans are clamped, durations are not the real ones.",
        "Keep the machine's clock steady (NTP that slews), or take times from one clock.",
    ),
    Rule(
        "clock-range",
        "warning",
        "A time lies before 2000 or more than a day ahead: backends drop such spans or never find them.",
        "Write nanoseconds, milliseconds or RFC 3339 as the field has it; set the machine's clock.",
    ),
    Rule(
        "ordinals-missing",
        "warning",
        "An event log leaves out numbers: lines of it are missing.",
        "Look for the rest of the log; spans are made of what is there.",
    ),
    Rule(
        "usage-missing",
        "warning",
        "A model answered and no tokens are counted: the call's tokens and cost are missing from all totals.",
        "Fill in usage; with OpenAI's protocol ask for it: stream_options.include_usage.",
    ),
    Rule(
        "usage-negative",
        "warning",
        "A count of tokens is negative; it is read as 0.",
        "Count tokens from 0 up.",
    ),
    Rule(
        "usage-total",
        "warning",
        "Totals of tokens disagree: the turn's with its answer's, the loop's with its turns', or a total with its parts. Spans count the answers'; phi.usage.* of a loop is what its end says.",
        "Fill all of them from the same numbers.",
    ),
    Rule(
        "events-dropped",
        "warning",
        "More happened in a turn or loop than its span holds: the rest is counted and left out.",
        "Nothing, or make more and shorter turns.",
    ),
    Rule(
        "tempo-trace-size",
        "warning",
        "A trace is larger than what Tempo keeps of one: the rest is thrown away, and Tempo says nothing.",
        "Raise Tempo's max_bytes_per_trace, or send a trace a loop: --trace-scope loop.",
    ),
    Rule(
        "secret",
        "warning",
        "Redaction finds secrets: with contents on they are taken out before anything leaves, and they stand in the file all the same.",
        "Change what leaked, and keep it out of prompts, arguments and results.",
    ),
    Rule(
        "ordinals-restart",
        "note",
        "An event log's numbers begin again: its process was started again.",
        NO_FIX,
    ),
    Rule(
        "loop-twice",
        "note",
        "Loops stand in more than one file, a copy or a backup: each is read from one of them.",
        "Nothing, or leave the copies out.",
    ),
    Rule(
        "file-left-out",
        "note",
        "Files of the folder hold no sessions; they are left out.",
        NO_FIX,
    ),
    Rule(
        "value-cut",
        "note",
        "A text is longer than the profile's limit; it is cut and marked.",
        "Nothing, or raise max_attribute_bytes where the backend takes more.",
    ),
    Rule(
        "large-trace",
        "note",
        "A trace is larger than the 5 MB that Tempo keeps of one by default.",
        "Nothing, unless it goes to Tempo: then --profile tempo checks for it.",
    ),
    Rule(
        "tempo-search",
        "note",
        "Spans ended more than 2 minutes ago: Tempo by default finds them by trace id and never by search.",
        "Raise Tempo's ingestion_time_range_slack, or open traces by id.",
    ),
)

ENDPOINT_RULES = (
    Rule(
        "name-unknown",
        "error",
        "The host's name does not resolve.",
        "Look for a slip in the name; from a container, localhost is the container itself: name the collector's service.",
    ),
    Rule(
        "no-connection",
        "error",
        "Nothing answers at this address.",
        "Start the collector, or look at its port (4318 for HTTP, 4317 for gRPC) and the firewall between.",
    ),
    Rule(
        "tls-untrusted",
        "error",
        "The server's certificate is not to be trusted: another name, another CA, or out of date.",
        "Give its CA with --certificate (OTEL_EXPORTER_OTLP_CERTIFICATE), and use the host name that stands in the certificate.",
    ),
    Rule(
        "tls-not-spoken",
        "error",
        "The endpoint is https, and the server speaks no TLS.",
        "Write http:// in the endpoint, or turn TLS on in the collector.",
    ),
    Rule(
        "tls-failed",
        "error",
        "The TLS handshake failed.",
        "Look at the TLS version and the client certificate that the server asks for: --client-certificate, --client-key.",
    ),
    Rule(
        "tls-wanted",
        "error",
        "The endpoint is http, and the server speaks TLS.",
        "Write https:// in the endpoint.",
    ),
    Rule(
        "certificate-ends",
        "warning",
        "The server's certificate ends within 14 days.",
        "Renew it.",
    ),
    Rule(
        "speaks-grpc",
        "error",
        "HTTP was asked for, and the server speaks gRPC.",
        "Use --protocol grpc (OTEL_EXPORTER_OTLP_PROTOCOL=grpc), or the HTTP port, 4318 usually.",
    ),
    Rule(
        "speaks-http",
        "error",
        "gRPC was asked for, and the server speaks HTTP.",
        "Use --protocol http/protobuf (OTEL_EXPORTER_OTLP_PROTOCOL), or the gRPC port, 4317 usually.",
    ),
    Rule(
        "speaks-neither",
        "error",
        "What answers speaks neither HTTP nor gRPC.",
        "Look at what listens there: it is no collector.",
    ),
    Rule(
        "wrong-path",
        "error",
        "The server takes no traces at this path.",
        "For HTTP the path ends in /v1/traces: --endpoint without a path has it appended, OTEL_EXPORTER_OTLP_ENDPOINT is a base.",
    ),
    Rule(
        "unauthorized",
        "error",
        "The server wants other credentials, or more of them.",
        "Look at the header's name and value: --header, OTEL_EXPORTER_OTLP_HEADERS; a token may have run out.",
    ),
    Rule(
        "no-collector",
        "error",
        "What answers is an HTTP server, and no OTLP collector.",
        "Look at host, port and path: a web page, a proxy or another service listens there.",
    ),
    Rule(
        "not-taken",
        "error",
        "The server does not take the request.",
        "Read its words, and its log.",
    ),
    Rule(
        "not-now",
        "error",
        "The server cannot take the request now.",
        "Look at its health and limits; a live agent keeps all and tries again.",
    ),
)

CONFIGURATION_RULES = (
    Rule(
        "configuration-refused",
        "error",
        "The configuration cannot be: the hook's install would raise this.",
        "The message says what to write.",
    ),
    Rule(
        "exporter-unusable",
        "error",
        "An exporter cannot be opened: nothing would leave.",
        "The message names the file, header or package.",
    ),
    Rule(
        "outbox-damaged",
        "error",
        "A journal in the outbox is damaged: the damaged lines are lost, all others are sent.",
        "Look at the disk; otel-phi status has the places.",
    ),
    Rule(
        "variable-ignored",
        "warning",
        "An environment variable says what cannot be, or is read otherwise than it looks.",
        "The message says what to write.",
    ),
    Rule(
        "variable-unknown",
        "warning",
        "An environment variable looks like one of ours, and nobody reads it.",
        "Look for a slip in its name.",
    ),
    Rule(
        "nothing-sent",
        "warning",
        "Nothing is sent.",
        "Unset OTEL_SDK_DISABLED, or name an exporter in OTEL_TRACES_EXPORTER.",
    ),
    Rule(
        "state-folder",
        "warning",
        "The state folder cannot be written: what an agent tells is kept in memory, and a process that dies loses it.",
        "Make it writable, or name another with OTEL_PHI_STATE_DIR.",
    ),
    Rule(
        "dead-letters",
        "warning",
        "Spans were refused for good and wait as dead letters.",
        "otel-phi status says why; otel-phi status --retry lets them be sent again.",
    ),
    Rule(
        "outbox-left-alone",
        "warning",
        "The outbox holds what this version cannot read, and leaves it alone.",
        "otel-phi status names it; the version that wrote it can send it.",
    ),
    Rule(
        "waiting",
        "note",
        "Facts wait in the outbox to be sent.",
        "Nothing while an agent lives; else otel-phi flush sends them.",
    ),
)

RULES = {rule.id: rule for rule in (*FILE_RULES, *ENDPOINT_RULES, *CONFIGURATION_RULES)}
