"""Stdlib records: made for entries when somebody else listens, and read when others made them."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from sovdev_logger._entry.entry import Entry
from sovdev_logger._entry.sample_rate import RATE_ATTRIBUTE

ENTRY_ATTRIBUTE: Final = "_sovdev_entry"
"""Where a record carries its entry; the underscore keeps it out of other formatters' extras."""

GIVEN_ATTRIBUTE: Final = "_sovdev_given"
"""Marks a record that a handler of ours has handed to the outputs."""

_LOGGED: Final = "__sovdev_logged__"

_SECOND_NS: Final = 1_000_000_000
_MILLISECOND_NS: Final = 1_000_000

_OURS: Final = frozenset({ENTRY_ATTRIBUTE, GIVEN_ATTRIBUTE, RATE_ATTRIBUTE})

RESERVED_ATTRIBUTES: Final = frozenset(
    {
        *logging.LogRecord("", logging.INFO, "", 0, "", (), None).__dict__,
        "message",
        "asctime",
        "taskName",
    }
)


def make_record(entry: Entry) -> logging.LogRecord:
    """Return the record that ``logging`` would make for an entry, with the entry on it."""
    fields, level = entry.fields, entry.level
    error = entry.exception
    record = logging.LogRecord(
        name=fields["service_name"] or "",
        level=level.stdlib_number,
        pathname="",
        lineno=0,
        msg=fields["message"],
        args=(),
        exc_info=(type(error), error, error.__traceback__) if error is not None else None,
        func=fields["function_name"],
    )
    record.levelname = level.stdlib_name
    set_time(record, entry.time_ns / _SECOND_NS)
    record.msecs = entry.time_ns // _MILLISECOND_NS % 1000
    record.__dict__[ENTRY_ATTRIBUTE] = entry
    if entry.sample_rate is not None:
        record.__dict__[RATE_ATTRIBUTE] = entry.sample_rate
    return record


def set_time(record: logging.LogRecord, created: float) -> None:
    """Make a record as old as what it tells of; ``created`` is in seconds since the epoch."""
    record.relativeCreated += (created - record.created) * 1000
    record.created = created


def put_extra(record: logging.LogRecord, extra: Mapping[str, object]) -> None:
    """Put ``extra`` on a record; a name that a record has itself gets ``extra_`` before it."""
    for name, value in extra.items():
        record.__dict__[f"extra_{name}" if name in RESERVED_ATTRIBUTES else name] = value


def extra_of(record: logging.LogRecord) -> dict[str, object] | None:
    """Return what the caller gave as ``extra``, None when there is nothing."""
    extra = {
        name: value
        for name, value in record.__dict__.items()
        if name not in RESERVED_ATTRIBUTES and name not in _OURS
    }
    return extra or None


def mark_as_logged(error: BaseException) -> None:
    """Have later records about an exception left out: an entry tells of it."""
    with suppress(Exception):
        setattr(error, _LOGGED, True)


def is_told_already(record: logging.LogRecord) -> bool:
    """Return whether an entry tells of the record's exception."""
    error = record.exc_info[1] if record.exc_info else None
    return error is not None and getattr(error, _LOGGED, False) is True
