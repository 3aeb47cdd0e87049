"""Our handlers on the service's stdlib logger."""

import logging

from sovdev_logger._outputs.handler import OutputHandler


class Attachment:
    """Our handlers on one stdlib logger, and what the logger was like before."""

    def __init__(self, stdlib_logger: logging.Logger, level: int) -> None:
        self.stdlib_logger = stdlib_logger
        self.names: dict[str, OutputHandler] = {}
        self._before = (stdlib_logger.level, stdlib_logger.propagate)
        self._set_aside: list[logging.Handler] = []
        self.outputs: list[OutputHandler] = []
        stdlib_logger.setLevel(level)
        # The outputs are here; passing entries on to root handlers would print them twice.
        stdlib_logger.propagate = False

    def add(self, name: str, output: OutputHandler) -> None:
        """Attach one output; ``name`` is what ``sovdev_status`` calls it."""
        self.names[name] = output
        self.outputs.append(output)
        self.stdlib_logger.addHandler(output)

    def set_others_aside(self) -> None:
        """Keep what is attached already from getting anything until ``remove``."""
        self._set_aside = self.stdlib_logger.handlers[:]
        for handler in self._set_aside:
            self.stdlib_logger.removeHandler(handler)

    def remove(self) -> None:
        """Detach and close the outputs and leave the logger as it was."""
        for output in self.outputs:
            self.stdlib_logger.removeHandler(output)
            output.close()
        for handler in self._set_aside:
            self.stdlib_logger.addHandler(handler)
        level, self.stdlib_logger.propagate = self._before
        self.stdlib_logger.setLevel(level)
