"""Configuration: keyword, else environment, else default. The only module that reads the environment.

A bad keyword raises ConfigError with the fix in it; a bad environment value is reported once and its default used, as
OpenTelemetry asks. No message, log line or repr holds a header's value or a password.

Endpoints. OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is used as it is; `/v1/traces` is appended to OTEL_EXPORTER_OTLP_ENDPOINT,
and to the keyword only where its URL has no path. gRPC uses host and port alone. Timeouts are in seconds, as in
opentelemetry-python. Headers given by keyword are put on top of the environment's.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict
from urllib.parse import unquote

import msgspec

from otel_phi.config import destination, values
from otel_phi.config import endpoint as urls
from otel_phi.config.choices import Choices, report
from otel_phi.config.content import content_options
from otel_phi.config.exporters import chosen_exporters
from otel_phi.config.headers import Headers
from otel_phi.config.metrics import MetricsOptions, chosen_metrics
from otel_phi.config.prices import chosen_prices
from otel_phi.config.proxies import proxy
from otel_phi.config.state_folder import chosen_state_dir, named, reported_state_dir
from otel_phi.config.tls_files import TlsFiles
from otel_phi.config.values import Protocol, Sampler
from otel_phi.delivery.options import GIVE_UP_AFTER_S, MAX_LINE_REQUEST_BYTES, MAX_REQUEST_BYTES
from otel_phi.errors import ConfigError
from otel_phi.mapping.options import PROFILES, MappingOptions, options_for
from otel_phi.mapping.price_table import NO_PRICES, PriceSource
from otel_phi.mapping.span import AttributeValue
from otel_phi.policy.options import NO_CONTENT, ContentOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack  # typing has it from 3.11 on


NO_METRICS = MetricsOptions()
# What is asked for the attributes of a session.
AttributesFor = Callable[[str], Mapping[str, str | bool | int | float]]


class Options(TypedDict, total=False):
    """Names the keywords of `resolve` with their types; those of `MappingOptions` come on top. None: not given."""

    endpoint: str | None
    protocol: str | None
    headers: Headers | None
    timeout_s: float | None
    compression: str | None
    certificate: str | None
    client_certificate: str | None
    client_key: str | None
    insecure: bool | None
    exporter: object | None
    file: str | None
    destination_name: str | None
    service_name: str | None
    resource_attributes: Mapping[str, AttributeValue] | None
    sampler: Sampler | None
    trace_url: str | None
    state_dir: str | Path | None
    give_up_after_s: float | None
    max_request_bytes: int | None
    profile: str | None
    trace_scope: str | None
    trace_namespace: str | None
    loop_layout: str | None
    tool_spans: bool | None
    source_info: bool | None
    agent_name: str | None
    attributes: Any
    attributes_for: AttributesFor | None
    metrics: object | None
    cost: bool | None
    prices: str | Path | None
    caller: str | None
    join: bool | None
    max_attribute_bytes: int | None
    mlflow_trace_name: bool | None
    strict: bool | str | None
    record: str | Path | Callable[[str], object] | None
    capture_content: bool | str | None
    content_input: str | None
    content_images: bool | None
    redact: Callable[[str, str], str] | None
    redact_keys: Iterable[str] | None
    redact_patterns: Iterable[object] | Mapping[str, object] | None
    redact_defaults: bool | None


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration is everything a door needs to know, resolved and checked.

    Attributes:
        endpoint: the URL requests go to, without user and password.
        protocol: how.
        headers: static ones with lower-case names, or a callable asked before each attempt.
        timeout_s: bound of one attempt.
        gzip: compress requests (default yes).
        tls: PEM files for https.
        proxy: URL of the proxy for this endpoint, None for none.
        exporters: where spans go, each on its own: `otlp`, the name of an entry point, or an OpenTelemetry SpanExporter;
            `otlp` stands first. `none` alone for nowhere.
        console_to_stderr: the `console` exporter leaves stdout to data; for a door that writes some there.
        destination_name: what tells the destination of a headers callable or an exporter object from others in the outbox; None
            for its service's name.
        file: write OTLP-JSON lines there instead of sending, `-` for stdout; None to send.
        disabled: OTEL_SDK_DISABLED: nothing leaves.
        service_name: from the keywords, OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES; None leaves it to detection.
        resource_attributes: on top of what is detected.
        sampler: which sessions are kept: all, none or a share from 0 to 1.
        trace_url: template of links to a trace, with `{trace_id}`; None for none.
        traceparent: W3C context of whoever started this process, from TRACEPARENT; None for none.
        state_dir: where the journal and cursors live between runs; None where no folder can be named: then in memory.
        give_up_after_s: seconds without progress after which an export ends and can be resumed; `inf` for never.
        max_request_bytes: bound of a request before compression; smaller where it becomes a line of a file.
        profile: the backend's name, None for none.
        mapping: what spans say.
        strict: what the hook does with an event that nobody understands: `off`, `log` each, or `raise`.
        attributes_for: gives what else every span of a session says, by its id; asked where a loop begins, on the agent's thread.
        metrics: whether there are metrics, and where they go.
        prices: what model calls are priced by: a table of the user's own, and the library genai-prices.
        record: file or function that gets every event the hook takes, as JSON lines, after policy; None for none.
        content: whether contents may leave, which, and what is taken out of them.
    """

    endpoint: str
    protocol: Protocol
    headers: Headers
    timeout_s: float
    gzip: bool
    tls: TlsFiles
    proxy: str | None
    exporters: tuple[object, ...]
    file: str | None
    disabled: bool
    service_name: str | None
    resource_attributes: Mapping[str, AttributeValue]
    sampler: Sampler
    trace_url: str | None
    traceparent: str | None
    state_dir: Path | None
    give_up_after_s: float
    max_request_bytes: int
    profile: str | None
    mapping: MappingOptions
    console_to_stderr: bool = False
    destination_name: str | None = None
    strict: values.Strict = "off"
    attributes_for: AttributesFor | None = None
    metrics: MetricsOptions = NO_METRICS
    prices: PriceSource = NO_PRICES
    record: str | Path | Callable[[str], object] | None = None
    content: ContentOptions = NO_CONTENT

    @property
    def capture_content(self) -> bool:
        """Returns whether what people and models write may leave."""
        return self.content.capture

    @property
    def display_endpoint(self) -> str:
        """Returns the endpoint without what may be secret, for people."""
        return urls.without_credentials(self.endpoint)

    @property
    def state_folder(self) -> Path:
        """Returns the state folder, for what is nothing without one.

        Raises:
            ConfigError: none can be named.
        """
        return named(self.state_dir)

    @property
    def sample_ratio(self) -> float:
        """Returns the share of sessions that are kept, from 0.0 to 1.0."""
        match self.sampler:
            case "always_on":
                return 1.0
            case "always_off":
                return 0.0
            case share:
                return float(share)

    @property
    def exporter_names(self) -> tuple[str, ...]:
        """Returns the exporters' names, the class's of an object that was given."""
        return tuple(one if isinstance(one, str) else type(one).__qualname__ for one in self.exporters)

    @property
    def exporter_name(self) -> str:
        """Returns the exporters' names as one text."""
        return ",".join(self.exporter_names)

    @property
    def sends_nothing(self) -> str | None:
        """Returns why nothing is to leave, as a word to count by; None where it is."""
        if self.file is not None:
            return None
        if self.disabled:
            return "sdk_disabled"
        return "exporter_none" if self.exporters == ("none",) else None

    @property
    def fixed_headers(self) -> tuple[tuple[str, str], ...]:
        """Returns the headers that are known now; none where they are asked for before each attempt."""
        return () if callable(self.headers) else tuple(self.headers.items())

    def mapping_for(self, service_name: object) -> MappingOptions:
        """Returns how notices become spans for a resource whose `service.name` is this, None where it has none."""
        return msgspec.structs.replace(self.mapping, service_name=str(service_name or "unknown_service"))

    def __repr__(self) -> str:
        names = "a callable" if callable(self.headers) else f"names {sorted(self.headers)}"
        return f"Config({self.display_endpoint!r}, {self.protocol!r}, headers={names}, profile={self.profile!r}, ...)"


def resolve(**options: Unpack[Options]) -> Config:
    """Settles every option: keyword, else environment, else default.

    Args:
        **options: see `Options`; None means "not given".

    Raises:
        ConfigError: a keyword does not exist or has a value that cannot be, or credentials would cross a network in
            the clear; the message holds the fix.
    """
    given: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
    _reject_unknown(given)
    values.check_types(given)
    return _settled(given, Choices(given, os.environ))


def _settled(given: Mapping[str, Any], choices: Choices) -> Config:
    variable, choose = choices.variable, choices.choose
    exporters, protocol = chosen_exporters(choices)
    endpoint, authorization = urls.split_credentials(destination.endpoint(choices, protocol))
    headers = destination.headers(choices, authorization)
    destination.guard_plain_text(endpoint, headers, allowed=destination.insecure(choices))
    service_name = _service_name(choices)
    profile, mapping = _mapping(choices, service_name)
    request_bytes = MAX_REQUEST_BYTES if given.get("file") is None else MAX_LINE_REQUEST_BYTES
    return Config(
        endpoint=endpoint,
        protocol=protocol,
        headers=headers,
        timeout_s=destination.timeout_s(choices),
        gzip=choose("compression", choices.otlp("COMPRESSION"), values.compression, True),
        tls=destination.tls_files(choices),
        proxy=proxy(choices, endpoint),
        exporters=exporters,
        disabled=(choices.value("OTEL_SDK_DISABLED") or "").lower() == "true",
        service_name=service_name,
        resource_attributes=given.get("resource_attributes", {}),
        sampler=_sampler(choices),
        trace_url=choose("trace_url", variable("OTEL_PHI_TRACE_URL"), values.trace_url, None),
        traceparent=choose("traceparent", variable("TRACEPARENT"), values.traceparent, None),
        state_dir=reported_state_dir(choices),
        give_up_after_s=choose("give_up_after_s", None, values.give_up_after, GIVE_UP_AFTER_S),
        max_request_bytes=choose("max_request_bytes", None, values.size, request_bytes),
        profile=profile,
        mapping=mapping,
        metrics=chosen_metrics(choices, endpoint, protocol, headers),
        prices=chosen_prices(choices),
        **{name: given.get(name) for name in ("file", "destination_name", "record", "attributes_for")},  # type: ignore[arg-type]  # checked by `check_types`
        strict=choose("strict", variable("OTEL_PHI_STRICT"), values.strict, "off"),
        content=content_options(choices, mapping),
    )


def environment() -> Mapping[str, str]:
    """Returns the environment, for whoever asks where other agents keep their sessions."""
    return dict(os.environ)


def state_dir(given: Path | None = None) -> Path:
    """Returns where state lives, for whoever needs that alone: what is given, else the environment, else the platform's.

    Raises:
        ConfigError: no folder can be named, or what is given begins with the home of a user who does not exist.
    """
    return named(chosen_state_dir(Choices({} if given is None else {"state_dir": given}, os.environ)))


def price_source(cost: bool | None = None, file: str | Path | None = None) -> PriceSource:
    """Returns where prices come from, for whoever needs that alone: what is given, else the environment.

    Raises:
        ConfigError: the file is no table of prices, or the library is not here.
    """
    given = {key: value for key, value in (("cost", cost), ("prices", file)) if value is not None}
    return chosen_prices(Choices(given, os.environ))


def _reject_unknown(given: Mapping[str, Any]) -> None:
    known = Options.__annotations__
    for key in given:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"use one of {', '.join(sorted(known))}"
            raise ConfigError(f"option {key!r} is unknown; {hint}")


def _service_name(choices: Choices) -> str | None:
    """Returns `service.name` with OpenTelemetry's precedence, None where only a resource detector may know it."""
    given = choices.given.get("service_name") or choices.given.get("resource_attributes", {}).get("service.name")
    name_found = given or choices.value("OTEL_SERVICE_NAME")
    if name_found:
        return str(name_found)
    last = None
    for item in (choices.value("OTEL_RESOURCE_ATTRIBUTES") or "").split(","):
        name, _, value = item.partition("=")
        if name.strip() == "service.name" and value.strip():
            last = unquote(value.strip())  # the last one wins, as in the SDK
    return last


def _sampler(choices: Choices) -> Sampler:
    """Reads OTEL_TRACES_SAMPLER; a parent-based one decides as its root does, since sessions have no parent."""
    found = choices.variable("OTEL_TRACES_SAMPLER")
    name = found[1].lower().removeprefix("parentbased_") if found else "always_on"
    if "sampler" in choices.given or name != "traceidratio":
        return choices.choose("sampler", ("OTEL_TRACES_SAMPLER", name), values.sampler, "always_on")
    return choices.choose("sampler", choices.variable("OTEL_TRACES_SAMPLER_ARG"), values.ratio, 1.0)


def _mapping(choices: Choices, service_name: str | None) -> tuple[str | None, MappingOptions]:
    """Returns profile and mapping options; the mapping's own checks speak through ConfigError."""
    profile = choices.given.get("profile")
    found = choices.variable("OTEL_PHI_PROFILE")
    if profile is None and found:
        if found[1] in PROFILES:
            profile = found[1]
        else:
            report(found[0], f"profile {found[1]!r} is unknown, use one of {', '.join(PROFILES)}; it is ignored")
    explicit = {key: choices.given[key] for key in MappingOptions.__struct_fields__ if key in choices.given}
    try:
        return profile, options_for(profile, **{**explicit, "service_name": service_name})
    except ValueError as error:
        raise ConfigError(str(error)) from None
