"""The RELAY variables: where the relays are, and how entries are sent to them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sovdev_logger._settings.endpoint import TlsConfig, may_carry_credentials, split_pairs
from sovdev_logger._settings.reader import EnvironmentReader, whole_number

DEFAULT_QUEUE_SIZE: Final = 2048
DEFAULT_TIMEOUT_SECONDS: Final = 2.0
DEFAULT_ACK_EVERY_N: Final = 64
MAX_ACK_EVERY_N: Final = 1024
DEFAULT_MAX_IN_FLIGHT: Final = 512
DEFAULT_STALL_SECONDS: Final = 15.0
_MAX_WHOLE: Final = 1_000_000
MAX_PORT: Final = 65535


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """Where the relays are, and how entries are sent to them.

    Attributes:
        targets: Each ``host:port``; every one gets every entry.
        queue_size: Entries that wait in memory for each target.
        submit_timeout_seconds: How long a connection may take to be there.
        flush_timeout_seconds: How long the last acknowledgements of a batch may take.
        ack_every_n: After so many entries the relay acknowledges; 1 acknowledges each.
        max_in_flight: Entries that may be unacknowledged.
        stall_seconds: Without an acknowledgement for so long a stream is given up.
        headers: Sent when a stream is opened; lower-case names.
        tls: None for no TLS.
    """

    targets: tuple[str, ...]
    queue_size: int = DEFAULT_QUEUE_SIZE
    submit_timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    flush_timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    ack_every_n: int = DEFAULT_ACK_EVERY_N
    max_in_flight: int = DEFAULT_MAX_IN_FLIGHT
    stall_seconds: float = DEFAULT_STALL_SECONDS
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    tls: TlsConfig | None = None


def read_relay(env: EnvironmentReader) -> RelaySettings | None:
    """Read the RELAY variables; None when the output is off, also because it cannot be on."""
    text = env.text("RELAY_TARGETS")
    if text is None:
        return None
    try:
        targets = _targets(text)
        headers, tls = _headers(env), _tls(env)
        _check_credentials(env, headers, tls)
        _check_that_nobody_waits(env)
        ack_every_n = env.bounded("RELAY_ACK_EVERY_N", 1, MAX_ACK_EVERY_N) or DEFAULT_ACK_EVERY_N
        in_flight = env.bounded("RELAY_MAX_IN_FLIGHT", 1, _MAX_WHOLE) or DEFAULT_MAX_IN_FLIGHT
        return RelaySettings(
            targets=targets,
            queue_size=env.bounded("RELAY_QUEUE_SIZE", 16, _MAX_WHOLE) or DEFAULT_QUEUE_SIZE,
            submit_timeout_seconds=env.positive(
                "RELAY_SUBMIT_TIMEOUT", DEFAULT_TIMEOUT_SECONDS, "seconds"
            ),
            flush_timeout_seconds=env.positive(
                "RELAY_FLUSH_TIMEOUT", DEFAULT_TIMEOUT_SECONDS, "seconds"
            ),
            ack_every_n=ack_every_n,
            max_in_flight=max(ack_every_n, in_flight),
            stall_seconds=env.positive("RELAY_STALL_TIMEOUT", DEFAULT_STALL_SECONDS, "seconds"),
            headers=headers,
            tls=tls,
        )
    except ValueError as error:
        env.note("RELAY", f"{error}; the output to the relay stays off.")
        return None


def _targets(text: str) -> tuple[str, ...]:
    targets = tuple(_target(one.strip()) for one in text.split(",") if one.strip())
    if not targets:
        raise ValueError("RELAY_TARGETS names no target: expected host:port")
    return targets


def _check_that_nobody_waits(env: EnvironmentReader) -> None:
    if not env.flag("RELAY_DROP_ON_FULL", default=True):
        raise ValueError("RELAY_DROP_ON_FULL=false is not usable: no call waits for a relay")


def _target(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not (colon and host and whole_number(port, 1, MAX_PORT)):
        raise ValueError(f"RELAY_TARGETS holds {text[:80]!r}: expected host:port")
    return text


def _headers(env: EnvironmentReader) -> dict[str, str]:
    def refuse() -> None:
        raise ValueError("RELAY_HEADERS holds a part that is not usable: expected name=value")

    pairs = split_pairs(env.text("RELAY_HEADERS") or "", str.isascii, refuse)
    headers = {name.lower(): value for name, value in pairs.items()}
    token = _token(env)
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    return headers


def _token(env: EnvironmentReader) -> str | None:
    token, variable = env.text("RELAY_BEARER_TOKEN"), env.text("RELAY_BEARER_TOKEN_ENV")
    if token is not None and variable is not None:
        raise ValueError("RELAY_BEARER_TOKEN and RELAY_BEARER_TOKEN_ENV are both set: keep one")
    if variable is not None:
        token = env.text(variable)
        if token is None:
            raise ValueError(f"RELAY_BEARER_TOKEN_ENV names {variable[:80]}, which is not set")
    if token is not None and not (token.isascii() and token.isprintable()):
        raise ValueError("the bearer token of the relay is not usable: expected printable ASCII")
    return token


def _tls(env: EnvironmentReader) -> TlsConfig | None:
    names = ("RELAY_TLS_CA", "RELAY_TLS_CERT", "RELAY_TLS_KEY", "RELAY_TLS_SERVER_NAME")
    given = {name: env.text(name) for name in names}
    if not env.flag("RELAY_TLS", default=any(given.values())):
        return None
    for name in names[:3]:
        path = given[name]
        if path is not None and not Path(path).is_file():
            raise ValueError(f"{name}={path!r} is no file")
    if (given["RELAY_TLS_CERT"] is None) != (given["RELAY_TLS_KEY"] is None):
        raise ValueError("RELAY_TLS_CERT and RELAY_TLS_KEY go together: set both or none")
    return TlsConfig(*(given[name] for name in names))


def _check_credentials(
    env: EnvironmentReader, headers: dict[str, str], tls: TlsConfig | None
) -> None:
    """Refuse credentials that would travel in clear text, or leave them out where that will do."""
    if "authorization" not in headers or may_carry_credentials(tls=tls is not None):
        return
    if env.flag("RELAY_AUTH_REQUIRED", default=True):
        raise ValueError(
            "the bearer token of the relay does not travel without TLS: set RELAY_TLS_CA, or "
            "RELAY_TLS=true for the system's authorities"
        )
    del headers["authorization"]
    env.note(
        "RELAY_BEARER_TOKEN",
        "the bearer token of the relay is not sent: it does not travel without TLS, and "
        "RELAY_AUTH_REQUIRED is off.",
    )
