"""Stdlib logging: entries from its records, and classes that ``dictConfig`` can name."""

import logging
from collections.abc import Callable, Iterable
from typing import Final

from sovdev_logger._entry.context import CONTEXT_FIELDS, request_fields
from sovdev_logger._entry.levels import find_level
from sovdev_logger._telemetry.span_scope import active_span
from sovdev_logger.integrations._bridge import Adapt, give_to_outputs
from sovdev_logger.integrations._request import sovdev_request_id

_OURS: Final = ("sovdev_logger",)

_skip_conditions: dict[str, Callable[[logging.LogRecord], bool]] = {}
_adaptations: dict[str, Adapt] = {}


class SovdevHandler(logging.Handler):
    """Passes records of stdlib loggers to the outputs of the service.

    In ``dictConfig``: ``{"class": "sovdev_logger.integrations.stdlib.SovdevHandler"}``. A record
    becomes one entry, however many of these handlers it passes, with its message, level, function,
    call site and exception; ``extra`` is the input. Records of this library and of its HTTP client
    are skipped, and all records before ``sovdev_initialize``. Thread and signal safe.

    Args:
        level: The lowest level that is passed on; default all.
        exclude: Names of loggers to skip, with those below them.

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
        must_skip = _skip_conditions.get(name)
        if must_skip is None or not must_skip(record):
            adapt = _adaptations.get(name.partition(".")[0]) if _adaptations else None
            give_to_outputs(record, adapt=adapt)

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
    """Adds trace and request to every record, for the formats of other handlers; passes all.

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
        level: The lowest level that is captured, in any vocabulary; loggers with a level of their
            own keep it.
        exclude: Names of loggers to skip, with those below them.

    Returns:
        A function that undoes it.

    Raises:
        ValueError: There is no such level.
        TypeError: ``exclude`` is one text.

    Specification: integrations, stdlib.
    """
    lowest = find_level(level)
    if lowest is None:
        raise ValueError(
            f"{level!r} is not a level: expected trace, debug, info, warn, error or fatal"
        )
    if isinstance(exclude, str):
        raise TypeError("exclude must be a list of names, not one text")
    root = logging.getLogger()
    for earlier in [handler for handler in root.handlers if isinstance(handler, _RootHandler)]:
        earlier.remove()
    return _RootHandler(root, lowest.stdlib_number, exclude).remove


class _RootHandler(SovdevHandler):
    """The handler of ``sovdev_capture_logging``, and the root logger's level before it."""

    def __init__(self, root: logging.Logger, level: int, exclude: Iterable[str]) -> None:
        super().__init__(level, exclude)
        self._root = root
        self._before = root.level
        root.addHandler(self)
        root.setLevel(min(level, root.level) if root.level else level)

    def remove(self) -> None:
        """Restore the root logger."""
        if self in self._root.handlers:
            self._root.removeHandler(self)
            self._root.setLevel(self._before)


def skip_records(logger: str, condition: Callable[[logging.LogRecord], bool]) -> None:
    """Skip the records of one logger that an entry of ours duplicates."""
    _skip_conditions[logger] = condition


def adapt_records(package: str, adapt: Adapt) -> None:
    """Make entries of what ``adapt`` returns for the records of a package's loggers.

    It must not change the record, which other handlers get, too.
    """
    _adaptations[package] = adapt
