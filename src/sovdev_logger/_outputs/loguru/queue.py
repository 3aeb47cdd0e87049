"""The queue between Loguru and its thread, with bounded waits for room and for a flush."""

import threading
import time
from collections.abc import Callable
from queue import Full, SimpleQueue
from typing import Any, Final

from sovdev_logger._runtime.background_thread import BackgroundThread

_MAX_QUEUED: Final = 20_000
_ROOM_TIMEOUT_SECONDS: Final = 1.0
_WAIT_SLICE_SECONDS: Final = 0.0005


class InProcessQueue:
    """A queue inside one process, for Loguru in place of a pipe between processes.

    A full pipe deadlocks a fork: the fork waits for the writer, and the reader for the fork. A pipe
    also pickles, and lets a child write into its parent's file.
    """

    def __init__(self) -> None:
        self._messages: SimpleQueue[Any] = SimpleQueue()
        self._has_timed_out = False
        self.get = self._messages.get

    def put(self, message: object) -> None:
        """Add a message; raise Full when the disk makes no room for a record in time."""
        if isinstance(message, str):
            self._wait_for_room()
        self._messages.put(message)

    def _wait_for_room(self) -> None:
        """Wait up to a second for a slow disk; after a timeout, fail at once until it recovers."""
        deadline = time.monotonic() + _ROOM_TIMEOUT_SECONDS
        while self._messages.qsize() >= _MAX_QUEUED:
            if self._has_timed_out or time.monotonic() > deadline:
                self._has_timed_out = True
                raise Full
            time.sleep(_WAIT_SLICE_SECONDS)
        self._has_timed_out = False


def in_this_process() -> Any:
    """Return a context with which Loguru makes its queue and locks inside this process."""
    from multiprocessing.context import BaseContext  # noqa: PLC0415 - Loguru has imported it

    class InThisProcess(BaseContext):
        pass

    context: Any = InThisProcess()
    context.SimpleQueue, context.Event, context.Lock = (
        InProcessQueue,
        threading.Event,
        threading.Lock,
    )
    return context


class FlushWaiter:
    """Waits for Loguru's queues in a thread of its own, because Loguru knows no deadline."""

    def __init__(self, complete: Callable[[], object]) -> None:
        self._complete = complete
        self._requests: SimpleQueue[threading.Event] = SimpleQueue()
        # Now, because no thread can be started while the interpreter ends.
        BackgroundThread("loguru flush", self._run).ensure_started()

    def wait(self, deadline: float) -> bool:
        """Return whether everything queued was written by the deadline."""
        done = threading.Event()
        self._requests.put(done)
        return done.wait(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        while True:
            done = self._requests.get()
            self._complete()
            done.set()
