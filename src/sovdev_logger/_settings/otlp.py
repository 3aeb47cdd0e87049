"""The standard OTEL variables: where each signal goes and how."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

from sovdev_logger._settings.endpoint import (
    DEFAULT_TIMEOUT_SECONDS,
    HttpEndpoint,
    credential_refusal,
    is_credential,
    split_http_url,
    split_pairs,
)
from sovdev_logger._settings.reader import EnvironmentReader

SIGNALS: Final = ("logs", "metrics", "traces")

_PREFIX: Final = "OTEL_EXPORTER_OTLP_"
_LARGEST_TIMEOUT_READ_AS_SECONDS: Final = 100
_DEFAULT_METRIC_INTERVAL_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class OtlpSettings:
    """The three signals' targets, None for a signal that is off, and what describes us."""

    logs: HttpEndpoint | None = None
    metrics: HttpEndpoint | None = None
    traces: HttpEndpoint | None = None
    metric_interval_seconds: float = _DEFAULT_METRIC_INTERVAL_MS / 1000
    delta_temporality: bool = False
    resource_attributes: Mapping[str, str] = field(default_factory=dict)
    deployment_environment: str = "development"

    @property
    def enabled(self) -> bool:
        """Whether any signal leaves the process."""
        return bool(self.logs or self.metrics or self.traces)


def read_otlp(env: EnvironmentReader) -> OtlpSettings:
    """Read the OTEL variables with their standard meanings (specification: environment)."""
    attributes = _pairs(env, "OTEL_RESOURCE_ATTRIBUTES")
    targets: dict[str, HttpEndpoint | None] = dict.fromkeys(SIGNALS)
    if not env.flag("OTEL_SDK_DISABLED", default=False):
        targets = {signal: _target(env, signal) for signal in SIGNALS}
        if any(targets.values()):
            _check_protocol(env)
    interval_ms = env.whole_number(
        "OTEL_METRIC_EXPORT_INTERVAL", _DEFAULT_METRIC_INTERVAL_MS, minimum=1
    )
    return OtlpSettings(
        logs=targets["logs"],
        metrics=targets["metrics"],
        traces=targets["traces"],
        metric_interval_seconds=interval_ms / 1000,
        delta_temporality=_wants_delta(env),
        resource_attributes=attributes,
        deployment_environment=attributes.get("deployment.environment.name")
        or attributes.get("deployment.environment")
        or env.text("RUN_ENVIRONMENT")
        or "development",
    )


def _target(env: EnvironmentReader, signal: str) -> HttpEndpoint | None:
    url = _endpoint(env, signal)
    if url is None:
        return None
    return HttpEndpoint(
        url=url,
        headers=_headers(env, signal, url),
        timeout_seconds=_timeout_seconds(env, signal),
        gzip=_compression(env, signal) == "gzip",
        ca_file=_specific_or_general(env, signal, "CERTIFICATE")[1],
        client_cert_file=_specific_or_general(env, signal, "CLIENT_CERTIFICATE")[1],
        client_key_file=_specific_or_general(env, signal, "CLIENT_KEY")[1],
    )


def _specific_or_general(
    env: EnvironmentReader, signal: str, setting: str
) -> tuple[str, str | None]:
    """Return the name and value of the signal's own variable, else of the general one."""
    specific = f"{_PREFIX}{signal.upper()}_{setting}"
    value = env.text(specific)
    if value is not None:
        return specific, value
    return _PREFIX + setting, env.text(_PREFIX + setting)


def _endpoint(env: EnvironmentReader, signal: str) -> str | None:
    if (env.text(f"OTEL_{signal.upper()}_EXPORTER") or "").lower() == "none":
        return None
    name, text = _specific_or_general(env, signal, "ENDPOINT")
    if text is None:
        return None
    if split_http_url(text) is None:
        env.report(
            name, _without_userinfo(text), "an http:// or https:// URL", f"{signal} stay off"
        )
        return None
    # Only the general endpoint is a base: a signal's own endpoint is used as it is.
    return text if name != f"{_PREFIX}ENDPOINT" else f"{text.rstrip('/')}/v1/{signal}"


def _without_userinfo(url: str) -> str:
    head, at, tail = url.rpartition("@")
    return f"{head.partition('//')[0]}//…@{tail}" if at else url


def _headers(env: EnvironmentReader, signal: str, url: str) -> dict[str, str]:
    """Return the headers, without credentials when they would travel in clear text."""
    headers = {
        **_pairs(env, f"{_PREFIX}HEADERS"),
        **_pairs(env, f"{_PREFIX}{signal.upper()}_HEADERS"),
    }
    secret = sorted(filter(is_credential, headers))
    refusal = credential_refusal(f"the header {', '.join(secret)}", url)
    if not secret or refusal is None:
        return headers
    env.note(
        f"{_PREFIX}HEADERS", f"{refusal}; use an https:// endpoint, or a collector on localhost."
    )
    return {name: value for name, value in headers.items() if name not in secret}


def _pairs(env: EnvironmentReader, name: str) -> dict[str, str]:
    """Return ``key=value,key=value`` with percent-encoded values, as W3C baggage writes it."""
    pairs = split_pairs(
        env.text(name) or "",
        lambda part: _is_one_line(unquote(part)),
        lambda: env.note(
            name,
            f"{name} holds a part that is not usable: expected key=value,key=value with "
            "percent-encoded values; that part is left out.",
        ),
    )
    return {unquote(key): unquote(value) for key, value in pairs.items()}


def _is_one_line(text: str) -> bool:
    return text.isprintable() or ("\t" in text and text.replace("\t", "").isprintable())


def _timeout_seconds(env: EnvironmentReader, signal: str) -> float:
    name, _ = _specific_or_general(env, signal, "TIMEOUT")
    milliseconds = env.positive(name, DEFAULT_TIMEOUT_SECONDS * 1000, "milliseconds")
    # The standard says milliseconds, Python's SDK has always read seconds: nobody means 10 ms.
    if milliseconds < _LARGEST_TIMEOUT_READ_AS_SECONDS:
        return milliseconds
    return milliseconds / 1000


def _compression(env: EnvironmentReader, signal: str) -> str:
    name, _ = _specific_or_general(env, signal, "COMPRESSION")
    return env.choice(name, ("none", "gzip"))


def _check_protocol(env: EnvironmentReader) -> None:
    names = [f"{_PREFIX}PROTOCOL", *(f"{_PREFIX}{signal.upper()}_PROTOCOL" for signal in SIGNALS)]
    for name in names:
        text = env.text(name)
        if text and text.lower() != "http/protobuf":
            env.report(name, text, "http/protobuf", "OTLP over HTTP with protobuf is used")


def _wants_delta(env: EnvironmentReader) -> bool:
    name = f"{_PREFIX}METRICS_TEMPORALITY_PREFERENCE"
    return env.choice(name, ("cumulative", "delta", "lowmemory")) == "delta"
