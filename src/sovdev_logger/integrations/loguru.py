"""Entries from Loguru's ``logger``, for the outputs of the service."""

import logging
from typing import TYPE_CHECKING

from sovdev_logger._entry.call_site import CallSite
from sovdev_logger._entry.stdlib_records import make_record, put_extra, set_time
from sovdev_logger._outputs.handler import OutputHandler
from sovdev_logger._outputs.loguru.sinks import OURS, LoguruHandler
from sovdev_logger.integrations._bridge import give_to_outputs

if TYPE_CHECKING:
    from loguru import Message, Record


def sovdev_loguru_sink(message: "Message") -> None:
    """Make an entry of Loguru's record; add it as ``logger.add(sovdev_loguru_sink)``.

    Level, message, place, exception and time are the record's, its ``extra`` is the input. Records
    that the service itself gave to Loguru are skipped. Thread safe; never raises.

    Args:
        message: Loguru's message.

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
    exception = tuple(record["exception"]) if record["exception"] is not None else None
    site = CallSite(record["file"].path, record["line"], record["function"])
    name, level = record["name"] or "loguru", record["level"].no
    made = make_record(name, level, record["message"], site, exception)
    set_time(made, record["time"].timestamp())
    put_extra(made, record["extra"])
    return made
