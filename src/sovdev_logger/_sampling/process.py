"""The sampler of the process, and who follows it; light, since every service imports it."""

from typing import TYPE_CHECKING, Protocol
from weakref import WeakSet

if TYPE_CHECKING:
    from sovdev_logger._sampling.managed import ManagedSampler


class SamplerObserver(Protocol):
    """A service that samples as the process does."""

    def on_sampler_changed(self, stage: "ManagedSampler | None") -> None:
        """Sample by this stage from now on, or not at all."""


class _Process:
    stage: "ManagedSampler | None" = None


_followers: "WeakSet[SamplerObserver]" = WeakSet()


def current_stage() -> "ManagedSampler | None":
    """Return what was set up for the process, None while nothing was."""
    return _Process.stage


def set_stage(stage: "ManagedSampler | None") -> None:
    """Sample by this stage from now on, or not at all, in the whole process."""
    _Process.stage = stage
    for follower in list(_followers):
        follower.on_sampler_changed(stage)


def add_sampler_observer(follower: SamplerObserver) -> None:
    """Let a service follow; it is forgotten when nobody else holds it."""
    _followers.add(follower)
    follower.on_sampler_changed(_Process.stage)
