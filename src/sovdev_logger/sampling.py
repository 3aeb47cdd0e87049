"""Adaptive sampling: which entries are kept, and which are only counted.

Switched on for a service with ``SOVDEV_SAMPLING``, and for any application with

    from sovdev_logger.sampling import configure_adaptive_logging, get_logger

    configure_adaptive_logging("orders", "https://lipservice.example", team_id=7)
    get_logger("orders.api").info("order placed", order_id=17)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sovdev_logger._sampling.configure import (
        AdaptiveLogging,
        configure_adaptive_logging,
        get_logger,
    )
    from sovdev_logger._sampling.filter import AdaptiveSampler
    from sovdev_logger._sampling.signature import pattern_of, signature_of

__all__ = [
    "AdaptiveLogging",
    "AdaptiveSampler",
    "configure_adaptive_logging",
    "get_logger",
    "pattern_of",
    "signature_of",
]

_HOMES = {
    "AdaptiveLogging": "_sampling.configure",
    "AdaptiveSampler": "_sampling.filter",
    "configure_adaptive_logging": "_sampling.configure",
    "get_logger": "_sampling.configure",
    "pattern_of": "_sampling.signature",
    "signature_of": "_sampling.signature",
}


def __getattr__(name: str) -> Any:
    # A service that does not sample does not pay for the import.
    from sovdev_logger._runtime.lazy_imports import import_name  # noqa: PLC0415 - rarely needed

    return import_name(__name__, _HOMES, name)


if __name__ == "__main__":
    import sys

    from sovdev_logger._sampling.cli import main

    sys.exit(main())
