"""The LOGWELL variables: where the server is, and how entries are sent to it."""

import re
from dataclasses import dataclass, field, replace
from typing import Final

from sovdev_logger._settings.endpoint import base_url, credential_refusal
from sovdev_logger._settings.reader import EnvironmentReader

MAX_BATCH_SIZE: Final = 100
DEFAULT_FLUSH_INTERVAL_SECONDS: Final = 1.0
MAX_FLUSH_INTERVAL_SECONDS: Final = 60.0
DEFAULT_MAX_RETRIES: Final = 3
MAX_RETRIES: Final = 100
MAX_QUEUE_SIZE: Final = 100_000
DEFAULT_TIMEOUT_SECONDS: Final = 30.0

_KEY: Final = re.compile(r"lw_[A-Za-z0-9_-]{32}")


@dataclass(frozen=True, slots=True)
class LogwellSettings:
    """Where the server is, and how entries are sent to it.

    Attributes:
        url: The server's base, without ``/v1/ingest``.
        batch_size: Records in a request at most.
        flush_interval_seconds: How long a record waits for others.
        queue_size: Records that wait in memory; None for what is set for all outputs.
        max_retries: Attempts after the first before a batch that fails is said, or halved.
        capture_source_location: Whether the caller's file and line go with a record.
    """

    url: str
    api_key: str = field(repr=False)
    batch_size: int = MAX_BATCH_SIZE
    flush_interval_seconds: float = DEFAULT_FLUSH_INTERVAL_SECONDS
    queue_size: int | None = None
    max_retries: int = DEFAULT_MAX_RETRIES
    capture_source_location: bool = False
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS


def read_logwell(env: EnvironmentReader) -> LogwellSettings | None:
    """Read the LOGWELL variables; None when the output is off, also because it cannot be on."""
    url, key = env.text("LOGWELL_ENDPOINT"), env.text("LOGWELL_API_KEY")
    if url is None and key is None:
        return None
    if url is None or key is None:
        missing = "LOGWELL_ENDPOINT" if url is None else "LOGWELL_API_KEY"
        env.note(missing, f"{missing} is not set: the output to Logwell needs it and stays off.")
        return None
    try:
        retries = env.bounded("LOGWELL_MAX_RETRIES", 0, MAX_RETRIES)
        return check_logwell(
            LogwellSettings(
                url=url,
                api_key=key,
                batch_size=env.bounded("LOGWELL_BATCH_SIZE", 1, MAX_BATCH_SIZE) or MAX_BATCH_SIZE,
                flush_interval_seconds=env.positive(
                    "LOGWELL_FLUSH_INTERVAL", DEFAULT_FLUSH_INTERVAL_SECONDS, "seconds"
                ),
                queue_size=env.bounded("LOGWELL_QUEUE_SIZE", 1, MAX_QUEUE_SIZE),
                max_retries=DEFAULT_MAX_RETRIES if retries is None else retries,
                capture_source_location=env.flag("LOGWELL_CAPTURE_SOURCE_LOCATION", default=False),
            )
        )
    except ValueError as error:
        env.note("LOGWELL", f"{error}; the output to Logwell stays off.")
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
    refusal = credential_refusal("the API key of Logwell", url)
    if refusal is not None:
        raise ValueError(f"{refusal}; use an https:// endpoint")
    if not 0 < settings.flush_interval_seconds <= MAX_FLUSH_INTERVAL_SECONDS:
        raise ValueError(
            f"the flush interval {settings.flush_interval_seconds:g} is not usable: expected "
            f"seconds, more than 0 and at most {MAX_FLUSH_INTERVAL_SECONDS:g}"
        )
    return replace(settings, url=url)
