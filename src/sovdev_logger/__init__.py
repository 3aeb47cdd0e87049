"""Structured logging that reaches the console, a file and OpenTelemetry with one call.

from sovdev_logger import SOVDEV_LOGLEVELS, create_peer_services, sovdev_initialize, sovdev_log

PEER = create_peer_services({"BRREG": "SYS1234567"})
sovdev_initialize("company-lookup", "1.0.0", PEER.mappings)
sovdev_log(SOVDEV_LOGLEVELS.INFO, "main", "Service started", PEER.INTERNAL)
"""

from sovdev_logger.api import (
    sovdev_end_span,
    sovdev_generate_trace_id,
    sovdev_log,
    sovdev_log_job_progress,
    sovdev_log_job_status,
    sovdev_set_context,
    sovdev_start_span,
)
from sovdev_logger.diagnostics import sovdev_test_otlp_connection, sovdev_validate_config
from sovdev_logger.environment import (
    sovdev_child_environment,
    sovdev_exit,
    sovdev_initialize_environment,
)
from sovdev_logger.integrations.stdlib import sovdev_capture_logging
from sovdev_logger.levels import SOVDEV_LOGLEVELS
from sovdev_logger.output_tests import ConnectionResult, sovdev_test_connection
from sovdev_logger.peers import PeerServices, create_peer_services
from sovdev_logger.service_api import (
    sovdev_flush,
    sovdev_initialize,
    sovdev_install_signal_handlers,
    sovdev_shutdown,
    sovdev_status,
)
from sovdev_logger.status import OutputStatus, SamplingStatus, Status
from sovdev_logger.telemetry.spans import SovdevSpan
from sovdev_logger.tracing_api import sovdev_carry, sovdev_inject_headers, sovdev_span

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
    "sovdev_set_context",
    "sovdev_shutdown",
    "sovdev_span",
    "sovdev_start_span",
    "sovdev_status",
    "sovdev_test_connection",
    "sovdev_test_otlp_connection",
    "sovdev_validate_config",
]


def __getattr__(name: str) -> str:
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 - asked for rarely, costs 20 ms

        return version("sovdev-logger")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
