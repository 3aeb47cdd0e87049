"""The one private instance behind the module-level functions."""

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from sovdev_logger._runtime.fork import Phase, register_for_fork

if TYPE_CHECKING:
    from sovdev_logger._service.service import Service
    from sovdev_logger._settings.service import Settings


def _start(
    service_name: str, service_version: str, peer_services: Mapping[str, str], settings: "Settings"
) -> "Service":
    # Imported on first use: a program that never initialises pays for none of it.
    from sovdev_logger._service.service import start_service  # noqa: PLC0415

    return start_service(service_name, service_version, peer_services, settings)


class Instance:
    """The process's one service, and how it is started; ``sovdev_logger.testing`` replaces both."""

    __slots__ = ("__weakref__", "is_initialised", "lock", "service", "start")

    def __init__(self) -> None:
        self.service: Service | None = None
        self.is_initialised = False
        self.start: Callable[[str, str, Mapping[str, str], Settings], Service] = _start
        self.lock = threading.RLock()
        register_for_fork(Phase.INSTANCE, self)

    def required_by(self, function: str) -> "Service":
        """Return the service. Raises RuntimeError, which names ``function``, if there is none."""
        if self.service is None:
            raise RuntimeError(
                f"{function} was called before sovdev_initialize: call "
                'sovdev_initialize("your-service") once when the program starts'
            )
        return self.service

    def reset_after_fork(self) -> None:
        """Take a free lock: another thread of the parent may hold the old one."""
        self.lock = threading.RLock()


instance: Final = Instance()
