"""Passes records of other loggers to the outputs of the service."""

import logging
from collections.abc import Callable

from sovdev_logger._entry.stdlib_records import PASSED_ATTRIBUTE
from sovdev_logger._outputs.handler import OutputHandler
from sovdev_logger._service.instance import instance

Wanted = Callable[[OutputHandler], bool]


def give_to_outputs(record: logging.LogRecord, wanted: Wanted | None = None) -> None:
    """Hand a record to the outputs of the service, as its own logger does, at most once.

    Does nothing before ``sovdev_initialize``. Never raises.
    """
    service = instance.service
    if service is None or record.levelno < service.attachment.stdlib_logger.level:
        return
    if PASSED_ATTRIBUTE in record.__dict__:
        return
    record.__dict__[PASSED_ATTRIBUTE] = True
    for output in list(service.attachment.outputs):
        if record.levelno >= output.level and (wanted is None or wanted(output)):
            output.handle(record)
