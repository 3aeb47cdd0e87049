"""The sampler of the process, and its observers; light, since every service imports it."""

from typing import TYPE_CHECKING, Protocol
from weakref import WeakSet

if TYPE_CHECKING:
    from sovdev_logger._sampling.managed import ManagedSampler


class SamplerObserver(Protocol):
    """A service that samples as the process does."""

    def on_sampler_changed(self, managed: "ManagedSampler | None") -> None:
        """Sample by this sampler from now on, or not at all."""


_managed: "ManagedSampler | None" = None
_observers: "WeakSet[SamplerObserver]" = WeakSet()


def process_sampler() -> "ManagedSampler | None":
    """Return the sampler of the process, None while there is none."""
    return _managed


def set_process_sampler(managed: "ManagedSampler | None") -> None:
    """Sample by this sampler from now on, or not at all, in the whole process."""
    global _managed  # noqa: PLW0603 - a process has one
    _managed = managed
    for observer in list(_observers):
        observer.on_sampler_changed(managed)


def add_sampler_observer(observer: SamplerObserver) -> None:
    """Tell a service of the sampler, now and when it changes; holds only a weak reference."""
    _observers.add(observer)
    observer.on_sampler_changed(_managed)
