"""The call path: one call becomes one entry, one stdlib record and one count."""

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from sovdev_logger._entry.arguments import UNKNOWN_FUNCTION, ArgumentNormalizer
from sovdev_logger._entry.build import EntryBuilder
from sovdev_logger._entry.call_site import CallSite, calling_site
from sovdev_logger._entry.context import ActiveSpan
from sovdev_logger._entry.entry import SAMPLED_OUT_ENTRY, Entry, Identity
from sovdev_logger._entry.identifiers import Clock
from sovdev_logger._entry.levels import BY_EXACT_NAME, STDLIB_NUMBERS, Level, level_of_number
from sovdev_logger._entry.log_types import TRANSACTION
from sovdev_logger._entry.peers import PeerResolver
from sovdev_logger._entry.sample_rate import NOT_SAMPLED
from sovdev_logger._entry.stdlib_records import (
    ENTRY_ATTRIBUTE,
    created_ns,
    is_own_output,
    mark_as_own_output,
    read_extra,
    record_from_entry,
)
from sovdev_logger._outputs.handler import OutputHandler
from sovdev_logger._runtime.selflog import warn_once
from sovdev_logger._runtime.stderr import is_own_line, own_lines
from sovdev_logger._safety.sanitizer import Sanitizer

if TYPE_CHECKING:
    from sovdev_logger._sampling.managed import ManagedSampler


class EntryCounter(Protocol):
    """Counts entries for metrics."""

    def count(self, peer: str, level: Level, log_type: str, *, failed: bool) -> None:
        """Add one entry; ``failed`` if it has an exception."""


class SovdevLogger:
    """Builds entries and hands them to one stdlib logger. Never raises into a caller.

    Safe to use from threads, tasks, signal handlers and finalizers: it holds no lock.

    Attributes:
        builder: Has the fields that all entries of this process share.
        sampling: Decides what is kept; None keeps everything.
        finds_call_site: Whether an output needs the caller's file and line.
        wanted_levels: Whether a call at each stdlib level does any work. This is ``logging``'s
            own ``isEnabledFor`` cache, which it clears when a level changes; calling
            ``isEnabledFor`` would double the cost of a disabled call. With metrics on, all levels
            are enabled because every call is counted.
        skips_sampled_out: Whether every output drops sampled-out entries, so that they are never
            built.
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
        self.peers = peers
        self.sanitizer = sanitizer
        self.stdlib_logger = stdlib_logger
        self._counter = counter
        self._clock = clock or Clock()
        self._arguments = ArgumentNormalizer(sanitizer, peers)
        self.builder = EntryBuilder(identity, sanitizer, self._arguments, active_span, self._clock)
        self._build = self.builder.build
        self.outputs: list[OutputHandler] = []
        self.sampling: ManagedSampler | None = None
        self.skips_sampled_out = False
        self.finds_call_site = False
        self._functions = self._arguments.functions
        self._enabled: dict[int, bool] = getattr(stdlib_logger, "_cache", {})
        self.wanted_levels = (
            self._enabled if counter is None else dict.fromkeys(STDLIB_NUMBERS.values(), True)
        )

    def log(  # noqa: C901, PLR0912, PLR0917 - inlined: one more call costs as much as a field
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
        """Build the entry of one call and hand it to the outputs (specification: API)."""
        try:
            try:
                known_level = BY_EXACT_NAME[level]
            except Exception:  # noqa: BLE001 - unknown, unhashable, or a hash that fails
                known_level = self._arguments.level(level)
            stdlib_logger = self.stdlib_logger
            if stdlib_logger.disabled:
                stdlib_logger.disabled = False  # dictConfig disables the loggers it does not name
            try:
                is_enabled = self._enabled[known_level.stdlib_number]
            except KeyError:
                is_enabled = stdlib_logger.isEnabledFor(known_level.stdlib_number)
            counter = self._counter
            if counter is None and not is_enabled:
                return
            if own_lines.newest and is_own_line(message):
                return
            try:
                peer = self.peers.known[peer_service]
            except Exception:  # noqa: BLE001
                peer = self._arguments.peer(peer_service)
            if counter is not None:
                failed = exception is not None and exception is not False
                counter.count(peer, known_level, log_type, failed=failed)
                if not is_enabled:
                    return
            rate = None
            sampling = self.sampling
            if sampling is not None:
                rate = sampling.rate_for_call(known_level, message, exception, trace_id, log_type)
                if not rate and self.skips_sampled_out:
                    # Inlined, too: with sampling this is what most calls do.
                    for output in self.outputs:
                        if known_level.stdlib_number >= output.level:
                            output.count_sampled_out()
                    return
            try:
                function = self._functions[function_name]
            except Exception:  # noqa: BLE001
                function = self._arguments.function(function_name)
            entry = self._build(
                known_level,
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
            if self.finds_call_site:
                entry.call_site = calling_site()
            if (
                stdlib_logger.handlers != self.outputs
                or stdlib_logger.propagate
                or stdlib_logger.filters
            ):
                stdlib_logger.handle(record_from_entry(entry))
                return
            # No foreign handler is attached, so skip the LogRecord: it would double the cost.
            for output in self.outputs:
                if known_level.stdlib_number >= output.level:
                    output.submit(entry)
        except Exception as error:  # noqa: BLE001 - a logging call never hurts its host
            _warn_defect(error)

    def resolve_peer(self, peer_service: object) -> str:
        """Return the system id of a peer; an undefined one is kept, with one warning."""
        try:
            return self.peers.known[peer_service]
        except Exception:  # noqa: BLE001 - unknown, unhashable, or a hash that fails
            return self._arguments.peer(peer_service)

    def entry_from_record(self, record: logging.LogRecord) -> Entry | None:
        """Return the entry of a record from plain ``logging``, and count it.

        The peer is INTERNAL and the function is the caller's; ``extra`` becomes the input. None
        for a record of our own lines on stderr, and after a bug of ours, with one warning.
        """
        try:
            entry = None if is_own_output(record) else self._entry_of_record(record)
        except Exception as error:  # noqa: BLE001 - plain logging calls do not raise either
            _warn_defect(error)
            return None
        if entry is not None:
            record.__dict__[ENTRY_ATTRIBUTE] = entry
        return entry

    def _entry_of_record(self, record: logging.LogRecord) -> Entry | None:
        # Made once: making it calls the arguments, which may log.
        message = None if own_lines.is_empty() else self._message_of(record)
        if message is not None and is_own_line(message):
            mark_as_own_output(record)
            return None
        level = level_of_number(record.levelno)
        rate = self.sampling.rate_for_record(record) if self.sampling is not None else None
        error = record.exc_info[1] if record.exc_info else None
        if self._counter is not None:
            own_name = self.peers.service_name
            self._counter.count(own_name, level, TRANSACTION, failed=error is not None)
        if rate == NOT_SAMPLED and self.skips_sampled_out:
            return SAMPLED_OUT_ENTRY
        entry = self._build(
            level,
            self._function_of(record),
            self._message_of(record) if message is None else message,
            self.peers.service_name,
            read_extra(record),
            None,
            error,
            None,
            TRANSACTION,
            created_ns(record, self._clock.time_ns()),
        )
        entry.sample_rate = rate
        if self.finds_call_site:
            entry.call_site = CallSite(record.pathname, record.lineno, record.funcName or "")
        return entry

    def _message_of(self, record: logging.LogRecord) -> str:
        try:
            return record.getMessage()
        except Exception:  # noqa: BLE001 - the arguments may not fit the format, or raise
            message = self.sanitizer.text(record.msg)
            return f"{message} {self.sanitizer.text(record.args)}" if record.args else message

    def _function_of(self, record: logging.LogRecord) -> str:
        known = self._functions.get(record.funcName)
        return known or self._arguments.function(
            record.funcName or record.module or UNKNOWN_FUNCTION
        )


def _warn_defect(error: Exception) -> None:
    kind = type(error).__name__
    warn_once(
        f"defect:{kind}",
        f"an entry was lost to a {kind} inside the logger in thread "
        f"{threading.current_thread().name}; this is a bug in sovdev-logger; please report it.",
    )
