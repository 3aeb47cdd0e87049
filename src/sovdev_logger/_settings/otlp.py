"""The standard OTEL variables: where each signal goes and how."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar
from urllib.parse import unquote, urlsplit

from sovdev_logger._settings.endpoint import (
    HttpEndpoint,
    credential_refusal,
    credentials_among,
    is_network_trusted,
    split_http_url,
    split_pairs,
    unusable_tls_file,
)
from sovdev_logger._settings.reader import (
    FLAG,
    TEXT,
    EnvironmentReader,
    Kind,
    Variable,
    choice,
    parse_positive,
    parse_whole_number,
    usable_seconds,
    variable,
)

T = TypeVar("T")

SIGNALS: Final = ("logs", "metrics", "traces")

GRPC_PORT: Final = 4317
HTTP_PORT: Final = 4318
_NO_EXPORTER: Final = "none"
_OTLP_EXPORTERS: Final = frozenset({"otlp", "otlp_proto_http", "otlp_proto_grpc"})

_LARGEST_TIMEOUT_READ_AS_SECONDS: Final = 100


def _timeout(text: str) -> float | None:
    milliseconds = parse_positive(text)
    # The standard says milliseconds, Python's SDK has always read seconds: nobody means 10 ms.
    if milliseconds is None or milliseconds < _LARGEST_TIMEOUT_READ_AS_SECONDS:
        return milliseconds
    return usable_seconds(milliseconds / 1000)


def _interval(text: str) -> float | None:
    milliseconds = parse_whole_number(text, 1)
    return None if milliseconds is None else usable_seconds(milliseconds / 1000)


def _show_milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:g}"


URL: Final = Kind("an http:// or https:// URL", lambda text: text if split_http_url(text) else None)
PAIRS: Final = Kind("key=value,key=value with percent-encoded values", str)
TIMEOUT_KIND: Final = Kind("a positive number of milliseconds", _timeout, _show_milliseconds)
INTERVAL: Final = Kind("a whole number of at least 1", _interval, _show_milliseconds)
FILE: Final = Kind("a file", str)
HTTP_PROTOBUF: Final = Kind("http/protobuf", str)

ENDPOINT: Final = Variable("OTEL_EXPORTER_OTLP_ENDPOINT", URL, None)
"""The collector; ``/v1/logs`` and the like is appended, but not to a signal's own endpoint. Unset,
nothing is sent over OTLP."""

HEADERS: Final = Variable("OTEL_EXPORTER_OTLP_HEADERS", PAIRS, None)
"""Sent with each request; those of a signal are added and win. Credentials go over TLS, to this
machine, or over a trusted network."""

TIMEOUT: Final = Variable("OTEL_EXPORTER_OTLP_TIMEOUT", TIMEOUT_KIND, 10.0)
"""Milliseconds that one request may take; below 100 it is read as seconds."""

COMPRESSION: Final = Variable(
    "OTEL_EXPORTER_OTLP_COMPRESSION", choice(none=False, gzip=True), False
)
"""How requests are compressed."""

CERTIFICATE: Final = Variable("OTEL_EXPORTER_OTLP_CERTIFICATE", FILE, None)
"""The authorities that are trusted instead of the system's."""

CLIENT_CERTIFICATE: Final = Variable("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", FILE, None)
"""The certificate that is shown to the collector."""

CLIENT_KEY: Final = Variable("OTEL_EXPORTER_OTLP_CLIENT_KEY", FILE, None)
"""The key of that certificate."""

PROTOCOL: Final = Variable("OTEL_EXPORTER_OTLP_PROTOCOL", HTTP_PROTOBUF, "http/protobuf")
"""Anything else leads to one warning, and HTTP with protobuf is used. So does port 4317, that of
gRPC, without this variable."""

EXPORTER: Final = Variable("OTEL_<SIGNAL>_EXPORTER", TEXT, None)
"""``otlp``, or ``none``, which switches the signal off; another exporter leads to one warning."""

SDK_DISABLED: Final = Variable("OTEL_SDK_DISABLED", FLAG, False)
"""``true``: nothing is sent over OTLP; the other outputs stay."""

RESOURCE_ATTRIBUTES: Final = Variable("OTEL_RESOURCE_ATTRIBUTES", PAIRS, None)
"""Added to the resource. ``service.version`` is the version where neither the argument nor
``SERVICE_VERSION`` is given; ``service.instance.id`` replaces the session id as the instance."""


@dataclass(frozen=True, slots=True)
class OtlpSettings:
    """The three signals' endpoints, None for a signal that is off, and what describes us."""

    logs: HttpEndpoint | None = None
    metrics: HttpEndpoint | None = None
    traces: HttpEndpoint | None = None

    metric_interval_seconds: float = variable("OTEL_METRIC_EXPORT_INTERVAL", INTERVAL, 60.0)
    """Milliseconds between two exports of the metrics."""

    delta_temporality: bool = variable(
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
        choice(cumulative=False, delta=True, lowmemory=False),
        False,
    )
    """Whether counters start anew with each export; ``lowmemory`` is as ``cumulative``."""

    resource_attributes: Mapping[str, str] = field(default_factory=dict)
    deployment_environment: str = "development"

    @property
    def enabled(self) -> bool:
        """Whether any signal leaves the process."""
        return bool(self.logs or self.metrics or self.traces)


def read_otlp(env: EnvironmentReader) -> OtlpSettings:
    """Read the OTEL variables with their standard meanings (specification: environment)."""
    attributes = _pairs(env, RESOURCE_ATTRIBUTES)
    endpoints: dict[str, HttpEndpoint | None] = {}
    if not env.read(SDK_DISABLED):
        endpoints = {signal: _endpoint(env, signal) for signal in SIGNALS}
        _check_exporters(env, endpoints)
        _check_protocols(env, endpoints)
        _check_tls_files(env, endpoints)
    return env.settings(
        OtlpSettings,
        **endpoints,
        resource_attributes=attributes,
        deployment_environment=attributes.get("deployment.environment.name")
        or attributes.get("deployment.environment")
        or env.text("RUN_ENVIRONMENT")
        or "development",
    )


def _endpoint(env: EnvironmentReader, signal: str) -> HttpEndpoint | None:
    def read(general: Variable[T]) -> T:
        own = _own(general, signal)
        return env.read(own if env.text(own.name) else general)

    url = _url(env, signal)
    if url is None:
        return None
    return HttpEndpoint(
        url=url,
        headers=_headers(env, signal, url),
        timeout_seconds=read(TIMEOUT),
        gzip=read(COMPRESSION),
        ca_file=read(CERTIFICATE),
        client_cert_file=read(CLIENT_CERTIFICATE),
        client_key_file=read(CLIENT_KEY),
        variables={
            "url": _set_name(env, ENDPOINT, signal),
            "ca_file": _set_name(env, CERTIFICATE, signal),
            "client_cert_file": _set_name(env, CLIENT_CERTIFICATE, signal),
            "client_key_file": _set_name(env, CLIENT_KEY, signal),
        },
    )


def _own(general: Variable[T], signal: str) -> Variable[T]:
    """Return the signal's own variable, which goes before the general one."""
    return general._replace(name=general.name.replace("_OTLP_", f"_OTLP_{signal.upper()}_"))


def _set_name(env: EnvironmentReader, general: Variable[T], signal: str) -> str:
    own = _own(general, signal).name
    return own if env.text(own) else general.name


def _url(env: EnvironmentReader, signal: str) -> str | None:
    if _exporters(env, signal) == [_NO_EXPORTER]:
        return None
    name = _set_name(env, ENDPOINT, signal)
    text = env.text(name)
    if text is None:
        return None
    if URL.parse(text) is None:
        env.report_unusable(name, _without_userinfo(text), URL.expected, f"{signal} stay off")
        return None
    # Only the general endpoint is a base: a signal's own endpoint is used as it is.
    return text if name != ENDPOINT.name else f"{text.rstrip('/')}/v1/{signal}"


def _without_userinfo(url: str) -> str:
    head, at, tail = url.rpartition("@")
    return f"{head.partition('//')[0]}//…@{tail}" if at else url


def _headers(env: EnvironmentReader, signal: str, url: str) -> dict[str, str]:
    """Return the headers, without credentials when they would travel in clear text."""
    headers = {**_pairs(env, HEADERS), **_pairs(env, _own(HEADERS, signal))}
    secret = credentials_among(headers)
    refusal = credential_refusal(
        f"the header {', '.join(secret)}", url, trusted_network=is_network_trusted(env)
    )
    if not secret or refusal is None:
        return headers
    env.report(HEADERS.name, f"{refusal}.")
    return {name: value for name, value in headers.items() if name not in secret}


def _pairs(env: EnvironmentReader, pairs: Variable[str | None]) -> dict[str, str]:
    """Return ``key=value,key=value`` with percent-encoded values, as W3C baggage writes it."""
    name, expected = pairs.name, pairs.kind.expected
    usable = split_pairs(
        env.text(name) or "",
        lambda part: _is_one_line(unquote(part)),
        lambda: env.report(
            name,
            f"{name} holds a part that is not usable: expected {expected}; that part is skipped.",
        ),
    )
    return {unquote(key): unquote(value) for key, value in usable.items()}


def _is_one_line(text: str) -> bool:
    return text.isprintable() or ("\t" in text and text.replace("\t", "").isprintable())


def _exporters(env: EnvironmentReader, signal: str) -> list[str]:
    text = env.text(_exporter(signal)) or ""
    return [name.strip().lower() for name in text.split(",") if name.strip()]


def _exporter(signal: str) -> str:
    return EXPORTER.name.replace("<SIGNAL>", signal.upper())


def _check_exporters(env: EnvironmentReader, endpoints: Mapping[str, HttpEndpoint | None]) -> None:
    """Report exporters of the OpenTelemetry SDK that we do not have: they change nothing."""
    for signal, endpoint in endpoints.items():
        unknown = [
            name
            for name in _exporters(env, signal)
            if name not in _OTLP_EXPORTERS and name != _NO_EXPORTER
        ]
        if not unknown:
            continue
        target = f"go over OTLP to {ENDPOINT.name}" if endpoint else "are not sent"
        console = "; LOG_TO_CONSOLE=true prints the entries" if "console" in unknown else ""
        env.report_unusable(
            _exporter(signal),
            ",".join(unknown),
            f"otlp or {_NO_EXPORTER}",
            f"{signal} {target}{console if signal == 'logs' else ''}",
        )


def _check_protocols(env: EnvironmentReader, endpoints: Mapping[str, HttpEndpoint | None]) -> None:
    """Report what asks for another protocol; gRPC in one problem, with what to set instead."""
    asking: dict[str, str] = {}
    setting: dict[str, str] = {}
    for signal, endpoint in endpoints.items():
        if endpoint is None:
            continue
        name = _set_name(env, PROTOCOL, signal)
        protocol = (env.text(name) or "").lower()
        if protocol == "grpc":
            asking[name], setting[name] = protocol, HTTP_PROTOBUF.expected
        elif protocol and protocol != HTTP_PROTOBUF.expected:
            used = "OTLP over HTTP with protobuf is used"
            env.report_unusable(name, protocol, HTTP_PROTOBUF.expected, used)
        if urlsplit(endpoint.url).port == GRPC_PORT and protocol != HTTP_PROTOBUF.expected:
            variable = endpoint.variables["url"]
            url = _without_userinfo(env.text(variable) or "")
            asking[variable] = url
            setting[variable] = url.replace(f":{GRPC_PORT}", f":{HTTP_PORT}", 1)
    if asking:
        names_the_port = any(name.endswith("ENDPOINT") for name in setting)
        port = (
            ""
            if names_the_port
            else f" and the port for HTTP, usually {HTTP_PORT}, in the endpoint"
        )
        env.report(
            next(iter(asking)),
            f"{_assignments(asking)} asks for OTLP over gRPC, which is not supported; OTLP over "
            f"HTTP with protobuf is used: set {_assignments(setting)}{port}.",
        )


def _assignments(values: Mapping[str, str]) -> str:
    return " and ".join(f"{name}={value}" for name, value in values.items())


def _check_tls_files(env: EnvironmentReader, endpoints: Mapping[str, HttpEndpoint | None]) -> None:
    concerned: dict[str, list[str]] = {}
    for signal, endpoint in endpoints.items():
        problem = endpoint and unusable_tls_file(endpoint)
        if problem:
            concerned.setdefault(problem, []).append(signal)
    for problem, signals in concerned.items():
        env.report(
            problem.partition("=")[0],
            f"{problem}; {', '.join(signals)} cannot be delivered until the file can be read.",
        )
