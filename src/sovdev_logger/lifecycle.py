"""From initialisation to exit: what is started, flushed and ended, and in which order."""

import atexit
import logging
import os
from collections.abc import Mapping
from typing import Final
from weakref import WeakSet

from sovdev_logger import identifiers, reentry
from sovdev_logger.delivery.own_traffic import is_own_traffic
from sovdev_logger.delivery.results import FlushResult
from sovdev_logger.entry import Entry, Identity
from sovdev_logger.logger import SovdevLogger
from sovdev_logger.outputs.base import OutputHandler
from sovdev_logger.outputs.console import ConsoleHandler
from sovdev_logger.outputs.json_file import JsonFileHandler
from sovdev_logger.outputs.rotation import forget_held_locks
from sovdev_logger.peers import PeerResolver
from sovdev_logger.safety.sanitizer import Sanitizer
from sovdev_logger.selflog import warn, warn_once
from sovdev_logger.settings import Settings
from sovdev_logger.telemetry.pipeline import Pipeline
from sovdev_logger.telemetry.spans import Spans, active_span

FLUSH_TIMEOUT_SECONDS: Final = 30.0

_live_services: WeakSet["Service"] = WeakSet()
"""The services that a forked child has to make its own."""


class Attachment:
    """Our handlers on one stdlib logger, and what the logger was like before."""

    def __init__(self, stdlib_logger: logging.Logger, level: int) -> None:
        self.stdlib_logger = stdlib_logger
        self._before = (stdlib_logger.level, stdlib_logger.propagate)
        self._set_aside: list[logging.Handler] = []
        self.outputs: list[OutputHandler] = []
        stdlib_logger.setLevel(level)
        # The outputs are here; passing entries on to root handlers would print them twice.
        stdlib_logger.propagate = False

    def add(self, output: OutputHandler) -> None:
        """Attach one output."""
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
        self.pipeline = Pipeline(identity, settings.otlp)
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

    def adopt(self, record: logging.LogRecord) -> Entry | None:
        """Return the entry of a plain ``logging`` record; our own traffic makes none."""
        return None if is_own_traffic() else self.logger.adopt(record)

    def attach_outputs(self) -> None:
        """Add the outputs that the settings ask for, the one that can fail least first."""
        settings = self.settings
        if settings.file is not None:
            self.attachment.add(JsonFileHandler(settings.file, self.adopt))
        if settings.error_file is not None:
            self.attachment.add(JsonFileHandler(settings.error_file, self.adopt, logging.ERROR))
        output = self.pipeline.log_output(self.adopt)
        if output is not None:
            self.attachment.add(output)
        if settings.console:
            self.attachment.add(ConsoleHandler(self.adopt, as_json=settings.console_json))

    def flush(self, timeout_seconds: float = FLUSH_TIMEOUT_SECONDS) -> None:
        """Wait until everything logged so far has been tried, at most ``timeout_seconds``."""
        self._write_parked()
        for name, result in self.pipeline.flush(timeout_seconds).items():
            _say_result(name, result)

    def shutdown(self, timeout_seconds: float = FLUSH_TIMEOUT_SECONDS) -> None:
        """Flush and end telemetry for good, once; the console and the files go on."""
        if self._is_shut_down:
            return
        self._is_shut_down = True
        self._write_parked()
        for name, result in self.pipeline.close(timeout_seconds).items():
            _say_result(name, result)

    def _write_parked(self) -> None:
        for output in self.attachment.outputs:
            output.write_parked()

    def shutdown_at_exit(self) -> None:
        """End within the exit's own deadline, whatever the collector does."""
        self.shutdown(self.settings.exit_timeout_seconds)

    def reset_after_fork(self) -> None:
        """Make a forked child independent: fresh locks, queues, ids and process number."""
        identifiers.forget_prepared()
        reentry.forget_all_holders()
        forget_held_locks()
        self.pipeline.reset_after_fork()


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
    _live_services.add(service)
    return service


def stop_service(service: Service, timeout_seconds: float) -> None:
    """Undo ``start_service``: end the telemetry, detach the outputs and forget the hooks."""
    atexit.unregister(service.shutdown_at_exit)
    _live_services.discard(service)
    service.shutdown(timeout_seconds)
    service.attachment.remove()


def _reset_after_fork() -> None:
    for service in list(_live_services):
        service.reset_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)


def _say_result(name: str, result: FlushResult) -> None:
    if result.pending:
        warn(
            f"not delivered: {result.pending} {name} ({result.reason}); check the collector and "
            "OTEL_EXPORTER_OTLP_ENDPOINT."
        )
    if result.rejected:
        warn(f"refused by the collector: {result.rejected} {name} ({result.reason}).")
