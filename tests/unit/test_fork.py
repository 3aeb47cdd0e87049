"""Resets in a forked child: their order, and that one that fails holds up no other."""

import gc
import os
import threading
from collections.abc import Callable

import pytest

from sovdev_logger._runtime.fork import (
    Phase,
    register_for_fork,
    run_profile_after_other_hooks,
    unregister_for_fork,
)
from sovdev_logger._service.instance import instance


class Owner:
    """Notes that it was reset, and fails then if it is meant to."""

    def __init__(self, name: str, resets: list[str], *, fails: bool = False) -> None:
        self.name = name
        self._resets = resets
        self._fails = fails

    def reset_after_fork(self) -> None:
        self._resets.append(self.name)
        if self._fails:
            raise ValueError("a lock that nobody holds")


def in_child(report: Callable[[], str]) -> str:
    """Return what ``report`` returns in a forked child."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, report().encode())
        os._exit(0)
    os.waitpid(child, 0)
    text = os.read(reader, 1000).decode()
    os.close(reader)
    os.close(writer)
    return text


def test_phases_follow_one_another_whatever_was_registered_first() -> None:
    resets: list[str] = []
    owners = [Owner(phase.name, resets) for phase in reversed(Phase)]
    for owner in owners:
        register_for_fork(Phase[owner.name], owner)

    def grandchild() -> str:
        run_profile_after_other_hooks()  # in a child, because the system takes no hook back
        resets.clear()
        return in_child(lambda: " ".join(resets))

    assert in_child(grandchild).split() == [
        "IDENTIFIERS",
        "TURNSTILES",
        "FILE_LOCKS",
        "INSTANCE",
        "SAMPLERS",
        "LIPSERVICE_CLIENTS",
        "LOGWELL_CLIENTS",
        "SERVICES",
        "ADAPTIVE_LOGGING",
        "PROFILE",
    ]
    assert resets == []


def test_an_owner_that_fails_is_reported_and_holds_up_no_other(
    capfd: pytest.CaptureFixture[str],
) -> None:
    resets: list[str] = []
    first = Owner("first", resets, fails=True)
    second = Owner("second", resets)
    register_for_fork(Phase.TURNSTILES, first)
    register_for_fork(Phase.SERVICES, second)
    assert in_child(lambda: " ".join(resets)) == "first second"
    assert "Owner could not be reset in a forked child (ValueError" in capfd.readouterr().err


def test_owners_that_nobody_holds_or_that_left_are_not_reset() -> None:
    resets: list[str] = []
    register_for_fork(Phase.SERVICES, Owner("nobody holds it", resets))
    gc.collect()
    left = Owner("left", resets)
    register_for_fork(Phase.SERVICES, left)
    unregister_for_fork(Phase.SERVICES, left)
    stays = Owner("stays", resets)
    register_for_fork(Phase.SERVICES, stays)
    assert in_child(lambda: ", ".join(resets)) == "stays"


def test_a_profile_is_reset_after_the_hooks_of_libraries_and_a_service_before() -> None:
    resets: list[str] = []
    service, profile = Owner("service", resets), Owner("profile", resets)
    register_for_fork(Phase.SERVICES, service)
    register_for_fork(Phase.PROFILE, profile)

    def grandchild() -> str:
        os.register_at_fork(after_in_child=lambda: resets.append("library"))
        run_profile_after_other_hooks()
        resets.clear()
        return in_child(lambda: " ".join(resets))

    assert in_child(grandchild) == "service library profile"


def test_a_child_may_initialise_while_a_thread_of_its_parent_does() -> None:
    is_held, may_end = threading.Event(), threading.Event()

    def initialise() -> None:
        with instance.lock:
            is_held.set()
            may_end.wait(30)

    thread = threading.Thread(target=initialise)
    thread.start()
    is_held.wait(30)
    try:
        assert in_child(lambda: str(instance.lock.acquire(timeout=1))) == "True"
    finally:
        may_end.set()
        thread.join()
