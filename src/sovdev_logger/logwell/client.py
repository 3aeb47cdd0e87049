"""The Logwell client: level methods, children, flush and shutdown."""

import asyncio
import os
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Self

from sovdev_logger._delivery.results import FlushResult
from sovdev_logger._entry.call_site import calling_site
from sovdev_logger._entry.levels import find_level
from sovdev_logger._outputs.json_records import server_level
from sovdev_logger._outputs.logwell.encoder import LogwellRecords
from sovdev_logger._runtime.selflog import warn_once
from sovdev_logger._safety.sanitizer import Sanitizer
from sovdev_logger._settings.endpoint import is_network_trusted
from sovdev_logger._settings.logwell import (
    DEFAULT_MAX_RETRIES,
    MAX_BATCH_SIZE,
    MAX_QUEUE_SIZE,
    MAX_RETRIES,
    LogwellSettings,
    check_logwell,
)
from sovdev_logger._settings.reader import EnvironmentReader, usable_seconds
from sovdev_logger.logwell._core import Callbacks, Core, OnError, OnFlush
from sovdev_logger.logwell.errors import INVALID_CONFIG, LogwellError

DEFAULT_BATCH_SIZE: Final = 50
DEFAULT_FLUSH_INTERVAL_SECONDS: Final = 5.0
DEFAULT_QUEUE_SIZE: Final = 1000
DEFAULT_TIMEOUT_SECONDS: Final = 30.0

_LEVELS: Final = ("debug", "info", "warn", "error", "fatal")

Metadata = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class _Config:
    api_key: str
    endpoint: str
    service: str | None = None
    batch_size: int = DEFAULT_BATCH_SIZE
    flush_interval: float = DEFAULT_FLUSH_INTERVAL_SECONDS
    max_queue_size: int = DEFAULT_QUEUE_SIZE
    max_retries: int = DEFAULT_MAX_RETRIES
    capture_source_location: bool = False
    on_error: OnError | None = None
    on_flush: OnFlush | None = None
    timeout: float = DEFAULT_TIMEOUT_SECONDS
    trusted_network: bool | None = None


class Logwell:
    """Sends records to a Logwell server, in batches, from a thread of its own.

    No call waits for the network, raises, or needs an event loop; any thread, task or signal
    handler may log. Values are redacted and encoded when they are logged. Queued records are sent
    at exit, for at most 5 seconds. A forked child starts with an empty queue.

    Give the options by name, or all of them as one mapping.

    Args:
        api_key: ``lw_`` and 32 characters. It goes over TLS or to this machine, unless
            ``trusted_network`` is set.
        endpoint: The server's base URL.
        service: The service's name in each record.
        batch_size: Records in a request, 1 to 100; default 50.
        flush_interval: Seconds that a record waits for others, more than 0, at most 60; default 5.
        max_queue_size: Records in memory, 1 to 100,000; default 1,000. Beyond it the
            oldest are dropped.
        max_retries: Retries before ``on_error`` is called for a failing batch; default 3. The
            batch stays at the front of the queue and is tried again.
        capture_source_location: Whether the caller's file and line go with each record.
        on_error: Called with a ``LogwellError``, in any thread.
        on_flush: Called with the number of records that the server accepted of a batch, in the
            sending thread.
        timeout: Seconds for one request; default 30.
        trusted_network: Whether the key also goes over plain ``http://`` to other machines;
            default is the variable ``SOVDEV_TRUSTED_NETWORK``.

    Raises:
        LogwellError: ``INVALID_CONFIG``; the message says what is wrong and never shows the key.

    Specification: Logwell.
    """

    def __init__(self, config: Mapping[str, Any] | None = None, /, **options: Any) -> None:
        checked = _config({**(config or {}), **options})
        self._core = Core(_settings(checked), Callbacks(checked.on_error, checked.on_flush))
        self._is_child = False
        self._service = checked.service
        self._metadata: Metadata = {}
        self._captures_source = checked.capture_source_location
        self._sanitizer = Sanitizer()
        self._records = LogwellRecords()

    @property
    def queue_size(self) -> int:
        """How many records are in memory, of this client and all who share its queue."""
        return self._core.queue_size

    def debug(self, message: str, metadata: Metadata | None = None) -> None:
        """Log a record at debug."""
        self._log("debug", message, metadata)

    def info(self, message: str, metadata: Metadata | None = None) -> None:
        """Log a record at info."""
        self._log("info", message, metadata)

    def warn(self, message: str, metadata: Metadata | None = None) -> None:
        """Log a record at warn."""
        self._log("warn", message, metadata)

    def error(self, message: str, metadata: Metadata | None = None) -> None:
        """Log a record at error."""
        self._log("error", message, metadata)

    def fatal(self, message: str, metadata: Metadata | None = None) -> None:
        """Log a record at fatal."""
        self._log("fatal", message, metadata)

    def log(self, entry: Mapping[str, Any]) -> None:
        """Log a record as a mapping: ``level`` and ``message``, and what else it may hold.

        Args:
            entry: ``level``, ``message``, and perhaps ``timestamp`` (a datetime or ISO 8601),
                ``service``, ``metadata``, ``source_file`` and ``line_number``.
        """
        self._log(
            entry.get("level", "info"),
            entry.get("message"),
            entry.get("metadata"),
            entry.get("service"),
            entry.get("timestamp"),
            (entry.get("source_file"), entry.get("line_number")),
        )

    def child(self, service: str | None = None, metadata: Metadata | None = None) -> "Logwell":
        """Return a client with a service or metadata of its own, which shares this one's queue.

        Metadata is merged, the child's over ours and a call's over both. Shutting a child down
        does nothing; flushing it flushes the shared queue.
        """
        child = copy(self)
        child._is_child = True  # noqa: SLF001 - of this class
        child._metadata = {**self._metadata, **(metadata or {})}  # noqa: SLF001
        if service is not None:
            child._service = service  # noqa: SLF001
        return child

    def flush_sync(self, timeout: float = DEFAULT_TIMEOUT_SECONDS) -> FlushResult:
        """Wait until everything so far is delivered or has been tried, at most ``timeout`` seconds.

        What is pending then stays queued. For programs without an event loop, and threads.
        """
        return self._core.flush(timeout)

    def shutdown_sync(self, timeout: float = DEFAULT_TIMEOUT_SECONDS) -> FlushResult:
        """Send queued records for at most ``timeout`` seconds, then close; safe to repeat."""
        return FlushResult() if self._is_child else self._core.close(timeout)

    async def flush(self, timeout: float = DEFAULT_TIMEOUT_SECONDS) -> FlushResult:
        """Do what ``flush_sync`` does, without blocking the event loop."""
        return await asyncio.to_thread(self.flush_sync, timeout)

    async def shutdown(self, timeout: float = DEFAULT_TIMEOUT_SECONDS) -> FlushResult:
        """Do what ``shutdown_sync`` does, without blocking the event loop."""
        return await asyncio.to_thread(self.shutdown_sync, timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.shutdown_sync()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.shutdown()

    def _log(  # noqa: PLR0917
        self,
        level: object,
        message: object,
        metadata: object = None,
        service: object = None,
        timestamp: object = None,
        source: tuple[object, object] = (None, None),
    ) -> None:
        try:
            if source[0] is None and self._captures_source:
                call_site = calling_site()
                source = source if call_site is None else call_site[:2]
            self._core.put(self._record(level, message, metadata, service, timestamp, source))
        except Exception as error:  # noqa: BLE001 - a logging call never hurts its host
            warn_once(
                f"logwell-client:{type(error).__name__}",
                f"a record was lost to a {type(error).__name__} inside the Logwell client; this is "
                "a bug in sovdev-logger; please report it.",
            )

    def _record(  # noqa: PLR0917
        self,
        level: object,
        message: object,
        metadata: object,
        service: object,
        timestamp: object,
        source: tuple[object, object],
    ) -> bytes:
        sanitizer = self._sanitizer
        merged: object = self._metadata
        if isinstance(metadata, Mapping):
            merged = {**self._metadata, **metadata}
        elif metadata is not None:
            merged = {**self._metadata, "metadata": metadata}
        service = service if service is not None else self._service
        file, line = source
        return self._records.record(
            level=_level(level),
            message=sanitizer.text(message) if message is not None else "",
            timestamp=_iso(timestamp),
            service=sanitizer.text(service) if service else None,
            source=(file, line) if isinstance(file, str) and isinstance(line, int) else None,
            metadata=sanitizer.json_text(merged),
        )


def _level(level: object) -> str:
    name = level.lower() if isinstance(level, str) else ""
    if name in _LEVELS:
        return name
    known = find_level(level)
    if known is None:
        warn_once("logwell-level", "an unknown level was logged as info; use debug to fatal.")
        return "info"
    return server_level(known.name)


def _iso(timestamp: object) -> str:
    """Return a timestamp as ISO 8601 in UTC; the present time if it is not usable."""
    moment = timestamp
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment)
        except ValueError:
            moment = None
    if isinstance(moment, datetime):
        try:
            return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
        except (OverflowError, ValueError):
            pass
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _config(options: dict[str, Any]) -> _Config:
    known = _Config.__dataclass_fields__
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise _invalid(f"unknown option {', '.join(unknown)}: known are {', '.join(known)}")
    for name in ("api_key", "endpoint"):
        if not isinstance(options.get(name), str) or not options[name].strip():
            raise _invalid(f"{name} is missing: give a text")
    return _Config(**options)


def _settings(config: _Config) -> LogwellSettings:
    _check_whole("batch_size", config.batch_size, 1, MAX_BATCH_SIZE)
    _check_whole("max_queue_size", config.max_queue_size, 1, MAX_QUEUE_SIZE)
    _check_whole("max_retries", config.max_retries, 0, MAX_RETRIES)
    flush_interval = _checked_seconds("flush_interval", config.flush_interval)
    timeout = _checked_seconds("timeout", config.timeout)
    for name in ("on_error", "on_flush"):
        if not (getattr(config, name) is None or isinstance(getattr(config, name), Callable)):  # type: ignore[arg-type]
            raise _invalid(f"{name} must be callable")
    if config.service is not None and not isinstance(config.service, str):
        raise _invalid("service must be a text")
    try:
        return check_logwell(
            LogwellSettings(
                url=config.endpoint,
                api_key=config.api_key,
                batch_size=config.batch_size,
                flush_interval_seconds=flush_interval,
                queue_size=config.max_queue_size,
                max_retries=config.max_retries,
                timeout_seconds=timeout,
                trusted_network=is_network_trusted(
                    EnvironmentReader(os.environ), config.trusted_network
                ),
            )
        )
    except (TypeError, ValueError) as error:
        raise _invalid(str(error)) from None


def _check_whole(name: str, value: object, minimum: int, maximum: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
        raise _invalid(f"{name} must be a whole number, {minimum} to {maximum}")


def _checked_seconds(name: str, value: object) -> float:
    seconds = usable_seconds(value)
    if seconds is None:
        raise _invalid(f"{name} must be a positive number of seconds")
    return seconds


def _invalid(message: str) -> LogwellError:
    return LogwellError(message, INVALID_CONFIG)
