"""The RELAY variables: where the relays are, and how entries are sent to them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from sovdev_logger._safety.one_line import notice_line
from sovdev_logger._settings.endpoint import (
    TlsConfig,
    credentials_among,
    may_carry_credentials,
    split_pairs,
)
from sovdev_logger._settings.reader import (
    FLAG,
    READABLE_FILE,
    SECONDS,
    TEXT,
    EnvironmentReader,
    Kind,
    Variable,
    bounded,
    parse_whole_number,
    variable,
)

MAX_ACK_EVERY_N: Final = 1024
_MAX_ENTRIES: Final = 1_000_000
_MAX_PORT: Final = 65535


def _targets(text: str) -> tuple[str, ...]:
    targets = tuple(target.strip() for target in text.split(",") if target.strip())
    if not targets:
        raise ValueError("RELAY_TARGETS names no target: expected host:port")
    for target in targets:
        host, colon, port = target.rpartition(":")
        if not (colon and host and parse_whole_number(port, 1, _MAX_PORT)):
            raise ValueError(f"RELAY_TARGETS holds {notice_line(target, 80)!r}: expected host:port")
    return targets


def _headers(text: str) -> dict[str, str]:
    def refuse() -> None:
        raise ValueError("RELAY_HEADERS holds a part that is not usable: expected name=value")

    return {name.lower(): value for name, value in split_pairs(text, str.isascii, refuse).items()}


TARGETS: Final = Kind("host:port,host:port", _targets, is_strict=True)
HEADER_LIST: Final = Kind("name=value,name=value", _headers, is_strict=True)


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """Where the relays are, and how entries are sent to them; each gets every entry."""

    targets: tuple[str, ...] = variable("RELAY_TARGETS", TARGETS)
    """Electrician relays; switches the output on (extra ``relay``)."""

    ack_every_n: int = variable("RELAY_ACK_EVERY_N", bounded(1, MAX_ACK_EVERY_N), 64)
    """Entries after which the relay acknowledges; 1 acknowledges each."""

    max_in_flight: int = variable("RELAY_MAX_IN_FLIGHT", bounded(1, _MAX_ENTRIES), 512)
    """Entries that may be unacknowledged; at least ``RELAY_ACK_EVERY_N``."""

    queue_size: int = variable("RELAY_QUEUE_SIZE", bounded(16, _MAX_ENTRIES), 2048)
    """Entries that wait in memory for each target."""

    submit_timeout_seconds: float = variable("RELAY_SUBMIT_TIMEOUT", SECONDS, 2.0)
    """Seconds that connecting may take."""

    flush_timeout_seconds: float = variable("RELAY_FLUSH_TIMEOUT", SECONDS, 2.0)
    """Seconds that the last acknowledgements of a batch may take."""

    stall_seconds: float = variable("RELAY_STALL_TIMEOUT", SECONDS, 15.0)
    """Seconds without an acknowledgement after which a stream is closed."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Sent when a stream is opened; lower-case names."""

    tls: TlsConfig | None = None


DROP_ON_FULL: Final = Variable("RELAY_DROP_ON_FULL", FLAG, True)
"""Has to stay ``true``: no call waits for a relay."""

AUTH_REQUIRED: Final = Variable("RELAY_AUTH_REQUIRED", FLAG, True)
"""``false``: without TLS credentials are not sent, and the output stays on."""

BEARER_TOKEN: Final = Variable("RELAY_BEARER_TOKEN", TEXT, None)
"""Sent when a stream is opened, over TLS only."""

BEARER_TOKEN_ENV: Final = Variable("RELAY_BEARER_TOKEN_ENV", TEXT, None)
"""The variable that holds the token; set one or the other."""

HEADERS: Final = Variable("RELAY_HEADERS", HEADER_LIST, None)
"""Sent when a stream is opened; credentials over TLS only."""

TLS: Final = Variable("RELAY_TLS", FLAG, False)
"""Connect over TLS; on by default once one of the next four is set."""

TLS_CA: Final = Variable("RELAY_TLS_CA", READABLE_FILE, None)
"""The authorities that are trusted instead of the system's."""

TLS_CERT: Final = Variable("RELAY_TLS_CERT", READABLE_FILE, None)
"""The certificate that is shown to the relay."""

TLS_KEY: Final = Variable("RELAY_TLS_KEY", READABLE_FILE, None)
"""Its key."""

TLS_SERVER_NAME: Final = Variable("RELAY_TLS_SERVER_NAME", TEXT, None)
"""The name that the relay's certificate has, where that is not the host's."""


def read_relay(env: EnvironmentReader) -> RelaySettings | None:
    """Read the RELAY variables; None when the output is off, also because it cannot be on."""
    text = env.text("RELAY_TARGETS")
    if text is None:
        return None
    try:
        targets = _targets(text)
        headers, tls = _all_headers(env), _tls(env)
        _check_credentials(env, headers, tls)
        _check_that_no_call_waits(env)
        settings = env.settings(RelaySettings, targets=targets, headers=headers, tls=tls)
    except ValueError as error:
        env.report("RELAY", f"{error}; the output to the relay stays off.")
        return None
    return replace(settings, max_in_flight=max(settings.ack_every_n, settings.max_in_flight))


def _check_that_no_call_waits(env: EnvironmentReader) -> None:
    if not env.read(DROP_ON_FULL):
        raise ValueError("RELAY_DROP_ON_FULL=false is not usable: no call waits for a relay")


def _all_headers(env: EnvironmentReader) -> dict[str, str]:
    headers = env.read(HEADERS) or {}
    token = _token(env)
    return headers if token is None else {**headers, "authorization": f"Bearer {token}"}


def _token(env: EnvironmentReader) -> str | None:
    token, name = env.read(BEARER_TOKEN), env.read(BEARER_TOKEN_ENV)
    if token is not None and name is not None:
        raise ValueError("RELAY_BEARER_TOKEN and RELAY_BEARER_TOKEN_ENV are both set: keep one")
    if name is not None:
        token = env.text(name)
        if token is None:
            raise ValueError(f"RELAY_BEARER_TOKEN_ENV names {name[:80]}, which is not set")
    if token is not None and not (token.isascii() and token.isprintable()):
        raise ValueError("the bearer token of the relay is not usable: expected printable ASCII")
    return token


def _tls(env: EnvironmentReader) -> TlsConfig | None:
    parts = (TLS_CA, TLS_CERT, TLS_KEY, TLS_SERVER_NAME)
    if not env.read(TLS._replace(default=any(env.text(part.name) for part in parts))):
        return None
    tls = TlsConfig(*map(env.read, parts))
    if (tls.cert_file is None) != (tls.key_file is None):
        raise ValueError("RELAY_TLS_CERT and RELAY_TLS_KEY go together: set both or none")
    return tls


def _check_credentials(
    env: EnvironmentReader, headers: dict[str, str], tls: TlsConfig | None
) -> None:
    """Refuse credentials that would travel in clear text, or drop them where that will do."""
    secret = credentials_among(headers)
    if not secret or may_carry_credentials(tls=tls is not None):
        return
    what = f"the header {', '.join(secret)} of the relay"
    if env.read(AUTH_REQUIRED):
        raise ValueError(
            f"{what} is a credential and does not travel without TLS: set RELAY_TLS_CA, or "
            "RELAY_TLS=true for the system's authorities"
        )
    for name in secret:
        del headers[name]
    env.report(
        AUTH_REQUIRED.name,
        f"{what} is not sent: it does not travel without TLS, and RELAY_AUTH_REQUIRED is off; set "
        "RELAY_TLS_CA, or RELAY_TLS=true for the system's authorities.",
    )
