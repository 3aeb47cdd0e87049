"""Passes records of other loggers to the outputs of the service."""

import logging
from collections.abc import Callable

from sovdev_logger._entry.stdlib_records import PASSED_ATTRIBUTE
from sovdev_logger._outputs.handler import OutputHandler
from sovdev_logger._service.instance import instance

Wanted = Callable[[OutputHandler], bool]
Adapt = Callable[[logging.LogRecord], logging.LogRecord]


def give_to_outputs(
    record: logging.LogRecord, wanted: Wanted | None = None, adapt: Adapt | None = None
) -> None:
    """Hand a record to the outputs of the service, as its own logger does, at most once.

    Does nothing before ``sovdev_initialize``. Never raises.

    Args:
        record: The record; other handlers get it, too.
        wanted: Whether an output gets it; default all.
        adapt: Returns what the outputs get in its place.
    """
    service = instance.service
    if service is None or record.levelno < service.attachment.stdlib_logger.level:
        return
    if PASSED_ATTRIBUTE in record.__dict__:
        return
    record.__dict__[PASSED_ATTRIBUTE] = True
    if adapt is not None:
        record = adapt(record)
    for output in list(service.attachment.outputs):
        if record.levelno >= output.level and (wanted is None or wanted(output)):
            output.handle(record)
