"""Celery: tasks continue the sender's trace, and each outcome is an entry."""

import copy
import logging
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry.trace import SpanKind

from sovdev_logger._api.service import DEFAULT_VERSION, sovdev_initialize
from sovdev_logger._entry.context import replace_request_fields, request_fields
from sovdev_logger._entry.stdlib_records import mark_as_logged
from sovdev_logger._runtime.stderr import avoid_streams_of
from sovdev_logger._service.instance import instance
from sovdev_logger._telemetry.spans import extract, inject
from sovdev_logger.integrations._request import set_request_identity, warn_resolver
from sovdev_logger.integrations.stdlib import (
    adapt_records,
    skip_records,
    sovdev_capture_logging,
)

_LEVELS: Final = {"SUCCESS": "info", "RETRY": "warn", "IGNORED": "info", "REJECTED": "warn"}
_WORDS: Final = {
    "SUCCESS": "succeeded",
    "RETRY": "is retried",
    "FAILURE": "failed",
    "IGNORED": "was ignored",
    "REJECTED": "was rejected",
}

_NOT_LOGGED: Final = "(not logged)"
_WITH_ARGUMENTS: Final = {"args", "kwargs", "argsrepr", "kwargsrepr"}
_BODIES: Final = {
    "UNKNOWN_TASK_ERROR": (1,),
    "INVALID_TASK_ERROR": (1,),
    "UNKNOWN_FORMAT": (0,),
    "MESSAGE_DECODE_ERROR": (3, 4),
}
"""Where the formats of ``celery.worker.consumer.consumer`` have a message's body or headers."""


def configure_celery(
    app: Any,
    service_name: str | None = None,
    service_version: str | None = DEFAULT_VERSION,
    peer_services: Mapping[str, str] | None = None,
    *,
    resolver: Callable[[Any], Any] | None = None,
    capture_level: str | None = "info",
) -> None:
    """Set up a Celery application in one line, in its workers and where tasks are sent.

    Initialises the logger if necessary. Sending a task passes the active trace on. Each
    run of a task has a span, a fresh context and one entry at its end: succeeded (info), retried
    (warn, with the reason), failed (error, with the exception). Arguments are not logged, not by
    what is captured of Celery's own loggers either. Worker processes have a session and queue of
    their own and deliver before they end.

    Args:
        app: The application.
        service_name: Default is the application's ``main``.
        service_version, peer_services: As for ``sovdev_initialize``.
        resolver: Gets the task and returns a mapping with ``client_name``, ``service_principal``,
            ``acting_user``.
        capture_level: The lowest level captured from stdlib loggers, once Celery has set up
            logging; None captures nothing.

    Raises:
        ValueError: There is no service name.
        ImportError: The extra ``celery`` is missing.

    Specification: integrations, Celery.
    """
    try:
        from celery import signals  # noqa: PLC0415 - an extra
        from celery.utils.log import LoggingProxy  # noqa: PLC0415
    except ImportError as error:
        raise ImportError("Celery is missing: install sovdev-logger[celery]") from error
    name = service_name or getattr(app, "main", None)
    if not name:
        raise ValueError("service_name is missing: the application has no name to use instead")
    sovdev_initialize(name, service_version, peer_services)
    _tasks.resolver = resolver
    # Our entry of the task has its outcome.
    skip_records("celery.app.trace", lambda record: record.levelno <= logging.INFO)
    adapt_records("celery", _without_arguments)
    avoid_streams_of(LoggingProxy)  # a worker's sys.stderr, which logs what it is given

    def capture(**_: Any) -> None:
        if capture_level is not None:
            sovdev_capture_logging(capture_level)

    for signal, receiver in (
        (signals.before_task_publish, _tasks.publish),
        (signals.task_prerun, _tasks.begin),
        (signals.task_retry, _tasks.note_retry),
        (signals.task_failure, _tasks.note_failure),
        (signals.task_postrun, _tasks.end),
        (signals.task_revoked, _tasks.revoke),
        (signals.worker_process_shutdown, _deliver),
        (signals.worker_shutdown, _deliver),
        (signals.after_setup_logger, capture),
    ):
        signal.connect(receiver, weak=False, dispatch_uid=f"sovdev-{receiver.__name__}")


class _Run:
    """One run of a task, and the context to restore after it."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.started = time.perf_counter()
        self.before = request_fields(), otel_context.get_current()
        self.span: Any = None


class _Tasks:
    """Receives Celery's signals. Never raises into Celery, which would log it."""

    def __init__(self) -> None:
        self.running: dict[str, _Run] = {}
        self.resolver: Callable[[Any], Any] | None = None

    def publish(self, headers: dict[str, Any] | None = None, **_: Any) -> None:
        if headers is not None:
            inject(headers)

    def begin(self, task_id: str = "", task: Any = None, **_: Any) -> None:
        service = instance.service
        if service is None:
            return
        run = self.running[task_id] = _Run()
        request = task.request
        sent = {name: getattr(request, name, None) for name in ("traceparent", "tracestate")}
        replace_request_fields(None)
        otel_context.attach(extract({name: text for name, text in sent.items() if text}))
        attributes = {
            "messaging.system": "celery",
            "messaging.operation.type": "process",
            "messaging.message.id": task_id,
            "celery.task_name": task.name,
        }
        run.span = service.spans.start(f"run {task.name}", attributes, None, SpanKind.CONSUMER)
        if self.resolver is not None:
            try:
                set_request_identity(self.resolver(task))
            except Exception as error:  # noqa: BLE001 - it is the application's
                warn_resolver(error)

    def note_retry(self, request: Any = None, reason: Any = None, **_: Any) -> None:
        run = self.running.get(getattr(request, "id", ""))
        cause = getattr(reason, "exc", None) or reason
        if run is not None and isinstance(cause, BaseException):
            run.error = cause

    def note_failure(
        self, task_id: str = "", exception: BaseException | None = None, **_: Any
    ) -> None:
        run = self.running.get(task_id)
        if exception is not None:
            if run is not None:
                run.error = exception
            mark_as_logged(exception)  # by the entry; Celery logs it, too

    def end(self, task_id: str = "", task: Any = None, state: str | None = None, **_: Any) -> None:
        run, service = self.running.pop(task_id, None), instance.service
        if run is None or service is None:
            return
        state = state or "UNKNOWN"
        elapsed_ms = round((time.perf_counter() - run.started) * 1000, 3)
        service.logger.log(
            _LEVELS.get(state, "error"),
            task.name,
            f"Task {task.name} {_WORDS.get(state, f'ended as {state}')}",
            None,
            {"task": task.name, "task_id": task_id, "retries": task.request.retries},
            {"state": state, "duration_ms": elapsed_ms},
            run.error,
        )
        run.span.end(run.error if state == "FAILURE" else None)
        fields, context = run.before
        replace_request_fields(fields)
        otel_context.attach(context)

    def revoke(self, request: Any = None, **_: Any) -> None:
        service = instance.service
        if service is not None and request is not None:
            task_id, name = getattr(request, "id", None), getattr(request, "task", None) or "task"
            service.logger.log(
                "warn",
                name,
                f"Task {name} was revoked",
                None,
                {"task": name, "task_id": task_id},
                {"state": "REVOKED"},
            )


_tasks: Final = _Tasks()


def _without_arguments(record: logging.LogRecord) -> logging.LogRecord:
    """Return a record of Celery's own loggers without the arguments of tasks."""
    adapted = copy.copy(record)
    data = record.__dict__.get("data")
    if isinstance(data, dict):
        adapted.__dict__["data"] = {
            name: value for name, value in data.items() if name not in _WITH_ARGUMENTS
        }
    if isinstance(record.args, tuple):
        hidden = _hidden_positions(record.msg)
        adapted.args = tuple(
            _NOT_LOGGED if position in hidden else _without_arguments_in(value)
            for position, value in enumerate(record.args)
        )
    return adapted


def _hidden_positions(template: object) -> tuple[int, ...]:
    """Return which values of a format are a message's body."""
    if template == "TaskPool: Apply %s (args:%s kwargs:%s)":
        return 1, 2
    consumer = sys.modules.get("celery.worker.consumer.consumer")
    for name, positions in _BODIES.items():
        if template == getattr(consumer, name, None):
            return positions
    return ()


def _without_arguments_in(value: object) -> object:
    if type(value) is dict:
        return {
            name: _NOT_LOGGED if name in _WITH_ARGUMENTS else each for name, each in value.items()
        }
    if type(value).__module__ == "celery.worker.request":
        return str(value)  # its repr has them
    return value


def _deliver(**_: Any) -> None:
    service = instance.service
    if service is not None:
        service.shutdown(service.settings.exit_timeout_seconds)
