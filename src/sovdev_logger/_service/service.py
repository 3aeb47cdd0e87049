"""From initialisation to exit: what is started, flushed and ended, and in which order."""

import atexit
import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from sovdev_logger._delivery.otlp_resource import Resource
from sovdev_logger._delivery.results import FlushResult
from sovdev_logger._delivery.status import OutputStatus, Status
from sovdev_logger._entry import identifiers
from sovdev_logger._entry.entry import Entry, Identity
from sovdev_logger._entry.peers import PeerResolver
from sovdev_logger._entry.stdlib_records import is_already_logged
from sovdev_logger._runtime.fork import Phase, register_for_fork, unregister_for_fork
from sovdev_logger._runtime.multiprocessing_exit import end_with_multiprocessing_child
from sovdev_logger._runtime.own_traffic import is_own_traffic
from sovdev_logger._runtime.selflog import warn, warn_once, warn_throttled
from sovdev_logger._sampling import process as sampling_of_process
from sovdev_logger._service.attachment import Attachment
from sovdev_logger._service.logger import SovdevLogger
from sovdev_logger._service.outputs import build_outputs
from sovdev_logger._service.redaction import RedactionCounts, make_sanitizer
from sovdev_logger._service.senders import FlushableSender, Senders
from sovdev_logger._service.telemetry import Telemetry
from sovdev_logger._settings.sampling import SamplingSettings
from sovdev_logger._settings.service import Settings
from sovdev_logger._telemetry.span_scope import active_span
from sovdev_logger._telemetry.spans import Spans

if TYPE_CHECKING:
    from sovdev_logger._sampling.managed import ManagedSampler

FLUSH_TIMEOUT_SECONDS: Final = 30.0
_LEAST_SECONDS_TO_WRITE: Final = 0.2


class Service:
    """One initialised service, from start to shutdown.

    The settings are passed down once: to telemetry, logger and sampler here, to the outputs in
    ``start``.
    """

    def __init__(
        self,
        identity: Identity,
        peer_services: Mapping[str, str],
        settings: Settings,
    ) -> None:
        self.identity = identity
        self.settings = settings
        self._redacted = RedactionCounts()
        self.sanitizer = make_sanitizer(settings, self._redacted)
        self.peers = PeerResolver(identity.service_name, peer_services)
        self._resource = Resource(identity, settings.otlp)
        self._telemetry = Telemetry(settings, self._resource)
        self._senders = Senders(self._telemetry.senders)
        stdlib_logger = logging.getLogger(identity.service_name)
        self.attachment = Attachment(stdlib_logger, settings.level.stdlib_number)
        self.logger = SovdevLogger(
            identity,
            self.peers,
            self.sanitizer,
            stdlib_logger,
            active_span,
            self._telemetry.entry_counts,
        )
        self.logger.outputs = self.attachment.outputs
        self.spans = Spans(
            identity.service_name,
            self.sanitizer,
            self._telemetry.tracer,
            self._telemetry.span_counts,
        )
        self._is_shut_down = False
        self._own_sampler: ManagedSampler | None = None
        if settings.sampling is not None:
            self._own_sampler = self._start_sampling(settings.sampling)
        else:
            sampling_of_process.add_sampler_observer(self)

    def entry_from_record(self, record: logging.LogRecord) -> Entry | None:
        """Return the entry of a plain ``logging`` record.

        Returns None for records from our own exports and of our own lines on stderr, and for
        exceptions already logged.
        """
        if is_own_traffic() or is_already_logged(record):
            return None
        return self.logger.entry_from_record(record)

    def _start_sampling(self, settings: SamplingSettings) -> "ManagedSampler":
        from sovdev_logger._sampling.managed import start_sampler  # noqa: PLC0415 - not for all

        sampler = start_sampler(settings, self.identity.service_name, _active_trace)
        self.logger.sampling = sampler
        if sampling_of_process.process_sampler() is None:
            sampling_of_process.set_process_sampler(sampler)
        return sampler

    def on_sampler_changed(self, managed: "ManagedSampler | None") -> None:
        """Sample as the process does, unless the service's own settings say otherwise."""
        if self.settings.sampling is None:
            self.logger.sampling = managed
            self.apply_sampling_to_outputs()

    def start(self) -> None:
        """Attach the configured outputs, most reliable first, and start their threads."""
        senders: list[FlushableSender] = []
        for output in build_outputs(self.settings, self._resource, self.entry_from_record):
            self.attachment.add(output.name, output.handler)
            if output.sender is not None:
                senders.append(output.sender)
        logwell = self.settings.logwell
        self.logger.finds_call_site = logwell is not None and logwell.capture_source_location
        self._senders = Senders([*senders, *self._telemetry.senders])
        self._senders.start()
        self.apply_sampling_to_outputs()

    def apply_sampling_to_outputs(self) -> None:
        """Decide for each output whether it drops sampled-out entries."""
        outputs, own = self.attachment.outputs, self.settings.sampling
        everywhere = own is not None and own.everywhere
        for output in outputs:
            output.is_sampled = everywhere or output.leaves_machine
        self.logger.skips_sampled_out = bool(outputs) and all(
            output.is_sampled for output in outputs
        )

    def status(self) -> Status:
        """Return what became of every entry, output by output."""
        outputs = {name: output.status() for name, output in self.attachment.names.items()}
        sampler = self.logger.sampling
        sampling = sampler.status() if sampler is not None else None
        return Status({**outputs, **self._telemetry.status()}, sampling, self._redacted.read())

    def flush(self, timeout_seconds: float = FLUSH_TIMEOUT_SECONDS) -> None:
        """Wait until everything logged so far has been tried, at most ``timeout_seconds``."""
        self._write_parked()
        deadline = time.monotonic() + timeout_seconds
        results = self._senders.flush(timeout_seconds)
        self._wait_until_written(deadline)
        for sender, result in results:
            if result.pending:
                warn_throttled(
                    f"flush:{sender.name}",
                    f"not delivered yet: {result.pending} {sender.name} ({result.reason}); they "
                    f"are kept and sent again. {sender.advice}",
                )

    def shutdown(self, timeout_seconds: float = FLUSH_TIMEOUT_SECONDS) -> None:
        """Flush and end telemetry for good, once; the console and the files go on."""
        if self._is_shut_down:
            return
        self._is_shut_down = True
        self._write_parked()
        deadline = time.monotonic() + timeout_seconds
        if self._own_sampler is not None:
            self._own_sampler.begin_close(deadline)
        results = self._senders.close(timeout_seconds)
        self._wait_until_written(deadline)
        if self._own_sampler is not None:
            self._own_sampler.end_close(deadline)
        for sender, result in results:
            self._warn_undelivered(sender, result)

    def _warn_undelivered(self, sender: FlushableSender, result: FlushResult) -> None:
        if result.spooled:
            spool = self.settings.delivery.spool
            warn(
                f"not delivered: {result.spooled} {sender.name} ({result.reason}); they are kept "
                f"in {spool and spool.folder}, for the next process that starts with it."
            )
        elif result.pending:
            warn(
                f"not delivered: {result.pending} {sender.name} ({result.reason}). {sender.advice}"
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
        """Flush within the exit timeout, or a shorter one given by the caller."""
        self.flush(timeout_seconds or self.settings.exit_timeout_seconds)

    def shutdown_in_handler(self, timeout_seconds: float | None) -> None:
        """End for good within the exit timeout, or a shorter one."""
        timeout_seconds = timeout_seconds or self.settings.exit_timeout_seconds
        if self._is_shut_down:
            # Another frame, perhaps the one that we interrupted, is at it: it must not be cut off.
            self._senders.close(timeout_seconds)
        self.shutdown(timeout_seconds)
        self._warn_dropped()

    def shutdown_at_exit(self) -> None:
        """End within the exit timeout, whatever the collector does, and warn of losses."""
        self.shutdown(self.settings.exit_timeout_seconds)
        self._warn_dropped()

    def _warn_dropped(self) -> None:
        losses = [
            f"{status.dropped} by {name} ({reasons(status)})"
            for name, status in self.status().outputs.items()
            if status.dropped
        ]
        if losses:
            warn(f"entries were dropped: {', '.join(losses)}; see the warnings above for the fix.")

    def reset_after_fork(self) -> None:
        """Make a forked child independent: fresh session, locks, queues, ids and books."""
        self.identity = self.identity._replace(session_id=identifiers.new_uuid())
        self._redacted.reset()
        self.logger.builder.set_identity(self.identity)
        self._resource.describe(self.identity)
        for output in self.attachment.outputs:
            output.reset_after_fork()
        self._telemetry.reset_after_fork()
        self._senders.reset_after_fork()
        self.spans.own_tracer = self._telemetry.tracer
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
    service.start()
    for problem in settings.problems:
        warn_once(f"settings:{problem.message}", problem.message)
    atexit.register(service.shutdown_at_exit)
    end_with_multiprocessing_child(service, service.shutdown_at_exit)
    register_for_fork(Phase.SERVICES, service)
    return service


def stop_service(service: Service, timeout_seconds: float) -> None:
    """Undo ``start_service``: end the telemetry, detach the outputs and forget the hooks."""
    atexit.unregister(service.shutdown_at_exit)
    unregister_for_fork(Phase.SERVICES, service)
    service.shutdown(timeout_seconds)
    service.attachment.remove()
    if service.logger.sampling is not None and sampling_of_process.process_sampler() is (
        service.logger.sampling
    ):
        sampling_of_process.set_process_sampler(None)
    service.logger.sampling = None


def reasons(status: OutputStatus) -> str:
    """Return why an output dropped entries, with how many for each reason."""
    return ", ".join(f"{reason}: {count}" for reason, count in status.dropped_by_reason.items())
