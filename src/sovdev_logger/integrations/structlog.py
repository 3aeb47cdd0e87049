"""structlog: the end of a processor chain that makes entries."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Final, NoReturn

from sovdev_logger._entry.call_site import source_outside
from sovdev_logger._entry.levels import INFO, find_level
from sovdev_logger._entry.stdlib_records import put_extra
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
        structlog.DropEvent: Always, as structlog wants it: the event has gone where it goes.

    Specification: integrations, structlog.
    """
    level = find_level("error" if method_name == "exception" else method_name) or INFO
    event = event_dict.pop("event", "")
    exc_info = _exc_info(event_dict.pop("exc_info", method_name == "exception"))
    place = source_outside(sys._getframe(1), _NOT_CALLERS)  # noqa: SLF001 - as structlog does
    record = logging.LogRecord(
        name=getattr(logger, "name", None) or "structlog",
        level=level.stdlib_number,
        pathname=place.path if place is not None else "",
        lineno=place.line if place is not None else 0,
        msg="%s",
        args=(event,),
        exc_info=exc_info,
        func=place.function if place is not None else None,
    )
    put_extra(record, event_dict)
    give_to_outputs(record)
    raise structlog.DropEvent


def _exc_info(given: object) -> Any:
    if isinstance(given, BaseException):
        return type(given), given, given.__traceback__
    if isinstance(given, tuple):
        return given
    found = sys.exc_info() if given else None
    return found if found and found[1] is not None else None
