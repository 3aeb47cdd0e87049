"""The standard OTEL variables: where each signal goes and how."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final
from urllib.parse import unquote, urlsplit

from sovdev_logger._settings.reader import EnvironmentReader

SIGNALS: Final = ("logs", "metrics", "traces")

_PREFIX: Final = "OTEL_EXPORTER_OTLP_"
_DEFAULT_TIMEOUT_SECONDS: Final = 10.0
_LARGEST_TIMEOUT_READ_AS_SECONDS: Final = 100
_DEFAULT_METRIC_INTERVAL_MS: Final = 60_000
_CREDENTIAL_WORDS: Final = ("auth", "key", "token", "secret", "cookie", "password", "credential")


@dataclass(frozen=True, slots=True)
class HttpEndpoint:
    """Where one signal is posted to, with everything that the request needs."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_seconds: float = _DEFAULT_TIMEOUT_SECONDS
    gzip: bool = False
    ca_file: str | None = None
    client_cert_file: str | None = None
    client_key_file: str | None = None


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
    attributes = _resource_attributes(env)
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
        headers=_safe_headers(env, url, _headers(env, signal)),
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
    if not _is_http_url(text):
        env.report(
            name, _without_userinfo(text), "an http:// or https:// URL", f"{signal} stay off"
        )
        return None
    # Only the general endpoint is a base: a signal's own endpoint is used as it is.
    return text if name != f"{_PREFIX}ENDPOINT" else f"{text.rstrip('/')}/v1/{signal}"


def _is_http_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _without_userinfo(url: str) -> str:
    head, at, tail = url.rpartition("@")
    return f"{head.partition('//')[0]}//…@{tail}" if at else url


def _headers(env: EnvironmentReader, signal: str) -> dict[str, str]:
    general = env.text(f"{_PREFIX}HEADERS")
    specific = env.text(f"{_PREFIX}{signal.upper()}_HEADERS")
    return {
        **_pairs(env, f"{_PREFIX}HEADERS", general),
        **_pairs(env, f"{_PREFIX}{signal.upper()}_HEADERS", specific),
    }


def _pairs(env: EnvironmentReader, name: str, text: str | None) -> dict[str, str]:
    """Parse ``key=value,key=value`` with percent-encoded values, as W3C baggage writes it."""
    pairs: dict[str, str] = {}
    for part in (text or "").split(","):
        key, equals, value = part.partition("=")
        if key.strip() and equals and _is_one_line(unquote(key + value)):
            pairs[unquote(key.strip())] = unquote(value.strip())
        elif part.strip():
            env.note(
                name,
                f"{name} holds a part that is not usable: expected key=value,key=value with "
                "percent-encoded values; that part is left out.",
            )
    return pairs


def _is_one_line(text: str) -> bool:
    return text.isprintable() or ("\t" in text and text.replace("\t", "").isprintable())


def _safe_headers(env: EnvironmentReader, url: str, headers: dict[str, str]) -> dict[str, str]:
    """Return the headers without credentials when they would travel in clear text."""
    if url.startswith("https://") or is_loopback(urlsplit(url).hostname or ""):
        return headers
    secret = sorted(name for name in headers if _is_credential(name))
    if secret:
        env.note(
            f"{_PREFIX}HEADERS",
            f"the header {', '.join(secret)} is not sent to {url}: a credential does not travel "
            "without TLS; use an https:// endpoint, or a collector on localhost.",
        )
    return {name: value for name, value in headers.items() if name not in secret}


def _is_credential(header: str) -> bool:
    return any(word in header.lower() for word in _CREDENTIAL_WORDS)


def is_loopback(host: str) -> bool:
    """Return whether ``host`` is this machine, by name or by address."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _timeout_seconds(env: EnvironmentReader, signal: str) -> float:
    name, _ = _specific_or_general(env, signal, "TIMEOUT")
    milliseconds = env.positive(name, _DEFAULT_TIMEOUT_SECONDS * 1000, "milliseconds")
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


def _resource_attributes(env: EnvironmentReader) -> dict[str, str]:
    return _pairs(env, "OTEL_RESOURCE_ATTRIBUTES", env.text("OTEL_RESOURCE_ATTRIBUTES"))
