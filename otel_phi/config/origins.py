"""Where each option's value comes from: keyword or flag, variable, profile or default. The one list of what can be said in which variable.

It says names, never values; config.py reads the environment and hands it over.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import msgspec

from otel_phi.config.cache_folder import VARIABLE as CACHE_FOLDER
from otel_phi.config.content import VARIABLE as CONTENT
from otel_phi.mapping.options import PROFILES


def _otlp(*suffixes: str) -> tuple[str, ...]:
    return tuple(
        name for suffix in suffixes for name in (f"OTEL_EXPORTER_OTLP_TRACES_{suffix}", f"OTEL_EXPORTER_OTLP_{suffix}")
    )


# Each option with the variables that say it, the first that is set counts. Options that only code can say, such as functions, are not here.
VARIABLES: dict[str, tuple[str, ...]] = {
    "exporter": ("OTEL_TRACES_EXPORTER",),
    "disabled": ("OTEL_SDK_DISABLED",),
    "endpoint": _otlp("ENDPOINT"),
    "protocol": _otlp("PROTOCOL"),
    "headers": _otlp("HEADERS"),
    "timeout_s": _otlp("TIMEOUT"),
    "compression": _otlp("COMPRESSION"),
    "certificate": _otlp("CERTIFICATE"),
    "client_certificate": _otlp("CLIENT_CERTIFICATE"),
    "client_key": _otlp("CLIENT_KEY"),
    "insecure": _otlp("INSECURE"),
    "proxy": ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"),
    "no_proxy": ("no_proxy", "NO_PROXY"),
    "service_name": ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"),
    "resource_attributes": ("OTEL_RESOURCE_ATTRIBUTES",),
    "sampler": ("OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"),
    "caller": ("TRACEPARENT",),
    "profile": ("OTEL_PHI_PROFILE",),
    "trace_scope": (),
    "trace_namespace": (),
    "loop_layout": (),
    "tool_spans": (),
    "source_info": (),
    "join": (),
    "agent_name": (),
    "attributes": (),
    "max_attribute_bytes": (),
    "mlflow_trace_name": (),
    "capture_content": (CONTENT,),
    "content_input": (),
    "content_images": (),
    "cost": ("OTEL_PHI_COST",),
    "prices": ("OTEL_PHI_PRICES",),
    "metrics": ("OTEL_PHI_METRICS",),
    "metrics_endpoint": ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",),
    "metrics_protocol": ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",),
    "metrics_headers": ("OTEL_EXPORTER_OTLP_METRICS_HEADERS",),
    "metrics_interval": ("OTEL_METRIC_EXPORT_INTERVAL",),
    "state_dir": ("OTEL_PHI_STATE_DIR",),
    "trace_url": ("OTEL_PHI_TRACE_URL",),
    "strict": ("OTEL_PHI_STRICT",),
    "max_request_bytes": (),
    "give_up_after_s": (),
}
KNOWN_VARIABLES = frozenset(name for names in VARIABLES.values() for name in names) | {CACHE_FOLDER}
# Flags that are not called as their option is.
_FLAGS = {"capture_content": "content", "headers": "header", "attributes": "attribute", "timeout_s": "timeout"}
_OURS = ("OTEL_PHI_", "OTEL_EXPORTER_OTLP_")
# OpenTelemetry's own for logs, and what its SDK's exporters read and ours does not.
_OTHERS = (
    "OTEL_EXPORTER_OTLP_LOGS_",
    "OTEL_EXPORTER_OTLP_METRICS_",
    "OTEL_EXPORTER_OTLP_PROFILES_",
    "OTEL_PHI_SOAK",  # of this project's tests, as are the rest
    "OTEL_PHI_E2E_",
    "OTEL_PHI_BENCH_",
)


class Origin(msgspec.Struct, frozen=True):
    """An origin is where an option's value comes from.

    Attributes:
        kind: `flag`, `variable`, `profile` or `default`.
        name: of the flag, the variable or the profile; "" for a default.
    """

    kind: str
    name: str = ""

    def __str__(self) -> str:
        match self.kind:
            case "variable" | "flag":
                return self.name
            case "profile":
                return f"profile {self.name}"
            case _:
                return self.kind


DEFAULT = Origin("default")


def origins(
    given: Collection[str], environment: Mapping[str, str], ignored: Collection[str], profile: str | None
) -> Iterator[tuple[str, Origin]]:
    """Yields each option with its origin.

    Args:
        given: options that flags gave.
        environment: variables by name.
        ignored: variables whose values could not be used.
        profile: the profile that counts, None for none.
    """
    of_profile = PROFILES.get(profile or "", {})
    for option, variables in VARIABLES.items():
        found = next((name for name in variables if environment.get(name, "").strip() and name not in ignored), None)
        if option in given:
            yield option, Origin("flag", f"--{_FLAGS.get(option, option).replace('_', '-')}")
        elif found is not None:
            yield option, Origin("variable", found)
        elif option in of_profile:
            yield option, Origin("profile", profile or "")
        else:
            yield option, DEFAULT


def unknown_variables(environment: Mapping[str, str]) -> Iterator[tuple[str, str | None]]:
    """Yields variables that begin as ours do and that nobody reads, each with the known name that is most like it."""
    import difflib

    for name in sorted(environment):
        if name.startswith(_OURS) and name not in KNOWN_VARIABLES and not name.startswith(_OTHERS):
            close = difflib.get_close_matches(name, KNOWN_VARIABLES, n=1, cutoff=0.8)
            yield name, close[0] if close else None
