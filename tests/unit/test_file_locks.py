"""Locks between processes: exclusive, released once, and not inherited by forked children."""

import os
from pathlib import Path

import pytest

from sovdev_logger._runtime.file_locks import FileLock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "owner"


def test_only_one_holds_it(path: Path) -> None:
    first, second = FileLock(path, 0o600), FileLock(path, 0o600)
    assert first.try_acquire()
    assert not second.try_acquire()
    assert not second.acquire(0.001)
    first.release()
    first.release()
    assert second.acquire(0)
    second.release()


def test_a_lock_knows_that_its_file_was_replaced(path: Path) -> None:
    lock = FileLock(path, 0o600)
    assert lock.is_at_its_path()
    path.unlink()
    assert not lock.is_at_its_path()
    path.touch()
    assert not lock.is_at_its_path()
    lock.release()


def test_a_child_neither_keeps_nor_releases_its_parents_lock(path: Path) -> None:
    lock, other = FileLock(path, 0o600), FileLock(path, 0o600)
    assert lock.try_acquire()
    child = os.fork()
    if child == 0:
        lock.release()
        os._exit(0)
    os.waitpid(child, 0)
    assert not other.try_acquire(), "the child has released it"
    other.release()
    lock.release()
