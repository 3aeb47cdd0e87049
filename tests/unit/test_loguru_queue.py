"""The queue in front of Loguru's sinks: what a call does when the disk is slower than it."""

import threading
import time
from queue import Full

import pytest

from sovdev_logger._outputs.loguru import queue as loguru_queue
from sovdev_logger._outputs.loguru.queue import InProcessQueue

ROOM = 10


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> InProcessQueue:
    monkeypatch.setattr(loguru_queue, "_MAX_QUEUED", ROOM)
    return InProcessQueue()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return what was slept; time stands still but for that."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setattr(time, "monotonic", lambda: sum(slept))
    return slept


def fill(queue: InProcessQueue) -> None:
    for number in range(ROOM):
        queue.put(str(number))


def test_a_slow_disk_is_waited_for(queue: InProcessQueue) -> None:
    count = 20 * ROOM
    written: list[str] = []

    def write() -> None:
        while len(written) < count:
            time.sleep(0.0005)
            written.append(queue.get())

    writer = threading.Thread(target=write)
    writer.start()
    for number in range(count):
        queue.put(str(number))
    writer.join()
    assert written == [str(number) for number in range(count)]


def test_a_disk_that_hangs_is_waited_for_once(queue: InProcessQueue, pauses: list[float]) -> None:
    fill(queue)
    assert not pauses
    with pytest.raises(Full):
        queue.put("one too many")
    assert sum(pauses) == pytest.approx(loguru_queue._ROOM_TIMEOUT_SECONDS, abs=0.01)
    pauses.clear()
    for _ in range(100):
        with pytest.raises(Full):
            queue.put("one too many")
    assert not pauses


def test_it_is_waited_for_again_once_it_took_something(
    queue: InProcessQueue, pauses: list[float]
) -> None:
    fill(queue)
    for _ in range(2):
        pauses.clear()
        with pytest.raises(Full):
            queue.put("one too many")
        assert pauses
        queue.get()
        queue.put("there is room")


def test_what_is_no_record_always_passes(queue: InProcessQueue, pauses: list[float]) -> None:
    """Loguru asks for a confirmation, and for the end, by the same queue."""
    fill(queue)
    queue.put(True)
    queue.put(None)
    assert not pauses
    assert [queue.get() for _ in range(ROOM + 2)][ROOM:] == [True, None]
