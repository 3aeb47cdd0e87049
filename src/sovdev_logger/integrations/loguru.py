"""Loguru's own ``logger``: what is logged with it reaches the outputs of the service."""

import logging
from typing import TYPE_CHECKING

from sovdev_logger._entry.stdlib_records import put_extra, set_time
from sovdev_logger._outputs.handler import OutputHandler
from sovdev_logger._outputs.loguru.sinks import OURS, LoguruHandler
from sovdev_logger.integrations._bridge import give_to_outputs

if TYPE_CHECKING:
    from loguru import Message, Record


def sovdev_loguru_sink(message: "Message") -> None:
    """Make an entry of what Loguru's ``logger`` got; add it as ``logger.add(sovdev_loguru_sink)``.

    Level, message, place, exception and time are the record's, its ``extra`` is the input. What the
    service itself gave to Loguru is left out. Any thread; raises nothing.

    Args:
        message: What Loguru gives to a sink.

    Specification: integrations, Loguru.
    """
    record = message.record
    if is_not_ours(record):
        give_to_outputs(_stdlib_record(record), _is_not_loguru)


def is_not_ours(record: "Record") -> bool:
    """Return whether a Loguru record was made by its own logger; a filter for ``logger.add``."""
    return OURS not in record


def _is_not_loguru(output: OutputHandler) -> bool:
    return not isinstance(output, LoguruHandler)


def _stdlib_record(record: "Record") -> logging.LogRecord:
    exception = record["exception"]
    made = logging.LogRecord(
        name=record["name"] or "loguru",
        level=record["level"].no,
        pathname=record["file"].path,
        lineno=record["line"],
        msg=record["message"],
        args=(),
        exc_info=tuple(exception) if exception is not None else None,  # type: ignore[arg-type]
        func=record["function"],
    )
    set_time(made, record["time"].timestamp())
    put_extra(made, record["extra"])
    return made
