"""The one private instance behind the module-level functions."""

import threading
from collections.abc import Callable, Mapping

from sovdev_logger.lifecycle import Service, start_service
from sovdev_logger.settings import Settings


class Holder:
    """The one instance, and how it is started; ``sovdev_logger.testing`` puts its own in place."""

    service: Service | None = None
    is_initialised = False
    start: Callable[[str, str, Mapping[str, str], Settings], Service] = staticmethod(start_service)
    lock = threading.RLock()


def not_initialised(function: str) -> RuntimeError:
    """Return the error of a function that needs a service."""
    return RuntimeError(
        f"{function} was called before sovdev_initialize: call "
        'sovdev_initialize("your-service") once when the program starts'
    )
