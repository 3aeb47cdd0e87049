"""From initialisation to exit: what is started, flushed and ended, and in which order."""

import atexit
import logging
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from sovdev_logger._delivery.spool import folder as spool_folder
from sovdev_logger._delivery.status import OutputStatus, Status
from sovdev_logger._entry import identifiers
from sovdev_logger._entry.entry import Entry, Identity
from sovdev_logger._entry.peers import PeerResolver
from sovdev_logger._entry.stdlib_records import is_told_already
from sovdev_logger._outputs import rotation
from sovdev_logger._outputs.console import ConsoleHandler
from sovdev_logger._outputs.handler import OutputHandler
from sovdev_logger._outputs.json_file import JsonFileHandler
from sovdev_logger._runtime import turnstile as reentry
from sovdev_logger._runtime.multiprocessing_exit import end_with_multiprocessing_child
from sovdev_logger._runtime.own_traffic import is_own_traffic
from sovdev_logger._runtime.selflog import warn, warn_once, warn_throttled
from sovdev_logger._safety.sanitizer import Sanitizer
from sovdev_logger._sampling import process as sampling_of_process
from sovdev_logger._service import remote_outputs
from sovdev_logger._service.logger import SovdevLogger
from sovdev_logger._service.pipeline import Pipeline
from sovdev_logger._settings.sampling import SamplingSettings
from sovdev_logger._settings.service import Settings
from sovdev_logger._telemetry.spans import Spans, active_span

if TYPE_CHECKING:
    from sovdev_logger._sampling.managed import ManagedSampler

FLUSH_TIMEOUT_SECONDS: Final = 30.0
_LEAST_SECONDS_TO_WRITE: Final = 0.2

_live_services: WeakSet["Service"] = WeakSet()
"""The services that a forked child has to make its own."""


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


class Service:
    """One initialised service: its logger, spans and pipeline, from start to shutdown."""

    def __init__(
        self,
        identity: Identity,
        peer_services: Mapping[str, str],
        settings: Settings,
    ) -> None:
        self.identity = identity
        self.settings = settings
        self.sanitizer = Sanitizer(settings.max_field_bytes, redact=settings.redact)
        self.peers = PeerResolver(identity.service_name, peer_services)
        self.pipeline = Pipeline(identity, settings.otlp, settings.delivery)
        stdlib_logger = logging.getLogger(identity.service_name)
        self.attachment = Attachment(stdlib_logger, settings.level.stdlib_number)
        self.logger = SovdevLogger(
            identity,
            self.peers,
            self.sanitizer,
            stdlib_logger,
            active_span,
            self.pipeline.entry_counts,
        )
        self.logger.outputs = self.attachment.outputs
        self.spans = Spans(
            identity.service_name,
            self.sanitizer,
            self.pipeline.tracer,
            self.pipeline.span_counts,
        )
        self._is_shut_down = False
        if settings.sampling is not None:
            self._start_sampling(settings.sampling)
        else:
            sampling_of_process.add_sampler_observer(self)

    def entry_from_record(self, record: logging.LogRecord) -> Entry | None:
        """Return the entry of a plain ``logging`` record.

        Our own traffic makes none, and an exception that an entry tells of makes no other.
        """
        if is_own_traffic() or is_told_already(record):
            return None
        return self.logger.entry_from_record(record)

    def _start_sampling(self, settings: SamplingSettings) -> None:
        from sovdev_logger._sampling.managed import start_stage  # noqa: PLC0415 - not for all

        self.logger.sampling = start_stage(settings, self.identity.service_name, _active_trace)
        if sampling_of_process.current_stage() is None:
            sampling_of_process.set_stage(self.logger.sampling)

    def on_sampler_changed(self, stage: "ManagedSampler | None") -> None:
        """Sample as the process does, for a service that was not told to by its own settings."""
        if self.settings.sampling is None:
            self.logger.sampling = stage
            self.apply_sampling_to_outputs()

    def attach_outputs(self) -> None:
        """Add the outputs that the settings ask for, the one that can fail least first."""
        settings = self.settings
        if settings.file is not None:
            self.attachment.add("file", JsonFileHandler(settings.file, self.entry_from_record))
        if settings.error_file is not None:
            output = JsonFileHandler(settings.error_file, self.entry_from_record, logging.ERROR)
            self.attachment.add("error_file", output)
        log_output = self.pipeline.log_output(self.entry_from_record)
        if log_output is not None:
            self.attachment.add("otlp_logs", log_output)
        if settings.logwell is not None:
            remote_outputs.attach_logwell(self, settings.logwell)
        if settings.relay is not None:
            remote_outputs.attach_relays(self, settings.relay)
        if settings.console:
            console = ConsoleHandler(self.entry_from_record, as_json=settings.console_json)
            self.attachment.add("console", console)
        self.apply_sampling_to_outputs()

    def apply_sampling_to_outputs(self) -> None:
        """Let those outputs leave out what is left out that the settings say."""
        outputs, own = self.attachment.outputs, self.settings.sampling
        everywhere = own is not None and own.everywhere
        for output in outputs:
            output.is_sampled = everywhere or output.leaves_machine
        unwanted = bool(outputs) and all(one.is_sampled for one in outputs)
        self.logger.skips_sampled_out = unwanted

    def status(self) -> Status:
        """Return what became of every entry, output by output."""
        outputs = {name: output.status() for name, output in self.attachment.names.items()}
        stage = self.logger.sampling
        sampling = stage.status() if stage is not None else None
        return Status({**outputs, **self.pipeline.status()}, sampling)

    def flush(self, timeout_seconds: float = FLUSH_TIMEOUT_SECONDS) -> None:
        """Wait until everything logged so far has been tried, at most ``timeout_seconds``."""
        self._write_parked()
        deadline = time.monotonic() + timeout_seconds
        results = self.pipeline.flush(timeout_seconds)
        self._wait_until_written(deadline)
        for name, result in results.items():
            if result.pending:
                warn_throttled(
                    f"flush:{name}",
                    f"not delivered yet: {result.pending} {name} ({result.reason}); they are kept "
                    f"and sent again. {self.pipeline.advice(name)}",
                )

    def shutdown(self, timeout_seconds: float = FLUSH_TIMEOUT_SECONDS) -> None:
        """Flush and end telemetry for good, once; the console and the files go on."""
        if self._is_shut_down:
            return
        self._is_shut_down = True
        self._write_parked()
        deadline = time.monotonic() + timeout_seconds
        stage = self.logger.sampling
        if stage is not None and self.settings.sampling is not None:
            stage.begin_close(deadline)
        results = self.pipeline.close(timeout_seconds)
        self._wait_until_written(deadline)
        if stage is not None and self.settings.sampling is not None:
            stage.end_close(deadline)
        for name, result in results.items():
            if result.spooled:
                folder = self.settings.delivery.spool and self.settings.delivery.spool.folder
                warn(
                    f"not delivered: {result.spooled} {name} ({result.reason}); they are kept in "
                    f"{folder}, for the next process that starts with it."
                )
            elif result.pending:
                warn(
                    f"not delivered: {result.pending} {name} ({result.reason}). "
                    f"{self.pipeline.advice(name)}"
                )

    def _write_parked(self) -> None:
        for output in self.attachment.outputs:
            output.write_parked()

    def _wait_until_written(self, deadline: float) -> None:
        # What is on this machine gets a moment even when a server has used up the time.
        deadline = max(deadline, time.monotonic() + _LEAST_SECONDS_TO_WRITE)
        for output in self.attachment.outputs:
            output.wait_until_written(deadline)

    def flush_in_handler(self, timeout_seconds: float | None) -> None:
        """Flush within the exit's deadline, or a shorter one: somebody waits for the end."""
        self.flush(timeout_seconds or self.settings.exit_timeout_seconds)

    def shutdown_in_handler(self, timeout_seconds: float | None) -> None:
        """End for good within the exit's deadline, or a shorter one."""
        timeout_seconds = timeout_seconds or self.settings.exit_timeout_seconds
        if self._is_shut_down:
            # Another frame, perhaps the one that we interrupted, is at it: it must not be cut off.
            self.pipeline.close(timeout_seconds)
        self.shutdown(timeout_seconds)
        self._say_drops()

    def shutdown_at_exit(self) -> None:
        """End within the exit's own deadline, whatever the collector does, and say what is lost."""
        self.shutdown(self.settings.exit_timeout_seconds)
        self._say_drops()

    def _say_drops(self) -> None:
        lost = [
            f"{one.dropped} by {name} ({reasons(one)})"
            for name, one in self.status().outputs.items()
            if one.dropped
        ]
        if lost:
            warn(f"entries were dropped: {', '.join(lost)}; the warnings above say how to mend it.")

    def reset_after_fork(self) -> None:
        """Make a forked child independent: fresh session, locks, queues, ids and books."""
        self.identity = self.identity._replace(session_id=identifiers.new_uuid())
        self.logger.identity = self.identity
        for output in self.attachment.outputs:
            output.reset_after_fork()
        self.pipeline.reset_after_fork(self.identity)
        self.spans.own_tracer = self.pipeline.tracer
        end_with_multiprocessing_child(self, self.shutdown_at_exit)


def _active_trace() -> str | None:
    span = active_span()
    return span.trace_id if span is not None else None


def start_service(
    service_name: str,
    service_version: str,
    peer_services: Mapping[str, str],
    settings: Settings,
) -> Service:
    """Start a service with the outputs of ``settings``, and its hooks for exit and fork."""
    identity = Identity(service_name, service_version, identifiers.new_uuid())
    service = Service(identity, peer_services, settings)
    service.attach_outputs()
    for problem in settings.problems:
        warn_once(f"settings:{problem.message}", problem.message)
    atexit.register(service.shutdown_at_exit)
    end_with_multiprocessing_child(service, service.shutdown_at_exit)
    _live_services.add(service)
    return service


def stop_service(service: Service, timeout_seconds: float) -> None:
    """Undo ``start_service``: end the telemetry, detach the outputs and forget the hooks."""
    atexit.unregister(service.shutdown_at_exit)
    _live_services.discard(service)
    service.shutdown(timeout_seconds)
    service.attachment.remove()
    if service.logger.sampling is not None and sampling_of_process.current_stage() is (
        service.logger.sampling
    ):
        sampling_of_process.set_stage(None)
    service.logger.sampling = None


def _reset_after_fork() -> None:
    identifiers.forget_prepared()
    reentry.forget_all_holders()
    rotation.forget_held_locks()
    spool_folder.forget_held_locks()
    for service in list(_live_services):
        service.reset_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)


def reasons(status: OutputStatus) -> str:
    """Return why an output dropped entries, with how many for each reason."""
    return ", ".join(f"{reason}: {count}" for reason, count in status.dropped_by_reason.items())
