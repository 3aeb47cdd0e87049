"""The sampler of the process, and who follows it; light, since every service imports it."""

from typing import TYPE_CHECKING, Protocol
from weakref import WeakSet

if TYPE_CHECKING:
    from sovdev_logger._sampling.managed import SamplingStage


class Follower(Protocol):
    """A service that samples as the process does."""

    def follow(self, stage: "SamplingStage | None") -> None:
        """Sample by this stage from now on, or not at all."""


class _Process:
    stage: "SamplingStage | None" = None


_followers: "WeakSet[Follower]" = WeakSet()


def current_stage() -> "SamplingStage | None":
    """Return what was set up for the process, None while nothing was."""
    return _Process.stage


def set_stage(stage: "SamplingStage | None") -> None:
    """Sample by this stage from now on, or not at all, in the whole process."""
    _Process.stage = stage
    for follower in list(_followers):
        follower.follow(stage)


def add_follower(follower: Follower) -> None:
    """Let a service follow; it is forgotten when nobody else holds it."""
    _followers.add(follower)
    follower.follow(_Process.stage)
