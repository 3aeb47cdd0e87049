"""The fields of an entry that describe an exception."""

import sys

from sovdev_logger._entry.entry import EXCEPTION_TYPE, Fields
from sovdev_logger._safety.sanitizer import Sanitizer
from sovdev_logger._safety.stacktrace import MAX_CHARACTERS


def describe_exception(fields: Fields, exception: object, sanitizer: Sanitizer) -> None:
    """Add the fields of an exception, which may also be ``True``, an ``exc_info`` or a text."""
    if exception is True:
        exception = sys.exc_info()[1]
    elif isinstance(exception, tuple) and len(exception) == 3:  # noqa: PLR2004 - an exc_info
        exception = exception[1]
    if isinstance(exception, BaseException):
        message, stacktrace = sanitizer.exception(exception)
    elif exception is None or exception is False:
        return
    else:
        message = sanitizer.text(exception)
        stacktrace = message[:MAX_CHARACTERS]
    fields["exception_type"] = EXCEPTION_TYPE
    fields["exception_message"] = message
    fields["exception_stacktrace"] = stacktrace
