"""A daemon thread: started once, waited for, and impossible while the interpreter ends."""

import threading
import time

import pytest

from sovdev_logger._runtime.background_thread import BackgroundThread


def test_it_runs_once_however_often_it_is_started() -> None:
    runs: list[str] = []
    thread = BackgroundThread("log entries", lambda: runs.append(threading.current_thread().name))
    assert not thread.is_running
    assert thread.ensure_started()
    thread.join(time.monotonic() + 10)
    assert thread.ensure_started()
    assert runs == ["sovdev-log-entries"]
    assert thread.has_ended
    assert not thread.is_running


def test_what_follows_the_end_sees_that_it_has_ended() -> None:
    seen: list[bool] = []
    thread = BackgroundThread("work", lambda: None, lambda: seen.append(thread.has_ended))
    thread.ensure_started()
    thread.join(time.monotonic() + 10)
    assert seen == [True]


def test_a_start_that_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    runs: list[int] = []
    thread = BackgroundThread("work", lambda: runs.append(1))
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        assert not thread.ensure_started()
        assert not thread.is_running
    assert thread.ensure_started()
    thread.join(time.monotonic() + 10)
    assert runs == [1]


def test_nobody_waits_past_the_deadline_nor_for_himself() -> None:
    release = threading.Event()

    def run() -> None:
        thread.join(time.monotonic() + 10)  # it would be a deadlock
        release.wait(10)

    thread = BackgroundThread("work", run)
    thread.ensure_started()
    thread.join(time.monotonic() - 1)
    assert thread.is_running
    release.set()
    thread.join(time.monotonic() + 10)
    assert thread.has_ended
