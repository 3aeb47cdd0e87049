"""A structlog processor that makes entries, for the end of a chain."""

import sys
from collections.abc import MutableMapping
from typing import Any, Final, NoReturn

from sovdev_logger._entry.call_site import CallSite, site_outside
from sovdev_logger._entry.levels import INFO, find_level
from sovdev_logger._entry.stdlib_records import make_record, put_extra
from sovdev_logger.integrations._bridge import give_to_outputs

try:
    import structlog
except ImportError as error:
    raise ImportError("structlog is missing: install sovdev-logger[structlog]") from error

_NOT_CALLERS: Final = frozenset({"structlog", "sovdev_logger", "logging"})


def sovdev_processor(
    logger: Any, method_name: str, event_dict: MutableMapping[str, Any]
) -> NoReturn:
    """Make an entry of an event; the last processor of a chain.

    ``structlog.configure(processors=[structlog.contextvars.merge_contextvars, sovdev_processor])``.
    The event is the message, what was bound is the input, level, function and place are the
    caller's, and ``exc_info`` comes along. Any thread or task.

    Raises:
        structlog.DropEvent: Always; it tells structlog that the event has been handled.

    Specification: integrations, structlog.
    """
    level = find_level("error" if method_name == "exception" else method_name) or INFO
    event = event_dict.pop("event", "")
    exception = _exception(event_dict.pop("exc_info", method_name == "exception"))
    frame = sys._getframe(1)  # noqa: SLF001 - as structlog does
    site = site_outside(frame, _NOT_CALLERS) or CallSite("", 0, "")
    name = getattr(logger, "name", None) or "structlog"
    record = make_record(name, level.stdlib_number, event, site, exception)
    put_extra(record, event_dict)
    give_to_outputs(record)
    raise structlog.DropEvent


def _exception(option: object) -> object:
    if isinstance(option, (BaseException, tuple)):
        return option
    return sys.exc_info()[1] if option else None
