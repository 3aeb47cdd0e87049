"""The application's own providers: used where they are set, flushed with ours, never shut down."""

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sovdev_logger._delivery.results import FlushResult
from sovdev_logger._delivery.worker_thread import FlushRequest
from sovdev_logger._runtime.background_thread import BackgroundThread

if TYPE_CHECKING:
    from opentelemetry._logs import LoggerProvider
    from opentelemetry.metrics import MeterProvider

_PLACEHOLDERS: Final = frozenset(
    {
        "ProxyLoggerProvider",
        "NoOpLoggerProvider",
        "_ProxyMeterProvider",
        "NoOpMeterProvider",
    }
)
"""The API's placeholders while no provider is set."""


def application_logger_provider() -> "LoggerProvider | None":
    """Return the global logger provider if the application has set one."""
    module = sys.modules.get("opentelemetry._logs")  # not imported: none can be set
    if module is None:
        return None
    provider: LoggerProvider = module.get_logger_provider()
    return None if type(provider).__name__ in _PLACEHOLDERS else provider


def application_meter_provider() -> "MeterProvider | None":
    """Return the global meter provider if the application has set one."""
    module = sys.modules.get("opentelemetry.metrics")
    if module is None:
        return None
    provider: MeterProvider = module.get_meter_provider()
    return None if type(provider).__name__ in _PLACEHOLDERS else provider


class ApplicationProvider:
    """Flushes a provider of the application's, in a thread: it may ignore every deadline.

    Failures are not reported: the provider reports them itself.
    """

    name = "application"
    advice = ""

    def __init__(self, provider: object) -> None:
        self._force_flush: Callable[[], object] | None = getattr(provider, "force_flush", None)

    def start(self) -> None:
        """Do nothing: the application has started its provider."""

    def begin_flush(self, timeout_seconds: float) -> FlushRequest:
        """Let the provider flush; wait with ``end_flush``."""
        request = FlushRequest(0, time.monotonic() + timeout_seconds)
        thread = BackgroundThread("flush application", lambda: self._flush(request))
        if not thread.ensure_started():  # at exit the application flushes by itself
            request.finish(FlushResult())
        return request

    def end_flush(self, request: FlushRequest) -> FlushResult:
        """Wait for the provider until the deadline."""
        return request.wait() or FlushResult()

    def begin_close(self, timeout_seconds: float) -> FlushRequest:
        """Flush: the application shuts its provider down."""
        return self.begin_flush(timeout_seconds)

    def end_close(self, request: FlushRequest, deadline: float) -> FlushResult:  # noqa: ARG002
        """Wait for the flush."""
        return self.end_flush(request)

    def reset_after_fork(self) -> None:
        """Do nothing: the application's provider is its own."""

    def _flush(self, request: FlushRequest) -> None:
        try:
            if self._force_flush is not None:
                self._force_flush()
        except Exception:  # noqa: BLE001, S110 - the application's provider reports its failures
            pass
        finally:
            request.finish(FlushResult())
