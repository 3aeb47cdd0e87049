"""Handlers of signals that end a program: deliver first, then do what would have happened."""

import os
import signal
import threading
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Final

from sovdev_logger._runtime.selflog import warn

DEFAULT_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

SECOND_SIGNAL_TIMEOUT_SECONDS: Final = 1.0
"""The time left to deliver after a second signal that ends the program."""

_EXIT_STATUS_BASE: Final = 128

Handler = Callable[[int, FrameType | None], object] | int | None
Announce = Callable[[signal.Signals, FrameType | None, bool], None]
"""Called with the signal, the interrupted frame, and whether the signal ends the process."""


class SignalHandler:
    """One signal's handler, which calls the one that it replaces.

    Args:
        number: The signal.
        before: What ``signal.getsignal`` returned.
        flush: Waits for delivery, at most so many seconds (None: as configured).
        shutdown: The same, and spools the rest, because the process ends.
        announce: Called first, so that its records are delivered, too.
    """

    def __init__(
        self,
        number: signal.Signals,
        before: Handler,
        flush: Callable[[float | None], None],
        shutdown: Callable[[float | None], None],
        announce: Announce | None = None,
    ) -> None:
        self._announce = announce
        self._number = number
        self._before = before
        self._flush = flush
        self._shutdown = shutdown
        self._is_busy = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Deliver, then do what would have happened without this handler."""
        before = self._before
        if self._announce is not None and not self._is_busy:
            ends = not callable(before) and before != signal.SIG_IGN
            self._announce(self._number, frame, ends)
        if callable(before):
            # A second signal does not wait: the first one's flush goes on in the outer frame.
            self._once(lambda: self._flush(None))
            before(number, frame)
        elif before == signal.SIG_IGN:
            self._once(lambda: self._flush(None))
        else:
            timeout = SECOND_SIGNAL_TIMEOUT_SECONDS if self._is_busy else None
            self._is_busy = True
            self._shutdown(timeout)
            _die(self._number)

    def _once(self, deliver: Callable[[], None]) -> None:
        if self._is_busy:
            return
        self._is_busy = True
        try:
            deliver()
        finally:
            self._is_busy = False


def install(
    signals: Iterable[int],
    flush: Callable[[float | None], None],
    shutdown: Callable[[float | None], None],
    announce: Announce | None = None,
) -> None:
    """Set handlers for ``signals``; a signal that has one of ours keeps it.

    Raises:
        RuntimeError: Not in the main thread.
        ValueError: A member of ``signals`` is not a signal, or one that cannot be handled.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(
            "signal handlers can be installed in the main thread only: call "
            "sovdev_install_signal_handlers there, such as right after sovdev_initialize"
        )
    for number in [_checked(value) for value in signals]:
        before = signal.getsignal(number)
        if isinstance(before, SignalHandler):
            continue
        if before is None:
            warn(
                f"{number.name} has a handler that was not set by Python and cannot be called "
                "from here; it is left in place, call sovdev_flush before the program ends."
            )
            continue
        signal.signal(number, SignalHandler(number, before, flush, shutdown, announce))


def _checked(value: object) -> signal.Signals:
    try:
        number = signal.Signals(value)  # type: ignore[arg-type]
    except ValueError:
        raise ValueError(f"{value!r} is not a signal: pass members of signal.Signals") from None
    if number in _NOT_CATCHABLE:
        raise ValueError(f"{number.name} ends a process at once, no handler can be installed")
    return number


_NOT_CATCHABLE: Final = {
    getattr(signal, name) for name in ("SIGKILL", "SIGSTOP") if hasattr(signal, name)
}


def _die(number: signal.Signals) -> None:
    """End the process as the signal does without a handler."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    # Still here: the first process of a container does not get signals that it does not handle.
    os._exit(_EXIT_STATUS_BASE + number)
