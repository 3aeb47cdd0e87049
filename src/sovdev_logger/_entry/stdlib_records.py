"""Stdlib records: made for foreign handlers and loggers, and read when ``logging`` made them."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from sovdev_logger._entry.call_site import CallSite
from sovdev_logger._entry.entry import Entry
from sovdev_logger._entry.sample_rate import RATE_ATTRIBUTE

ENTRY_ATTRIBUTE: Final = "_sovdev_entry"
"""The record attribute with its entry; other formatters take a leading underscore for private."""

PASSED_ATTRIBUTE: Final = "_sovdev_passed"
"""Marks a record that was passed to the outputs."""

_OWN_LINE_ATTRIBUTE: Final = "_sovdev_own_line"
_LOGGED: Final = "__sovdev_logged__"

_SECOND_NS: Final = 1_000_000_000
_MILLISECOND_NS: Final = 1_000_000

_FIRST_SECOND: Final = -62_135_510_400
_LAST_SECOND: Final = 253_402_214_400
"""A day after the year 1 begins and a day before 9999 ends: ``datetime`` knows them everywhere."""

_OURS: Final = frozenset({ENTRY_ATTRIBUTE, PASSED_ATTRIBUTE, RATE_ATTRIBUTE, _OWN_LINE_ATTRIBUTE})

RESERVED_ATTRIBUTES: Final = frozenset(
    {
        *logging.LogRecord("", logging.INFO, "", 0, "", (), None).__dict__,
        "message",
        "asctime",
        "taskName",
    }
)


def make_record(
    name: str, level_number: int, message: object, site: CallSite, exception: object = None
) -> logging.LogRecord:
    """Return a record as ``logging`` makes it; ``exception`` may be an ``exc_info``, too."""
    if isinstance(exception, BaseException):
        exception = type(exception), exception, exception.__traceback__
    path, line, function = site
    exc_info: Any = exception
    return logging.LogRecord(name, level_number, path, line, message, (), exc_info, function)


def record_from_entry(entry: Entry) -> logging.LogRecord:
    """Return the record that ``logging`` would make for an entry, with the entry on it."""
    fields, level = entry.fields, entry.level
    name, site = fields["service_name"] or "", CallSite("", 0, fields["function_name"])
    record = make_record(name, level.stdlib_number, fields["message"], site, entry.exception)
    record.levelname = level.stdlib_name
    set_time(record, entry.time_ns / _SECOND_NS)
    record.msecs = entry.time_ns // _MILLISECOND_NS % 1000
    record.__dict__[ENTRY_ATTRIBUTE] = entry
    if entry.sample_rate is not None:
        record.__dict__[RATE_ATTRIBUTE] = entry.sample_rate
    return record


def set_time(record: logging.LogRecord, created: float) -> None:
    """Set when a record was created, in seconds since the epoch."""
    record.relativeCreated += (created - record.created) * 1000
    record.created = created


def created_ns(record: logging.LogRecord, now_ns: int) -> int:
    """Return when a record was created; ``now_ns`` where that is not a time from 1 to 9999."""
    with suppress(Exception):  # a program may set anything
        if _FIRST_SECOND <= record.created <= _LAST_SECOND:
            return int(record.created * _SECOND_NS)
    return now_ns


def put_extra(record: logging.LogRecord, extra: Mapping[str, object]) -> None:
    """Put ``extra`` on a record; names that every record has are prefixed with ``extra_``."""
    for name, value in extra.items():
        record.__dict__[f"extra_{name}" if name in RESERVED_ATTRIBUTES else name] = value


def read_extra(record: logging.LogRecord) -> dict[str, object] | None:
    """Return the ``extra`` of a logging call, None without one."""
    extra = {
        name: value
        for name, value in record.__dict__.items()
        if name not in RESERVED_ATTRIBUTES and name not in _OURS
    }
    return extra or None


def mark_as_logged(error: BaseException) -> None:
    """Mark an exception as logged, so that later records about it are skipped."""
    with suppress(Exception):
        setattr(error, _LOGGED, True)


def is_already_logged(record: logging.LogRecord) -> bool:
    """Return whether the record's exception is marked as logged."""
    error = record.exc_info[1] if record.exc_info else None
    return error is not None and getattr(error, _LOGGED, False) is True


def mark_as_own_output(record: logging.LogRecord) -> None:
    """Mark a record that repeats what we wrote to stderr ourselves, for the other outputs."""
    record.__dict__[_OWN_LINE_ATTRIBUTE] = True


def is_own_output(record: logging.LogRecord) -> bool:
    """Return whether the record is marked as a repetition of what we wrote to stderr."""
    return _OWN_LINE_ATTRIBUTE in record.__dict__
