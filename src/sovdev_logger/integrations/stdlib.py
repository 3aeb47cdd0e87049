"""Records of all other stdlib loggers, as entries of the service."""

import logging

from sovdev_logger.integrations.records import give_to_outputs


class CaptureHandler(logging.Handler):
    """Gives what a logger gets, usually the root logger, to the outputs of the service."""

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a record over."""
        give_to_outputs(record)

    def handle(self, record: logging.LogRecord) -> bool:
        """Filter and hand over, without stdlib's lock: each output has its own."""
        passed = self.filter(record)
        if passed:
            self.emit(passed if isinstance(passed, logging.LogRecord) else record)
        return bool(passed)

    def createLock(self) -> None:  # noqa: N802 - stdlib's name
        """Have no lock, for a signal handler that logs inside."""
        self.lock = None
