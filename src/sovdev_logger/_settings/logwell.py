"""The LOGWELL variables: where the server is, and how entries are sent to it."""

import re
from dataclasses import dataclass, replace
from typing import Final

from sovdev_logger._settings.endpoint import (
    BASE_URL,
    base_url,
    credential_refusal,
    is_network_trusted,
)
from sovdev_logger._settings.reader import (
    FLAG,
    SECONDS,
    TEXT,
    EnvironmentReader,
    bounded,
    variable,
)

MAX_BATCH_SIZE: Final = 100
MAX_FLUSH_INTERVAL_SECONDS: Final = 60.0
DEFAULT_MAX_RETRIES: Final = 3
MAX_RETRIES: Final = 100
MAX_QUEUE_SIZE: Final = 100_000

_KEY: Final = re.compile(r"lw_[A-Za-z0-9_-]{32}")


@dataclass(frozen=True, slots=True)
class LogwellSettings:
    """Where the server is, and how entries are sent to it."""

    url: str = variable("LOGWELL_ENDPOINT", BASE_URL)
    """A Logwell server, without ``/v1/ingest``; with the key it switches the output on."""

    api_key: str = variable("LOGWELL_API_KEY", TEXT, is_shown=False)
    """``lw_`` and 32 characters; sent over TLS, to this machine, or over a trusted network."""

    batch_size: int = variable("LOGWELL_BATCH_SIZE", bounded(1, MAX_BATCH_SIZE), MAX_BATCH_SIZE)
    """Records in a request at most."""

    flush_interval_seconds: float = variable("LOGWELL_FLUSH_INTERVAL", SECONDS, 1.0)
    """Seconds that a record waits for others; at most 60."""

    queue_size: int | None = variable("LOGWELL_QUEUE_SIZE", bounded(1, MAX_QUEUE_SIZE), None)
    """Records that wait in memory; unset, ``SOVDEV_QUEUE_MAX_RECORDS``."""

    max_retries: int = variable("LOGWELL_MAX_RETRIES", bounded(0, MAX_RETRIES), DEFAULT_MAX_RETRIES)
    """Retries before a failing batch is reported or bisected."""

    capture_source_location: bool = variable("LOGWELL_CAPTURE_SOURCE_LOCATION", FLAG, False)
    """Whether the caller's file and line go with each record."""

    timeout_seconds: float = 30.0
    trusted_network: bool = False


def read_logwell(env: EnvironmentReader) -> LogwellSettings | None:
    """Read the LOGWELL variables; None when the output is off, also because it cannot be on."""
    url, key = env.text("LOGWELL_ENDPOINT"), env.text("LOGWELL_API_KEY")
    if url is None and key is None:
        return None
    if url is None or key is None:
        missing = "LOGWELL_ENDPOINT" if url is None else "LOGWELL_API_KEY"
        env.report(missing, f"{missing} is not set: the output to Logwell needs it and stays off.")
        return None
    try:
        return check_logwell(env.settings(LogwellSettings, trusted_network=is_network_trusted(env)))
    except ValueError as error:
        env.report("LOGWELL", f"{error}; the output to Logwell stays off.")
        return None


def check_logwell(settings: LogwellSettings) -> LogwellSettings:
    """Return settings that can be used, the URL without a slash at its end.

    Raises:
        ValueError: The URL, the key or a bound cannot be used. The message never shows the key.
    """
    url = base_url(settings.url, "the endpoint of Logwell")
    if not _KEY.fullmatch(settings.api_key):
        raise ValueError(
            "the API key of Logwell is not usable: expected lw_ and 32 characters of letters, "
            "digits, _ and -"
        )
    refusal = credential_refusal(
        "the API key of Logwell", url, trusted_network=settings.trusted_network
    )
    if refusal is not None:
        raise ValueError(refusal)
    if not 0 < settings.flush_interval_seconds <= MAX_FLUSH_INTERVAL_SECONDS:
        raise ValueError(
            f"the flush interval {settings.flush_interval_seconds:g} is not usable: expected "
            f"seconds, more than 0 and at most {MAX_FLUSH_INTERVAL_SECONDS:g}"
        )
    return replace(settings, url=url)
