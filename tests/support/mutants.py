"""The library, broken on purpose: what the fault tests have to notice."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from sovdev_logger._delivery import (
    backlog,
    batch_worker,
    http_transport,
    ledger,
    otlp_resource,
    sender,
    severity_queue,
)
from sovdev_logger._delivery.ledger import SPOOL_LOST
from sovdev_logger._delivery.results import SendResult
from sovdev_logger._delivery.spool import reader, segments, spool
from sovdev_logger._delivery.spool.folder import make_private, try_lock
from sovdev_logger._outputs import console, json_file
from sovdev_logger._outputs.json_file import JsonFileHandler
from sovdev_logger._outputs.otlp import exporter as otlp_exporter
from sovdev_logger._runtime import (
    fork,
    log_files,
    multiprocessing_exit,
    signal_handlers,
    stderr,
    turnstile,
)
from sovdev_logger._runtime.file_locks import FileLock
from sovdev_logger._runtime.own_lines import OwnLines
from sovdev_logger._service import service
from sovdev_logger._telemetry.span_scope import SpanScope


def log_file_has_a_low_number() -> None:
    log_files._with_high_number = log_files._beyond_standard_streams


def file_loses_5_percent() -> None:
    numbers, write = count(1), JsonFileHandler.write
    JsonFileHandler.write = lambda self, entry: (  # type: ignore[method-assign]
        None if next(numbers) % 20 == 0 else write(self, entry)
    )


def sender_loses_5_percent() -> None:
    numbers, put = count(1), sender.BatchSender.put
    sender.BatchSender.put = (  # type: ignore[method-assign]
        lambda self, item, severity=9: (
            None if next(numbers) % 20 == 0 else put(self, item, severity)
        )
    )


def file_is_buffered() -> None:
    """Write ten lines at once, as a stream with a buffer does."""
    original = os.write
    waiting: list[bytes] = []

    def write(descriptor: int, line: bytes) -> int:
        waiting.append(line)
        if len(waiting) >= 10:
            original(descriptor, b"".join(waiting))
            waiting.clear()
        return len(line)

    before = JsonFileHandler.__init__
    JsonFileHandler.__init__ = (  # type: ignore[method-assign]
        lambda self, *a, **k: before(self, *a, **{**k, "write": write})
    )


def rotation_has_no_lock() -> None:
    """Rotate without a lock and without looking whether somebody just did."""

    @contextmanager
    def unlocked(path: Any, timeout_seconds: float = 0) -> Iterator[bool]:
        yield True

    json_file.rotation_lock = unlocked  # type: ignore[attr-defined]
    look = JsonFileHandler._check_path
    JsonFileHandler._check_path = lambda self, now_ns: (  # type: ignore[method-assign]
        look(self, now_ns) if self._descriptor == -1 else None
    )


def file_never_reopens() -> None:
    look = JsonFileHandler._check_path
    JsonFileHandler._check_path = lambda self, now_ns: (  # type: ignore[method-assign]
        look(self, now_ns) if self._descriptor == -1 else None
    )


def reentry_is_refused() -> None:
    """Leave out what arrives from inside, as a recursion guard does."""
    turnstile.Turnstile._park = lambda self, item: None  # type: ignore[method-assign]


def reentry_deadlocks() -> None:
    """Serialise with a plain lock."""

    def submit(self: Any, item: Any) -> None:
        lock = _locks.setdefault(id(self), threading.Lock())
        with lock:
            self.entered += 1
            self._action(item)
            self.passed += 1

    turnstile.Turnstile.submit = submit  # type: ignore[method-assign]


_locks: dict[int, threading.Lock] = {}


def exit_does_not_flush() -> None:
    service.Service.shutdown_at_exit = lambda self: None  # type: ignore[method-assign]


def flush_ignores_its_deadline() -> None:
    original = sender.BatchSender._ask
    sender.BatchSender._ask = (  # type: ignore[method-assign]
        lambda self, deadline, ends_at=None: original(
            self, deadline + 6, None if ends_at is None else ends_at + 6
        )
    )
    batch_worker.MAX_FLUSH_ATTEMPTS = 10**9  # type: ignore[attr-defined]


def everything_counts_as_delivered() -> None:
    otlp_exporter.OtlpExporter._send = (  # type: ignore[method-assign]
        lambda self, body, count, timeout_seconds: (
            self._transport.post(body, timeout_seconds), SendResult(delivered=count)
        )[1]
    )  # fmt: skip


def refused_batches_are_dropped_whole() -> None:
    batch_worker.MAX_REJECTIONS_IN_A_ROW = 1  # type: ignore[misc]


def spool_is_not_written() -> None:
    spool.Spool.append = lambda self, items, context, **_: len(items)  # type: ignore[method-assign]
    spool.Spool.hold = lambda self, items, context: None  # type: ignore[method-assign]


def memory_is_kept_until_full() -> None:
    """Put on disk what fails, and what would overflow, and not what waits."""
    backlog.MAX_SECONDS_IN_MEMORY = 10**9  # type: ignore[misc]


def repeats_are_not_counted() -> None:
    record = ledger.Ledger.record

    def forget(self: Any, *, repeated: int = 0, **given: Any) -> None:
        record(self, **given)

    ledger.Ledger.record = forget  # type: ignore[method-assign]


def metrics_stay_in_memory() -> None:
    from sovdev_logger._delivery import periodic

    before = periodic.PeriodicSender.__init__
    periodic.PeriodicSender.__init__ = (  # type: ignore[method-assign]
        lambda self, *a, **k: before(self, *a, **{**k, "settings": None})
    )


def lanes_are_one() -> None:
    """Drop the oldest whatever its severity."""
    put = severity_queue.SeverityQueue.put
    severity_queue.SeverityQueue.put = (  # type: ignore[method-assign]
        lambda self, item, severity=9: put(self, item, 9)
    )


def overflow_is_dropped() -> None:
    sender.BatchSender._wait_for_the_spool = (  # type: ignore[method-assign]
        lambda self, is_over: None
    )


def spool_sends_twice() -> None:
    """Forget to mark what was sent."""
    spool.Spool.done = lambda self, spooled, item_count: None  # type: ignore[method-assign]
    remove = segments.Segments.remove
    segments.Segments.remove = lambda self, segment: (  # type: ignore[method-assign]
        self.in_order.remove(segment) if not segment.pending else remove(self, segment)
    )


def a_read_that_fails_is_proof() -> None:
    """Drop what cannot be read for the moment."""
    reader.SegmentReader._stall = lambda self, segment, error: (  # type: ignore[method-assign]
        self._segments.drop(segment, SPOOL_LOST)
    )


def failed_folders_are_left() -> None:
    """Make a folder for each attempt to lock one."""

    def new_folder(parent: Path) -> Any:
        make_private(parent)
        path = parent / f"{time.time_ns():020d}-{next(_folder_numbers)}"
        path.mkdir(mode=0o700)
        return try_lock(path)

    spool.new_folder = new_folder  # type: ignore[attr-defined]


_folder_numbers = count(1)


def spool_has_no_owner() -> None:
    """Let every process take over what others own."""
    FileLock.try_acquire = lambda self: True  # type: ignore[method-assign]


def spool_is_not_bounded() -> None:
    spool.Spool._make_room = lambda self, needed, keep=None: None  # type: ignore[method-assign]


def fork_is_not_noticed() -> None:
    for phase in (fork.Phase.TURNSTILES, fork.Phase.SERVICES):
        fork._owners[phase].clear()
        fork._owners[phase].add = lambda item: None  # type: ignore[method-assign]


def session_is_inherited() -> None:
    original = service.Service.reset_after_fork

    def reset(self: Any) -> None:
        before = self.identity
        original(self)
        self.identity = before
        self.logger.builder.set_identity(before)
        self._resource.describe(before)

    service.Service.reset_after_fork = reset  # type: ignore[method-assign]


def processes_share_an_instance() -> None:
    original = otlp_resource.Resource.describe

    def describe(self: Any, identity: Any) -> None:
        original(self, identity)
        self.attributes = {
            name: text for name, text in self.attributes.items() if name != otlp_resource.INSTANCE
        }

    otlp_resource.Resource.describe = describe  # type: ignore[method-assign]


def workers_share_the_given_instance() -> None:
    def instance(self: Any) -> str:
        return str(self._given_instance or self.identity.session_id)

    otlp_resource.Resource._instance = instance  # type: ignore[method-assign]


def points_start_when_the_sdk_says() -> None:
    from sovdev_logger._telemetry.start_times import StartTimes

    StartTimes.set = lambda self, request: None  # type: ignore[method-assign]


def children_count_since_their_parents_start() -> None:
    from sovdev_logger._telemetry.sdk_providers import OwnMeter

    original = OwnMeter.reset_after_fork

    def reset(self: Any) -> None:
        before = self._start_times
        original(self)
        self._start_times = before

    OwnMeter.reset_after_fork = reset  # type: ignore[method-assign]


def children_do_not_flush() -> None:
    def nothing(owner: object, end: object) -> None:
        """Leave the child alone."""

    service.end_with_multiprocessing_child = nothing  # type: ignore[attr-defined]
    multiprocessing_exit.end_with_multiprocessing_child = nothing


def handler_does_not_flush() -> None:
    service.Service.flush_in_handler = lambda self, timeout_seconds: None  # type: ignore[method-assign]
    service.Service.shutdown_in_handler = lambda self, timeout_seconds: None  # type: ignore[method-assign]


def handler_swallows_the_signal() -> None:
    signal_handlers._die = lambda number: None
    call = signal_handlers.SignalHandler.__call__

    def swallow(self: Any, number: int, frame: Any) -> None:
        self._before = signal.SIG_IGN
        call(self, number, frame)

    signal_handlers.SignalHandler.__call__ = swallow  # type: ignore[method-assign]


def failures_are_not_counted() -> None:
    from sovdev_logger._outputs import handler

    handler.OutputHandler._fail = (  # type: ignore[method-assign]
        lambda self, error: setattr(self._turnstile, "passed", self._turnstile.passed + 1)
    )


def calls_raise() -> None:
    def fail(self: Any, error: Exception) -> None:
        raise KeyboardInterrupt from error

    from sovdev_logger._outputs import handler

    handler.OutputHandler._fail = fail  # type: ignore[method-assign]


def put_waits_for_the_server() -> None:
    """Flush in the caller's frame now and then, as a logger that blocks when it is behind."""
    original, numbers = sender.BatchSender.put, count(1)

    def put(self: Any, item: bytes, severity: int = 9) -> None:
        original(self, item, severity)
        if next(numbers) % 50 == 0:
            self.flush(0.02)

    sender.BatchSender.put = put  # type: ignore[method-assign]


def descriptors_leak() -> None:
    original = http_transport.HttpTransport.post

    def post(self: Any, body: bytes, timeout_seconds: float | None = None) -> Any:
        _leaked.append(os.open(os.devnull, os.O_RDONLY))
        return original(self, body, timeout_seconds)

    http_transport.HttpTransport.post = post  # type: ignore[method-assign]


_leaked: list[int] = []


def memory_leaks() -> None:
    original = JsonFileHandler.write

    def write(self: Any, entry: Any) -> None:
        _kept.append(entry)
        original(self, entry)

    JsonFileHandler.write = write  # type: ignore[method-assign]


_kept: list[Any] = []


def sampling_keeps_the_parents_counts() -> None:
    from sovdev_logger._sampling.sampler import Sampler

    Sampler.reset_after_fork = lambda self: None  # type: ignore[method-assign]


def lipservice_is_not_started_in_a_child() -> None:
    from sovdev_logger._sampling.lipservice_client import LipServiceClient

    LipServiceClient.reset_after_fork = lambda self: None  # type: ignore[method-assign]


def lipservice_has_no_last_words() -> None:
    from sovdev_logger._sampling.lipservice_client import LipServiceClient

    LipServiceClient.begin_close = lambda self, deadline: None  # type: ignore[method-assign]


def lipservice_forgets_what_nobody_got() -> None:
    from sovdev_logger._sampling.sampler import Sampler

    Sampler.put_back = lambda self, report: None  # type: ignore[method-assign]


def lipservice_sends_what_was_taken_again() -> None:
    from sovdev_logger._sampling import lipservice_client

    lipservice_client.surely_not_accepted = lambda answer: True


def lipservice_runs_in_the_callers_thread() -> None:
    from sovdev_logger._sampling.lipservice_client import LipServiceClient

    LipServiceClient.start = lambda self: (self._fetch(), None)[1]  # type: ignore[method-assign]


def the_pattern_table_has_a_lock() -> None:
    from sovdev_logger._sampling.pattern_table import PatternTable

    lock, find = threading.Lock(), PatternTable.find

    def locked(self: PatternTable, message: str, now: float) -> Any:
        with lock:
            return find(self, message, now)

    PatternTable.find = locked  # type: ignore[method-assign]


def child_keeps_the_parents_connection() -> None:
    from sovdev_logger._outputs.relay import exporter as relay_exporter

    relay_exporter.RelayExporter.reset_after_fork = lambda self: None  # type: ignore[method-assign]


def signal_handler_does_not_bypass_loguru() -> None:
    from sovdev_logger._outputs.loguru.sinks import LoguruHandler

    LoguruHandler.bypass_loguru_in = lambda self, frame: None  # type: ignore[method-assign]


def values_of_variables_are_shown() -> None:
    from sovdev_logger._safety import sanitizer

    sanitizer.Sanitizer.traceback = lambda self, text, error: text  # type: ignore[method-assign]


def child_keeps_its_parents_sinks() -> None:
    from sovdev_logger._profiles.runtime import ProfileRuntime

    ProfileRuntime.reset_after_fork = lambda self: None  # type: ignore[method-assign]


def the_file_imports_something_late() -> None:
    write = JsonFileHandler.write

    def importing(self: JsonFileHandler, entry: Any) -> None:
        import colorsys  # noqa: F401

        write(self, entry)

    JsonFileHandler.write = importing  # type: ignore[method-assign]


def contexts_hold_what_was_before() -> None:
    """Let each span's context lead to the one before, as where the span itself had it."""
    enter = SpanScope.enter
    key = otel_context.create_key("before")

    def enter_and_hold(self: SpanScope, before: Context) -> None:
        enter(self, otel_context.set_value(key, before, before))

    SpanScope.enter = enter_and_hold  # type: ignore[method-assign]


def ended_spans_lead_to_ended_ones() -> None:
    """Let a span that ends keep what was before it as it was."""
    leave = SpanScope.leave

    def leave_and_keep(self: SpanScope, before: Context) -> None:
        leave(self, before)
        self.outer = before

    SpanScope.leave = leave_and_keep  # type: ignore[method-assign]


def own_lines_are_entries() -> None:
    """Take what comes back from stderr for records like others."""
    OwnLines.find = lambda self, message: None  # type: ignore[method-assign]


def all_inside_a_write_is_our_own() -> None:
    """Take what is logged after a write to a replaced stream began for its line."""
    OwnLines.find = lambda self, message: next(iter(self.newest), None)  # type: ignore[method-assign]


def streams_are_never_left() -> None:
    stderr.leads_back = lambda stream: False


def replaced_streams_are_left() -> None:
    """Write to the process's own stderr, whatever took its place."""
    defaults: Any = console.ConsoleHandler.__init__.__kwdefaults__
    defaults["stream"] = lambda: sys.__stderr__


def a_stream_may_cause_entries_without_end() -> None:
    """Let it go on for twenty writes, so that the test ends."""
    console._MAX_WRITES_IN_A_ROW = 20  # type: ignore[misc]


def the_stderr_of_celery_comes_back() -> None:
    """Write to Celery's stderr as to any other, and log what comes back."""
    stderr.avoid_streams_of = lambda kind: None
    own_lines_are_entries()


def arguments_of_tasks_are_logged() -> None:
    from sovdev_logger.integrations import celery

    celery._without_arguments = lambda record: record


def streams_do_not_wait() -> None:
    from sovdev_logger._outputs import line_stream

    line_stream.MAX_WAIT_SECONDS = 0.0  # type: ignore[misc]


def own_descriptors_are_opened_anew() -> None:
    from sovdev_logger._runtime import log_files

    log_files._descriptor_at = lambda path: None


def file_is_closed_before_the_next_is_open() -> None:
    before = JsonFileHandler._open

    def close_first(self: JsonFileHandler) -> None:
        self._close_descriptor()
        before(self)

    JsonFileHandler._open = close_first  # type: ignore[method-assign]


def half_a_line_is_not_looked_for() -> None:
    json_file.ends_inside_line = lambda *_, **__: False  # type: ignore[attr-defined]
