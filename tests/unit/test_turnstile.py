"""The turnstile: one at a time, and what arrives from inside is done by the outer frame."""

import threading
from collections.abc import Callable

import pytest

from sovdev_logger._runtime import turnstile as turnstile_module
from sovdev_logger._runtime.turnstile import Turnstile


def test_an_item_from_inside_is_done_after_the_one_in_progress() -> None:
    done: list[str] = []

    def action(item: str) -> None:
        if item == "outer":
            turnstile.submit("inner")
        done.append(item)

    turnstile: Turnstile[str] = Turnstile(action)
    turnstile.submit("outer")
    assert done == ["outer", "inner"]


def test_an_exception_frees_the_turnstile_and_loses_nothing_parked() -> None:
    done: list[str] = []

    def action(item: str) -> None:
        if item == "bad":
            turnstile.submit("parked")
            raise ValueError
        done.append(item)

    turnstile: Turnstile[str] = Turnstile(action)
    with pytest.raises(ValueError):
        turnstile.submit("bad")
    turnstile.submit("next")
    assert sorted(done) == ["next", "parked"]


def test_what_was_parked_is_done_when_the_program_is_ended_from_inside() -> None:
    done: list[str] = []

    def action(item: str) -> None:
        if item == "interrupted":
            turnstile.submit("last words")
            raise SystemExit
        done.append(item)

    turnstile: Turnstile[str] = Turnstile(action)
    with pytest.raises(SystemExit):
        turnstile.submit("interrupted")
    assert done == ["last words"]


def test_what_is_parked_can_be_dealt_with_inside() -> None:
    done: list[str] = []

    def action(item: str) -> None:
        if item == "outer":
            turnstile.submit("inner")
            turnstile.drain_parked(lambda parked: done.append(f"aside: {parked}"))
        done.append(item)

    turnstile: Turnstile[str] = Turnstile(action)
    turnstile.submit("outer")
    turnstile.drain_parked(done.append)
    assert done == ["aside: inner", "outer"]


def test_an_error_aside_goes_where_errors_go() -> None:
    errors: list[Exception] = []

    def fail(_: str) -> None:
        raise ValueError

    def action(item: str) -> None:
        if item == "outer":
            turnstile.submit("inner")
            turnstile.drain_parked(fail)

    turnstile: Turnstile[str] = Turnstile(action, errors.append)
    turnstile.submit("outer")
    assert len(errors) == 1


def test_threads_pass_one_at_a_time() -> None:
    inside: list[int] = []
    most = 0

    def action(_: int) -> None:
        nonlocal most
        inside.append(1)
        most = max(most, len(inside))
        inside.pop()

    turnstile: Turnstile[int] = Turnstile(action)

    def submit_many() -> None:
        for number in range(500):
            turnstile.submit(number)

    run_in_threads(8, submit_many)
    assert most == 1


def test_a_task_from_inside_is_left_out() -> None:
    ran: list[str] = []
    turnstile: Turnstile[str] = Turnstile(lambda _: turnstile.run(lambda: ran.append("inside")))
    turnstile.submit("x")
    turnstile.run(lambda: ran.append("outside"))
    assert ran == ["outside"]


def test_an_item_that_is_parked_while_a_task_runs_is_done_after_it() -> None:
    done: list[str] = []
    turnstile: Turnstile[str] = Turnstile(done.append)
    turnstile.run(lambda: turnstile.submit("parked"))
    assert done == ["parked"]


def test_the_number_of_parked_items_is_bounded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(turnstile_module, "_MAX_PARKED", 3)
    done: list[int] = []

    def action(item: int) -> None:
        if item == 0:
            for inner in range(1, 10):
                turnstile.submit(inner)
        done.append(item)

    turnstile: Turnstile[int] = Turnstile(action)
    turnstile.submit(0)
    assert done == [0, 1, 2, 3]
    assert "logged from inside one output" in capsys.readouterr().err


def test_a_held_turnstile_can_be_freed_as_a_forked_child_must() -> None:
    entered, leave = threading.Event(), threading.Event()
    done: list[str] = []

    def action(item: str) -> None:
        if item == "slow":
            entered.set()
            leave.wait(10)
        done.append(item)

    turnstile: Turnstile[str] = Turnstile(action)
    holder = threading.Thread(target=turnstile.submit, args=("slow",))
    holder.start()
    entered.wait(10)
    turnstile.reset_after_fork()
    turnstile.submit("child")
    assert done == ["child"]
    leave.set()
    holder.join(10)


def run_in_threads(count: int, work: Callable[[], object]) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)


def test_a_daemon_thread_that_ended_inside_holds_nobody_up_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passed: list[str] = []
    turnstile: Turnstile[str] = Turnstile(passed.append)
    holder = threading.Thread(target=turnstile._lock.acquire)
    holder.start()
    holder.join()
    monkeypatch.setattr(turnstile_module, "_is_finalizing", lambda: True)
    caller = threading.Thread(target=turnstile.submit, args=("last words",), daemon=True)
    caller.start()
    caller.join(10)
    assert passed == ["last words"]
