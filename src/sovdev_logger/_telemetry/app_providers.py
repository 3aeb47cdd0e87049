"""The providers that the application has set, which are respected and never shut down by us."""

import sys
from typing import TYPE_CHECKING, Final

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
"""What the API hands out while nobody has set a provider."""


def application_logger_provider() -> "LoggerProvider | None":
    """Return the global logger provider if the application has set one."""
    module = sys.modules.get("opentelemetry._logs")  # never imported: nobody can have set one
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
