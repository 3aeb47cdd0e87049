"""Interpreter hooks that log uncaught exceptions and how the process exits."""

import contextlib
import functools
import logging
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Final, NoReturn

from sovdev_logger._entry.call_site import (
    CallSite,
    calling_site,
    raising_site,
    site_outside,
)

Record = Callable[[int, str, BaseException | None, CallSite | None], None]
"""Logs a message at a level of stdlib logging, with an exception and a call site."""

_MAX_EXIT_CODE: Final = 255
_SHOWN_CHARACTERS: Final = 80
_FUNCTION: Final = re.compile(r"<function (\S+) at 0x")
_LOGGERS: Final = frozenset({"contextlib", "logging", "loguru", "sovdev_logger"})


class ExitHooks:
    """Logs each uncaught exception and the end of the process.

    Earlier hooks are called afterwards, except for the interpreter's own: the record replaces
    their output.

    Args:
        name: What the process is called.
        record: Called to log; must not raise.
    """

    def __init__(self, name: str, record: Record) -> None:
        self.name = name
        self._record = record
        self._has_logged_end = False
        self._exit: tuple[object, CallSite | None] | None = None

    def install(self) -> None:
        """Set the hooks; call it once in a process and its forked children."""
        sys.excepthook = self._after(sys.excepthook)
        threading.excepthook = self._after_thread(threading.excepthook)
        sys.unraisablehook = self._after_unraisable(sys.unraisablehook)
        sys.exit = self._before_exit(sys.exit)
        traceback.print_exc = self._before_print(traceback.print_exc)
        logging.getLogger("asyncio").addFilter(_AsyncioCrashes(self._critical))

    def _after(self, before: Callable[..., Any]) -> Callable[..., Any]:
        def hook(
            kind: type[BaseException], error: BaseException, trace: TracebackType | None
        ) -> None:
            self.log_uncaught(error, trace)
            if isinstance(error, KeyboardInterrupt) or before is not sys.__excepthook__:
                before(kind, error, trace)

        return hook

    def _after_thread(self, before: Callable[..., Any]) -> Callable[..., Any]:
        def hook(args: Any) -> None:
            if not isinstance(args.exc_value, SystemExit):
                where = f" in thread {args.thread.name}" if args.thread is not None else ""
                self._critical(args.exc_value, args.exc_type, args.exc_traceback, where)
            if before is not threading.__excepthook__:
                before(args)

        return hook

    def _after_unraisable(self, before: Callable[..., Any]) -> Callable[..., Any]:
        def hook(args: Any) -> None:
            where = _place_of(args.object, args.err_msg or "")
            self._critical(args.exc_value, args.exc_type, args.exc_traceback, where)
            if before is not sys.__unraisablehook__:
                before(args)

        return hook

    def _before_exit(self, exit_: Callable[..., NoReturn]) -> Callable[..., NoReturn]:
        @functools.wraps(exit_)
        def exit_with_record(status: Any = None, /) -> NoReturn:
            if _module_of_caller() != "multiprocessing.spawn":  # it hands on the child's exit
                self._exit = status, calling_site()
            exit_(status)

        return exit_with_record

    def _before_print(self, print_exc: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(print_exc)
        def print_exception(*args: Any, **named: Any) -> None:
            # Since Python 3.13 nothing else shows that a child of multiprocessing failed.
            error = sys.exc_info()[1]
            if _module_of_caller() == "multiprocessing.process" and error is not None:
                self.log_uncaught(error, error.__traceback__)
            print_exc(*args, **named)

        return print_exception

    def restart(self, name: str) -> None:
        """Log the end of a forked child, too, under a name of its own."""
        self.name = name
        self._has_logged_end = False
        self._exit = None

    def log_uncaught(self, error: BaseException, trace: TracebackType | None) -> None:
        """Log the exception that ends the process, unless its end was logged already."""
        if self._has_logged_end:
            return
        self._has_logged_end = True
        if isinstance(error, KeyboardInterrupt):
            site = raising_site(trace)
            self._record(logging.WARNING, f"{self.name} ends: interrupted", None, site)
        else:
            self._critical(error, type(error), trace, "")

    def log_end(self) -> None:
        """Log how the process ends, unless that was logged already."""
        if self._has_logged_end:
            return
        error = sys.exc_info()[1]  # multiprocessing calls this while the exception goes through
        if isinstance(error, SystemExit):
            self._exit = error.code, raising_site(error.__traceback__)
        elif error is not None:
            self.log_uncaught(error, error.__traceback__)
            return
        self._has_logged_end = True
        if self._exit is None:
            self._record(logging.INFO, f"{self.name} ends", None, None)
            return
        status, site = self._exit
        code = exit_code(status)
        words = f": {status}" if not (status is None or isinstance(status, int)) else ""
        level = logging.ERROR if code else logging.INFO
        self._record(level, f"{self.name} exits with code {code}{words}", None, site)

    def log_exit(self, reason: str, code: int, error: BaseException | None) -> None:
        """Log an exit with its reason."""
        self._has_logged_end = True
        level = logging.ERROR if code else logging.INFO
        message = f"{self.name} exits with code {code}: {reason}"
        self._record(level, message, error, calling_site())

    def log_signal(self, number: signal.Signals, site: CallSite | None, *, ends: bool) -> None:
        """Log a signal, and whether it ends the process."""
        if ends:
            self._has_logged_end = True
        what = f"{self.name} ends: {number.name}" if ends else f"{self.name} got {number.name}"
        self._record(logging.INFO, what, None, site)

    def _critical(
        self,
        error: BaseException | None,
        kind: type[BaseException] | None,
        trace: TracebackType | None,
        where: str,
    ) -> None:
        if error is None and kind is not None:
            try:
                error = kind()
            except Exception:  # noqa: BLE001 - its constructor needs arguments
                error = None
        name = kind.__name__ if kind is not None else "exception"
        site = raising_site(trace)
        self._record(logging.CRITICAL, f"uncaught {name}{where}: {_text(error)}", error, site)


class _AsyncioCrashes(logging.Filter):
    """Logs exceptions that an event loop reports as never retrieved."""

    def __init__(self, critical: Callable[..., None]) -> None:
        super().__init__()
        self._critical = critical

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.exc_info or record.levelno != logging.ERROR:
            return True
        kind, error, trace = record.exc_info
        what = str(record.msg).partition("\n")[0]
        self._critical(error, kind, trace, f" in asyncio ({what[:_SHOWN_CHARACTERS]})")
        return False


def exit_code(status: object) -> int:
    """Return the code that a process exits with when ``sys.exit`` gets ``status``."""
    if status is None:
        return 0
    return status & _MAX_EXIT_CODE if isinstance(status, int) else 1


def program_site(frame: FrameType | None) -> CallSite | None:
    """Return where the program is, outside of loggers."""
    return site_outside(frame, _LOGGERS)


def end_process(code: int) -> NoReturn:
    """Exit with a code: as ``sys.exit`` does, and also from another thread than the main one."""
    if threading.current_thread() is threading.main_thread():
        raise SystemExit(code)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # None, closed or full
            stream.flush()
    os._exit(code)


def _module_of_caller() -> str:
    """Return the module of the function that called the caller of this."""
    return str(sys._getframe(2).f_globals.get("__name__"))  # noqa: SLF001 - what logging does


def _place_of(source: object, text: str) -> str:
    """Return where an ignored error happened; newer Pythons say so in ``text`` only."""
    if source is not None:
        return f" in {_name_of(source)}"
    function = _FUNCTION.search(text)
    return f" in {function[1]}" if function else text.removeprefix("Exception ignored")


def _name_of(value: object) -> str:
    return str(getattr(value, "__qualname__", None) or type(value).__qualname__)


def _text(error: BaseException | None) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - its own __str__
        return "its text cannot be made"
