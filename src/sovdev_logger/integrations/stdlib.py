"""Stdlib logging: all its records as entries, and what ``dictConfig`` can name."""

import logging
from collections.abc import Callable, Iterable
from typing import Final

from sovdev_logger._entry.context import CONTEXT_FIELDS, request_fields
from sovdev_logger._entry.levels import find_level
from sovdev_logger._telemetry.spans import active_span
from sovdev_logger.integrations._bridge import give_to_outputs
from sovdev_logger.integrations._request import sovdev_request_id

_OURS: Final = ("sovdev_logger",)

_left_out: dict[str, Callable[[logging.LogRecord], bool]] = {}


class SovdevHandler(logging.Handler):
    """Gives what a stdlib logger gets to the outputs of the service.

    In ``dictConfig``: ``{"class": "sovdev_logger.integrations.stdlib.SovdevHandler"}``. A record
    becomes one entry, however many of these handlers it passes: message, level, function and place
    are its own, ``extra`` is the input, the exception comes along. Our own records and those of the
    client that sends for us are left out. Before ``sovdev_initialize`` nothing happens. Thread and
    signal safe.

    Args:
        level: The lowest level that is taken; default all.
        exclude: Names of loggers that are left out, with those below them.

    Specification: integrations, stdlib.
    """

    def __init__(self, level: int | str = logging.NOTSET, exclude: Iterable[str] = ()) -> None:
        super().__init__(level)
        self._exclude = (*_OURS, *exclude)

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a record over."""
        name = record.name
        for excluded in self._exclude:
            if name == excluded or name.startswith(f"{excluded}."):
                return
        doubtful = _left_out.get(name)
        if doubtful is None or not doubtful(record):
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


class ContextFilter(logging.Filter):
    """Puts trace and request on every record, for other handlers' formats; leaves none out.

    In ``dictConfig``: ``{"()": "sovdev_logger.integrations.stdlib.ContextFilter"}``. Sets
    ``trace_id``, ``span_id``, ``request_id``, ``client_name``, ``service_principal`` and
    ``acting_user``, an empty text where there is none.

    Specification: integrations, stdlib.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Set the attributes."""
        active, fields = active_span(), request_fields() or {}
        record.trace_id = active.trace_id if active is not None else ""
        record.span_id = active.span_id if active is not None else ""
        record.request_id = sovdev_request_id() or ""
        for name in CONTEXT_FIELDS:
            setattr(record, name, fields.get(name, ""))
        return True


def sovdev_capture_logging(
    level: str | int = "info", exclude: Iterable[str] = ()
) -> Callable[[], None]:
    """Bring the records of all stdlib loggers into the outputs of the service, as entries.

    Puts a ``SovdevHandler`` on the root logger and lets it pass ``level``. Calling it again
    replaces the earlier call. Loggers that do not propagate need the handler themselves.

    Args:
        level: The lowest level that is taken, in any vocabulary; loggers of a level of their own
            keep it.
        exclude: Names of loggers that are left out, with those below them.

    Returns:
        A function that takes it back.

    Raises:
        ValueError: There is no such level.
        TypeError: ``exclude`` is one text.

    Specification: integrations, stdlib.
    """
    found = find_level(level)
    if found is None:
        raise ValueError(
            f"{level!r} is no level: expected trace, debug, info, warn, error or fatal"
        )
    if isinstance(exclude, str):
        raise TypeError("exclude must be a list of names, not one text")
    root = logging.getLogger()
    for handler in [one for one in root.handlers if isinstance(one, _OnRoot)]:
        handler.take_back()
    handler = _OnRoot(root, found.stdlib_number, exclude)
    return handler.take_back


class _OnRoot(SovdevHandler):
    """The handler that ``sovdev_capture_logging`` put there, and what it was like before."""

    def __init__(self, root: logging.Logger, level: int, exclude: Iterable[str]) -> None:
        super().__init__(level, exclude)
        self._root = root
        self._before = root.level
        root.addHandler(self)
        root.setLevel(min(level, root.level) if root.level else level)

    def take_back(self) -> None:
        """Leave the root logger as it was."""
        if self in self._root.handlers:
            self._root.removeHandler(self)
            self._root.setLevel(self._before)


def count_sampled_out(name: str, condition: Callable[[logging.LogRecord], bool]) -> None:
    """Leave out those records of one logger of which an entry tells already."""
    _left_out[name] = condition
