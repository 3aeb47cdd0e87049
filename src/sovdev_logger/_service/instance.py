"""The one private instance behind the module-level functions."""

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sovdev_logger._service.service import Service
    from sovdev_logger._settings.service import Settings


def _start(
    service_name: str, service_version: str, peer_services: Mapping[str, str], settings: "Settings"
) -> "Service":
    # Imported when it is wanted: a program that never initialises pays for none of it.
    from sovdev_logger._service.service import start_service  # noqa: PLC0415

    return start_service(service_name, service_version, peer_services, settings)


class Holder:
    """The one instance, and how it is started; ``sovdev_logger.testing`` puts its own in place."""

    service: "Service | None" = None
    is_initialised = False
    start: Callable[[str, str, Mapping[str, str], "Settings"], "Service"] = staticmethod(_start)
    lock = threading.RLock()


def not_initialised(function: str) -> RuntimeError:
    """Return the error of a function that needs a service."""
    return RuntimeError(
        f"{function} was called before sovdev_initialize: call "
        'sovdev_initialize("your-service") once when the program starts'
    )
