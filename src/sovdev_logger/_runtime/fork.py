"""Resets in a forked child, in one fixed order, whatever was imported or created first."""

import logging  # noqa: F401 - its hook and that of threading must run before ours
import os
from enum import IntEnum
from functools import partial
from typing import Final, Protocol
from weakref import WeakSet

from sovdev_logger._runtime.selflog import warn_once


class Phase(IntEnum):
    """What a forked child resets, in this order: each may use what stands above it.

    ``PROFILE`` needs Loguru, and therefore follows Loguru's own hook.
    """

    IDENTIFIERS = 1
    TURNSTILES = 2
    FILE_LOCKS = 3
    INSTANCE = 4
    SAMPLERS = 5
    LIPSERVICE_CLIENTS = 6
    LOGWELL_CLIENTS = 7
    SERVICES = 8
    ADAPTIVE_LOGGING = 9
    PROFILE = 10


class ForkAware(Protocol):
    """Something that a forked child must make its own."""

    def reset_after_fork(self) -> None:
        """Leave threads, connections and locks to the parent, and start afresh."""


_owners: Final[dict[Phase, WeakSet[ForkAware]]] = {phase: WeakSet() for phase in Phase}


def register_for_fork(phase: Phase, owner: ForkAware) -> None:
    """Reset ``owner`` in every forked child for as long as somebody holds it."""
    _owners[phase].add(owner)


def unregister_for_fork(phase: Phase, owner: ForkAware) -> None:
    """Reset ``owner`` in no further child."""
    _owners[phase].discard(owner)


def run_profile_after_other_hooks() -> None:
    """Run the last phase after the hooks that libraries have registered until now; call it once.

    A library's hook may hold its locks during a fork, and release them in the child.
    """
    _register_hook(Phase.PROFILE)


def _register_hook(*phases: Phase) -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=partial(_reset_child, phases))


def _reset_child(phases: tuple[Phase, ...]) -> None:
    for phase in phases:
        for owner in list(_owners[phase]):
            try:
                owner.reset_after_fork()
            except Exception as error:  # noqa: BLE001 - the others are reset all the same
                name, kind = type(owner).__name__, type(error).__name__
                warn_once(
                    f"fork:{name}:{kind}",
                    f"{name} could not be reset in a forked child ({kind}: {error}); "
                    "this is a bug in sovdev-logger; please report it.",
                )


_register_hook(*(phase for phase in Phase if phase is not Phase.PROFILE))
