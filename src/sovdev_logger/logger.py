"""The call path: one call becomes one entry, one stdlib record and one count."""

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from sovdev_logger.context import request_fields
from sovdev_logger.entry import (
    LEFT_OUT_ENTRY,
    TRANSACTION,
    Entry,
    Fields,
    Identity,
)
from sovdev_logger.exception_fields import describe_exception
from sovdev_logger.identifiers import Clock, new_trace_id, new_uuid, trace_id_digits
from sovdev_logger.levels import BY_EXACT_NAME, INFO, LEVELS, Level, find_level, level_of_number
from sovdev_logger.outputs.base import OutputHandler
from sovdev_logger.peers import PeerResolver
from sovdev_logger.records import ENTRY_ATTRIBUTE, extra_of, make_record
from sovdev_logger.safety.encoding import Fragment
from sovdev_logger.safety.sanitizer import Sanitizer
from sovdev_logger.sampling.rates import LEFT_OUT
from sovdev_logger.selflog import warn_once
from sovdev_logger.source import Source, source_of_caller

if TYPE_CHECKING:
    from sovdev_logger.sampling.stage import SamplingStage

_MAX_REMEMBERED: Final = 4096
"""Distinct function names and trace ids kept ready; beyond it each call pays for its own."""

_MAX_REMEMBERED_CHARACTERS: Final = 256
_MAX_TRACE_ID_CHARACTERS: Final = 256
_SHOWN_CHARACTERS: Final = 80

NO_MESSAGE: Final = "(no message)"
UNKNOWN_FUNCTION: Final = "unknown"


class ActiveSpan(NamedTuple):
    """The ids of the span that is current where a call is made."""

    trace_id: str
    span_id: str


class EntryCounter(Protocol):
    """What counts entries for metrics."""

    def count(self, peer: str, level: Level, log_type: str, *, failed: bool) -> None:
        """Add one; ``failed`` says that an exception was given."""


class SovdevLogger:
    """Builds entries and hands them to one stdlib logger. Nothing here raises into a caller.

    Safe to use from threads, tasks, signal handlers and finalizers: it holds no lock.

    Attributes:
        sampling: Decides what is kept; None keeps everything.
        finds_source: Whether an output wants to know the caller's file and line.
        is_left_out_unmade: Whether no output wants what is left out, so that it need not be made.
    """

    def __init__(  # noqa: PLR0917
        self,
        identity: Identity,
        peers: PeerResolver,
        sanitizer: Sanitizer,
        stdlib_logger: logging.Logger,
        active_span: Callable[[], ActiveSpan | None],
        counter: EntryCounter | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.identity = identity
        self.peers = peers
        self.sanitizer = sanitizer
        self.stdlib_logger = stdlib_logger
        self._active_span = active_span
        self._counter = counter
        self._clock = clock or Clock()
        self.outputs: list[OutputHandler] = []
        self.sampling: SamplingStage | None = None
        self.is_left_out_unmade = False
        self.finds_source = False
        self._functions: dict[object, str] = {}

    def log(  # noqa: C901, PLR0912, PLR0917 - written out: a call costs what a field does
        self,
        level: object,
        function_name: object,
        message: object,
        peer_service: object,
        input_json: object = None,
        response_json: object = None,
        exception: object = None,
        trace_id: object = None,
        log_type: str = TRANSACTION,
    ) -> None:
        """Make an entry of one call and hand it to the outputs (specification: API)."""
        try:
            try:
                found = BY_EXACT_NAME[level]
            except Exception:  # noqa: BLE001 - unknown, unhashable, or a hash that fails
                found = self._odd_level(level)
            try:
                peer = self.peers.known[peer_service]
            except Exception:  # noqa: BLE001
                peer = self._odd_peer(peer_service)
            if self._counter is not None:
                failed = exception is not None and exception is not False
                self._counter.count(peer, found, log_type, failed=failed)
            stdlib_logger = self.stdlib_logger
            if stdlib_logger.disabled:
                stdlib_logger.disabled = False  # dictConfig disables the loggers it does not name
            if not stdlib_logger.isEnabledFor(found.stdlib_number):
                return
            rate = None
            sampling = self.sampling
            if sampling is not None:
                rate = sampling.rate_of_call(found, message, exception, trace_id, log_type)
                if not rate and self.is_left_out_unmade:
                    for output in self.outputs:
                        if found.stdlib_number >= output.level:
                            output.leave_out()
                    return
            try:
                function = self._functions[function_name]
            except Exception:  # noqa: BLE001
                function = self._new_function(function_name)
            entry = self._entry(
                found,
                function,
                message,
                peer,
                input_json,
                response_json,
                exception,
                trace_id,
                log_type,
                self._clock.time_ns(),
            )
            if rate is not None:
                entry.sample_rate = rate
            if self.finds_source:
                entry.source = source_of_caller()
            if (
                stdlib_logger.handlers != self.outputs
                or stdlib_logger.propagate
                or stdlib_logger.filters
            ):
                stdlib_logger.handle(make_record(entry))
                return
            # Nobody but our outputs listens: they need no record, which costs as much as the rest.
            for output in self.outputs:
                if found.stdlib_number >= output.level:
                    output.take(entry)
        except Exception as error:  # noqa: BLE001 - a logging call never hurts its host
            _say_defect(error)

    def resolve_peer(self, peer_service: object) -> str:
        """Return the system id of a peer; one that is not defined is warned about and kept."""
        try:
            return self.peers.known[peer_service]
        except Exception:  # noqa: BLE001 - unknown, unhashable, or a hash that fails
            return self._odd_peer(peer_service)

    def adopt(self, record: logging.LogRecord) -> Entry | None:
        """Return the entry of a record that plain ``logging`` made, and count it once.

        The peer is INTERNAL and the function is the caller's; ``extra`` becomes the input. None
        after a defect of ours, which is said.
        """
        try:
            entry = self._entry_of_record(record)
        except Exception as error:  # noqa: BLE001 - plain logging calls do not raise either
            _say_defect(error)
            return None
        record.__dict__[ENTRY_ATTRIBUTE] = entry
        return entry

    def _entry_of_record(self, record: logging.LogRecord) -> Entry:
        level = level_of_number(record.levelno)
        rate = self.sampling.rate_of_record(record) if self.sampling is not None else None
        error = record.exc_info[1] if record.exc_info else None
        if self._counter is not None:
            own_name = self.identity.service_name
            self._counter.count(own_name, level, TRANSACTION, failed=error is not None)
        if rate == LEFT_OUT and self.is_left_out_unmade:
            return LEFT_OUT_ENTRY
        try:
            message: object = record.getMessage()
        except Exception:  # noqa: BLE001 - the arguments may not fit the format, or raise
            message = f"{self.sanitizer.text(record.msg)} {self.sanitizer.text(record.args)}"
        entry = self._entry(
            level,
            self._function_of(record),
            message,
            self.identity.service_name,
            extra_of(record),
            None,
            error,
            None,
            TRANSACTION,
            int(record.created * 1e9),
        )
        entry.sample_rate = rate
        if self.finds_source:
            entry.source = Source(record.pathname, record.lineno, record.funcName or "")
        return entry

    def _entry(  # noqa: PLR0917
        self,
        level: Level,
        function: str,
        message: object,
        peer: str,
        input_json: object,
        response_json: object,
        exception: object,
        trace_id: object,
        log_type: str,
        now_ns: int,
    ) -> Entry:
        if type(message) is not str or not message:
            message = self._odd_message(message)
        text, input_text, response_text = self.sanitizer.texts(message, input_json, response_json)
        identity = self.identity
        fields: Fields = {
            "timestamp": self._clock.iso(now_ns),
            "level": level.name,
            "service_name": identity.service_name,
            "service_version": identity.service_version,
            "session_id": identity.session_id,
            "peer_service": peer,
            "function_name": function,
            "log_type": log_type,
            "message": text,
        }
        active = self._active_span()
        if active is None and trace_id is None:
            digits: str | None = new_trace_id()
            fields["trace_id"] = digits
        else:
            digits = self._place_in_trace(fields, active, trace_id)
        fields["event_id"] = new_uuid()
        fields["input_json"] = Fragment(input_text)
        fields["response_json"] = Fragment(response_text)
        context = request_fields()
        if context is not None:
            fields.update(context)
        if exception is not None:
            describe_exception(fields, exception, self.sanitizer)
        entry = Entry()
        entry.fields = fields
        entry.level = level
        entry.time_ns = now_ns
        entry.input_text = input_text
        entry.response_text = response_text
        entry.trace_digits = digits
        entry.exception = exception if isinstance(exception, BaseException) else None
        entry.sample_rate = entry.source = None
        entry._line = None  # noqa: SLF001 - a constructor's call would cost twice as much
        return entry

    def _place_in_trace(
        self, fields: Fields, active: ActiveSpan | None, trace_id: object
    ) -> str | None:
        """Set the entry's trace and span; return the trace id's digits where it is valid."""
        given = None if trace_id is None else self._given_trace_id(trace_id)
        if given:
            fields["trace_id"] = given
            digits = trace_id_digits(given)
            if active is not None and digits == active.trace_id:
                fields["span_id"] = active.span_id
            return digits
        if active is None:
            fresh = fields["trace_id"] = new_trace_id()
            return fresh
        fields["trace_id"] = active.trace_id
        fields["span_id"] = active.span_id
        return active.trace_id

    def _given_trace_id(self, trace_id: object) -> str:
        if type(trace_id) is str and len(trace_id) <= _MAX_TRACE_ID_CHARACTERS:
            return self.sanitizer.clean(trace_id)
        return self.sanitizer.text(trace_id)

    def _short(self, value: object) -> str:
        """Return a value as a warning shows it."""
        return self.sanitizer.text(value)[:_SHOWN_CHARACTERS]

    def _odd_level(self, level: object) -> Level:
        found = find_level(level)
        if found is None:
            shown = self._short(level)
            names = ", ".join(one.name for one in LEVELS)
            warn_once(
                f"level:{shown}",
                f"unknown log level {shown!r}: logged as info; use one of {names}.",
            )
        return found or INFO

    def _odd_peer(self, peer_service: object) -> str:
        shown = self._short(peer_service)
        warn_once(
            f"peer:{shown}",
            f"unknown peer service {shown!r}: logged as given; define it in "
            f"sovdev_initialize(peer_services=...), known are {', '.join(self.peers.names())}.",
        )
        return self.sanitizer.text(peer_service) or self.identity.service_name

    def _odd_message(self, message: object) -> str:
        text = self.sanitizer.text(message) if message is not None else ""
        if text.strip():
            return text
        warn_once(
            "message:empty", f"an empty message was logged as {NO_MESSAGE!r}: say what was done."
        )
        return NO_MESSAGE

    def _new_function(self, function_name: object) -> str:
        text = self.sanitizer.text(function_name) if function_name is not None else ""
        if not text.strip():
            warn_once(
                "function:empty",
                f"an empty function name was logged as {UNKNOWN_FUNCTION!r}: give the name of the "
                "function that logs.",
            )
            text = UNKNOWN_FUNCTION
        is_short = type(function_name) is str and len(function_name) <= _MAX_REMEMBERED_CHARACTERS
        if is_short and len(self._functions) < _MAX_REMEMBERED:
            self._functions[function_name] = text
        return text

    def _function_of(self, record: logging.LogRecord) -> str:
        known = self._functions.get(record.funcName)
        return known or self._new_function(record.funcName or record.module or UNKNOWN_FUNCTION)


def _say_defect(error: Exception) -> None:
    kind = type(error).__name__
    warn_once(
        f"defect:{kind}",
        f"an entry was lost to a {kind} inside the logger in thread "
        f"{threading.current_thread().name}; this is a defect of sovdev-logger, please report it.",
    )
