"""Terminal and file by Loguru: its sinks, and the handler that feeds them with entries.

Loguru rotates, keeps, enqueues and extends tracebacks. Added here: credentials are redacted, a
flush has a deadline, and a signal handler can log.
"""

import contextlib
import logging
import os
import re
import sys
import time
import traceback
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, TextIO

from sovdev_logger._entry.entry import Entry
from sovdev_logger._outputs.handler import EntryFactory, OutputHandler
from sovdev_logger._outputs.loguru.queue import FlushWaiter, in_this_process
from sovdev_logger._runtime.selflog import warn_once
from sovdev_logger._runtime.stderr import FollowingStderr, console_stream, write_and_flush
from sovdev_logger._safety.one_line import one_line, traceback_lines
from sovdev_logger._safety.sanitizer import Sanitizer
from sovdev_logger._settings.profile import Profile, open_log_file

if TYPE_CHECKING:
    from loguru import Message, Record

OURS: Final = "sovdev_entry"
"""Marks a Loguru record that was made of an entry, so that it does not become another entry."""

_MESSAGE: Final = "sovdev_message"
_TRACEBACK: Final = "sovdev_traceback"

_PLACE: Final = "sovdev_place"
_REST: Final = " | {level} | {" + _PLACE + "} | {" + _MESSAGE + "}\n{" + _TRACEBACK + "}"
_COLOURED: Final = (
    "<green>{time:HH:mm:ss.SSS}</green> | <level>{level}</level> | <cyan>{" + _PLACE + "}</cyan> | "
    "<level>{" + _MESSAGE + "}</level>\n{" + _TRACEBACK + "}"
)
_FILE_LINE: Final = "{time:YYYY-MM-DD HH:mm:ss.SSS}" + _REST

_INTERRUPTED_SECONDS: Final = 0.5
_NAMES: Final = {"trace": "TRACE", "warn": "WARNING", "fatal": "CRITICAL"}


def level_name(entry: Entry) -> str:
    """Return Loguru's name of an entry's level."""
    name = entry.level.name
    return _NAMES.get(name) or name.upper()


class LoguruSinks:
    """The sinks of a profile on Loguru's one ``logger``.

    Args:
        profile: Where they write, and what.
        sanitizer: Redacts credentials.
        is_forked: Whether this is a child, which may never log: it starts no thread and creates its
            file with the first line.
    """

    def __init__(self, profile: Profile, sanitizer: Sanitizer, *, is_forked: bool = False) -> None:
        from loguru import logger  # noqa: PLC0415 - an extra

        self.logger = logger
        self.profile = profile
        self.enqueues = profile.enqueues and not is_forked
        self._delay = is_forked
        self.sanitizer = sanitizer
        self._numbers: list[int] = []
        self._add(profile)

    def _add(self, profile: Profile) -> None:
        with contextlib.suppress(ValueError):
            self.logger.remove(0)  # Loguru's default sink
        common: dict[str, Any] = {"level": profile.level_name, "enqueue": self.enqueues}
        if self.enqueues:
            common["context"] = in_this_process()
        # First, because the other sinks show what it writes into the record.
        self._numbers.append(
            self.logger.add(
                _Tracebacks(self),
                level=profile.level_name,
                format=lambda record: "{exception}",  # noqa: ARG005 - to a text it adds another
                backtrace=True,
                diagnose=True,
                colorize=False,
                filter=lambda record: record["exception"] is not None,
            )
        )
        if profile.has_terminal and sys.stderr is not None:
            # Loguru knows where the process's own stderr has colours without being a terminal.
            own = sys.stderr if sys.stderr is sys.__stderr__ else None
            stream: TextIO | FollowingStderr = own or FollowingStderr()
            self._numbers.append(
                self.logger.add(stream, format=self._formatter(_COLOURED), **common)
            )
        if profile.path is not None:
            self._numbers.append(
                self.logger.add(
                    str(profile.path).replace("{", "{{").replace("}", "}}"),
                    format=self._formatter(_FILE_LINE),
                    rotation=profile.max_bytes,
                    retention=_keep_newest(profile.path, profile.max_files),
                    encoding="utf-8",
                    errors="backslashreplace",
                    opener=open_log_file,
                    delay=self._delay,
                    watch=True,
                    **common,
                )
            )

    def remove(self) -> None:
        """Remove our sinks from Loguru's logger, after writing what is queued."""
        numbers, self._numbers = self._numbers, []
        for number in numbers:
            with contextlib.suppress(ValueError):
                self.logger.remove(number)

    def _formatter(self, template: str) -> Callable[["Record"], str]:
        """Return a format function: Loguru calls it for the template of each record."""

        def template_for(record: "Record") -> str:
            values: dict[str, Any] = record  # type: ignore[assignment]
            if _MESSAGE not in values:
                values[_MESSAGE] = one_line(self.sanitizer.text(record["message"]))
            place = f"{record['module']}:{record['function']}:{record['line']}"
            values[_PLACE] = one_line(place)
            values.setdefault(_TRACEBACK, "")
            return template

        return template_for


class LoguruHandler(OutputHandler):
    """Logs entries to Loguru's ``logger``, and so to each of its sinks.

    Args:
        entry_from_record: Makes entries of records from plain logging.
        sinks: Ours; where Loguru cannot be used, this writes to the same places.

    Attributes:
        is_bypassing: Whether this writes past Loguru.
    """

    def __init__(self, entry_from_record: EntryFactory, sinks: LoguruSinks) -> None:
        super().__init__(entry_from_record)
        self.is_bypassing = False
        self.set_sinks(sinks)

    def set_sinks(self, sinks: LoguruSinks) -> None:
        """Write to these sinks from now on; a forked child leaves its parent's."""
        self._sinks = sinks
        self._flush_waiter = FlushWaiter(sinks.logger.complete) if sinks.enqueues else None

    def write(self, entry: Entry) -> None:
        """Log one entry at its own place and time."""
        if self.is_bypassing:
            self.write_bypassing(entry)
            return
        message = entry.fields["message"]
        self._sinks.logger.opt(exception=entry.exception).patch(
            _patch(entry, self._sinks.sanitizer)
        ).log(level_name(entry), message)

    def write_bypassing(self, entry: Entry) -> None:
        """Write one entry without Loguru, which rejects calls from inside itself."""
        profile, moment = self._sinks.profile, datetime.fromtimestamp(entry.time_ns / 1e9)  # noqa: DTZ006
        if entry.level.stdlib_number < logging.getLevelNamesMapping()[profile.level_name]:
            return
        time_of_day = f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03}"
        place = one_line(":".join(map(str, _place(entry))))
        rest = (
            f"{time_of_day} | {level_name(entry)} | {place} | "
            f"{one_line(entry.fields['message'])}\n{_described(entry, self._sinks.sanitizer)}"
        )
        stream = console_stream() if profile.has_terminal else None
        if stream is not None:
            write_and_flush(stream, rest)
        if profile.path is not None:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
            descriptor = open_log_file(str(profile.path), flags)
            try:
                text = f"{moment:%Y-%m-%d} {rest}"
                os.write(descriptor, text.encode("utf-8", "backslashreplace"))
            finally:
                os.close(descriptor)

    def wait_until_written(self, deadline: float) -> None:
        """Wait until Loguru's own thread has written what is queued."""
        if self.is_bypassing:  # Loguru may be held by the frame that a signal interrupted
            deadline = min(deadline, time.monotonic() + _INTERRUPTED_SECONDS)
        if self._flush_waiter is not None and not self._flush_waiter.wait(deadline):
            warn_once(
                "loguru:slow",
                "Loguru did not write its queue in time; it goes on while the process lives.",
            )

    def bypass_loguru_in(self, frame: FrameType | None) -> None:
        """Bypass Loguru while a signal handler runs that interrupted it in ``frame``."""
        while frame is not None:
            if f"{frame.f_globals.get('__name__')}.".startswith("loguru."):
                self.is_bypassing = True
                return
            frame = frame.f_back

    def report(self, error: Exception) -> str:
        """Warn once that Loguru raised."""
        reason = f"loguru: {type(error).__name__}"
        warn_once(
            reason,
            f"an entry did not reach Loguru ({type(error).__name__}: {error}); a sink that "
            "was added with catch=False, or a patcher, raises.",
        )
        return reason


class _Tracebacks:
    """A sink that stores Loguru's extended traceback, redacted, in the record for other sinks."""

    encoding: Final = "utf-8"

    def __init__(self, sinks: LoguruSinks) -> None:
        self._sinks = sinks

    def write(self, message: "Message") -> None:
        exception = message.record["exception"]
        error = exception.value if exception is not None else None
        values: dict[str, Any] = message.record  # type: ignore[assignment]
        text = str(message)
        values[_TRACEBACK] = traceback_lines(self._sinks.sanitizer.traceback(text, error))


def _patch(entry: Entry, sanitizer: Sanitizer) -> Callable[["Record"], None]:
    def patch(record: "Record") -> None:
        values: dict[str, Any] = record  # type: ignore[assignment]
        values[OURS] = True
        values[_MESSAGE] = one_line(record["message"])
        values["module"], values["function"], values["line"] = _place(entry)
        site = entry.call_site
        if site is not None:
            name = Path(site.path).name
            file: Any = type(record["file"])
            values["file"] = file(name, site.path)
        values["name"] = values["module"]
        time_zone = record["time"].tzinfo
        values["time"] = type(record["time"]).fromtimestamp(entry.time_ns / 1e9, time_zone)
        if entry.exception is None:
            values[_TRACEBACK] = _described(entry, sanitizer)

    return patch


def _place(entry: Entry) -> tuple[str, str, int]:
    site = entry.call_site
    if site is None:
        return entry.fields["service_name"] or "?", entry.fields["function_name"], 0
    return site.module, site.function, site.line


def _described(entry: Entry, sanitizer: Sanitizer) -> str:
    """Return an entry's exception as text, without Loguru's help."""
    error = entry.exception
    if error is not None:
        with contextlib.suppress(Exception):
            shown = "".join(traceback.format_exception(error))
            return traceback_lines(sanitizer.traceback(shown, error))
    text = entry.fields.get("exception_stacktrace")
    return traceback_lines(f"{text}\n") if text else ""


def _keep_newest(path: Path, count: int) -> Callable[[list[str]], None]:
    """Return a retention by count that spares files such as ``{NAME_APP}.something.log``."""
    # Loguru's own names: the time is put between the name and the suffix.
    stamp = r"\.\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_\d{6}(?:\.\d+)?"
    own = re.compile(re.escape(path.stem) + stamp + re.escape(path.suffix))

    def retain(files: list[str]) -> None:
        backups = [file for file in files if own.fullmatch(Path(file).name)]
        backups.sort(key=os.path.getmtime)
        for file in backups[: max(0, len(backups) - count)]:
            os.remove(file)

    return retain
