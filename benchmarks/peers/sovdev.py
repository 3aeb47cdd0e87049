"""This library through its public functions, as it comes: redaction, error file, rotation are on.

The environment says which outputs there are; ``lab.py`` sets it for this peer's process.
"""

from typing import Any

import call

from sovdev_logger import SOVDEV_LOGLEVELS, sovdev_flush, sovdev_initialize, sovdev_log

DEBUG, INFO, ERROR = SOVDEV_LOGLEVELS.DEBUG, SOVDEV_LOGLEVELS.INFO, SOVDEV_LOGLEVELS.ERROR


class Sovdev:
    """The service."""

    def __init__(self) -> None:
        sovdev_initialize(call.SERVICE, call.VERSION, call.PEERS)

    def call(self) -> None:
        sovdev_log(INFO, call.FUNCTION, call.MESSAGE, "BRREG", call.INPUT, call.RESPONSE)

    def call_with(self, value: object) -> None:
        """Log that input, for the table about large ones."""
        sovdev_log(INFO, call.FUNCTION, call.MESSAGE, "BRREG", value)

    def error(self, exception: Exception) -> None:
        sovdev_log(
            ERROR,
            call.FUNCTION,
            call.ERROR_MESSAGE,
            "BRREG",
            call.INPUT,
            call.RESPONSE,
            exception,
        )

    def below(self, count: int) -> None:
        function, message, given, answer = call.FUNCTION, call.MESSAGE, call.INPUT, call.RESPONSE
        for _ in range(count):
            sovdev_log(DEBUG, function, message, "BRREG", given, answer)

    def flush(self) -> None:
        sovdev_flush()


def make(_folder: Any, _endpoint: Any) -> Sovdev:
    return Sovdev()
