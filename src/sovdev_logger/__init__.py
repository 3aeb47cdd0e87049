"""Structured logging that reaches the console, a file and OpenTelemetry with one call.

from sovdev_logger import SOVDEV_LOGLEVELS, create_peer_services, sovdev_initialize, sovdev_log

PEER = create_peer_services({"BRREG": "SYS1234567"})
sovdev_initialize("company-lookup", "1.0.0", PEER.mappings)
sovdev_log(SOVDEV_LOGLEVELS.INFO, "main", "Service started", PEER.INTERNAL)
"""

from typing import TYPE_CHECKING

from sovdev_logger._api.entries import (
    sovdev_end_span,
    sovdev_generate_trace_id,
    sovdev_log,
    sovdev_log_job_progress,
    sovdev_log_job_status,
    sovdev_set_context,
    sovdev_start_span,
)
from sovdev_logger._api.service import (
    sovdev_flush,
    sovdev_initialize,
    sovdev_install_signal_handlers,
    sovdev_shutdown,
    sovdev_status,
)
from sovdev_logger._entry.levels import SOVDEV_LOGLEVELS
from sovdev_logger._entry.peers import PeerServices, create_peer_services

if TYPE_CHECKING:
    from sovdev_logger._api.connection_check import (
        ConnectionResult,
        sovdev_test_connection,
        sovdev_test_otlp_connection,
    )
    from sovdev_logger._api.diagnostics import sovdev_validate_config
    from sovdev_logger._api.spans import sovdev_carry, sovdev_inject_headers, sovdev_span
    from sovdev_logger._delivery.status import OutputStatus, SamplingStatus, Status
    from sovdev_logger._profiles.exits import sovdev_exit
    from sovdev_logger._profiles.start import (
        sovdev_child_environment,
        sovdev_initialize_environment,
    )
    from sovdev_logger._telemetry.spans import SovdevSpan
    from sovdev_logger.integrations._request import sovdev_request_id
    from sovdev_logger.integrations.stdlib import sovdev_capture_logging

    __version__: str

__all__ = [
    "SOVDEV_LOGLEVELS",
    "ConnectionResult",
    "OutputStatus",
    "PeerServices",
    "SamplingStatus",
    "SovdevSpan",
    "Status",
    "create_peer_services",
    "sovdev_capture_logging",
    "sovdev_carry",
    "sovdev_child_environment",
    "sovdev_end_span",
    "sovdev_exit",
    "sovdev_flush",
    "sovdev_generate_trace_id",
    "sovdev_initialize",
    "sovdev_initialize_environment",
    "sovdev_inject_headers",
    "sovdev_install_signal_handlers",
    "sovdev_log",
    "sovdev_log_job_progress",
    "sovdev_log_job_status",
    "sovdev_request_id",
    "sovdev_set_context",
    "sovdev_shutdown",
    "sovdev_span",
    "sovdev_start_span",
    "sovdev_status",
    "sovdev_test_connection",
    "sovdev_test_otlp_connection",
    "sovdev_validate_config",
]


# Imported on first use: few programs need these, and their dependencies are heavy.
_HOMES = {
    "ConnectionResult": "_api.connection_check",
    "OutputStatus": "_delivery.status",
    "SamplingStatus": "_delivery.status",
    "SovdevSpan": "_telemetry.spans",
    "Status": "_delivery.status",
    "sovdev_capture_logging": "integrations.stdlib",
    "sovdev_carry": "_api.spans",
    "sovdev_child_environment": "_profiles.start",
    "sovdev_exit": "_profiles.exits",
    "sovdev_initialize_environment": "_profiles.start",
    "sovdev_inject_headers": "_api.spans",
    "sovdev_request_id": "integrations._request",
    "sovdev_span": "_api.spans",
    "sovdev_test_connection": "_api.connection_check",
    "sovdev_test_otlp_connection": "_api.connection_check",
    "sovdev_validate_config": "_api.diagnostics",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 - asked for rarely, costs 20 ms

        return version("sovdev-logger")
    from sovdev_logger._runtime.lazy_imports import import_name  # noqa: PLC0415 - rarely needed

    return import_name(__name__, _HOMES, name)


def __dir__() -> list[str]:
    return sorted({"__version__", *(name for name in globals() if name[0] == "_"), *__all__})
