"""Celery: the trace travels with the task, and each outcome is an entry."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry.trace import SpanKind

from sovdev_logger._api.service import DEFAULT_VERSION, sovdev_initialize
from sovdev_logger._entry.context import replace_request_fields, request_fields
from sovdev_logger._entry.stdlib_records import mark_as_logged
from sovdev_logger._service.instance import instance
from sovdev_logger._telemetry.spans import extract, inject
from sovdev_logger.integrations._request import say_resolver, set_request_identity
from sovdev_logger.integrations.stdlib import count_sampled_out, sovdev_capture_logging

_LEVELS: Final = {"SUCCESS": "info", "RETRY": "warn", "IGNORED": "info", "REJECTED": "warn"}
_WORDS: Final = {
    "SUCCESS": "succeeded",
    "RETRY": "is retried",
    "FAILURE": "failed",
    "IGNORED": "was ignored",
    "REJECTED": "was rejected",
}


def configure_celery(
    app: Any,
    service_name: str | None = None,
    service_version: str = DEFAULT_VERSION,
    peer_services: Mapping[str, str] | None = None,
    *,
    resolver: Callable[[Any], Any] | None = None,
    capture_level: str | None = "info",
) -> None:
    """Set up a Celery application in one line, in its workers and where tasks are sent.

    Initialises the logger, unless that was done. Sending a task passes the active trace on. Each
    run of a task has a span, a fresh context and one entry at its end: succeeded (info), retried
    (warn, with the reason), failed (error, with the exception). Arguments are not logged. Worker
    processes have a session and queue of their own and deliver before they end.

    Args:
        app: The application.
        service_name: Left out, the application's ``main``.
        service_version, peer_services: As for ``sovdev_initialize``.
        resolver: Gets the task and returns a mapping with ``client_name``, ``service_principal``,
            ``acting_user``.
        capture_level: From which level the records of stdlib loggers are taken, after Celery has
            set up logging; None for none.

    Raises:
        ValueError: There is no service name.
        ImportError: The extra ``celery`` is missing.

    Specification: integrations, Celery.
    """
    try:
        from celery import signals  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ImportError("Celery is missing: install sovdev-logger[celery]") from error
    name = service_name or getattr(app, "main", None)
    if not name:
        raise ValueError("service_name is missing: the application has no name to use instead")
    sovdev_initialize(name, service_version, peer_services)
    _Tasks.resolver = resolver
    # What became of a task is told by our entry.
    count_sampled_out("celery.app.trace", lambda record: record.levelno <= logging.INFO)

    def capture(**_: Any) -> None:
        if capture_level is not None:
            sovdev_capture_logging(capture_level)

    for signal, receiver in (
        (signals.before_task_publish, _Tasks.publish),
        (signals.task_prerun, _Tasks.begin),
        (signals.task_retry, _Tasks.note_retry),
        (signals.task_failure, _Tasks.note_failure),
        (signals.task_postrun, _Tasks.end),
        (signals.task_revoked, _Tasks.revoke),
        (signals.worker_process_shutdown, _deliver),
        (signals.worker_shutdown, _deliver),
        (signals.after_setup_logger, capture),
    ):
        signal.connect(receiver, weak=False, dispatch_uid=f"sovdev-{receiver.__name__}")


class _Run:
    """One run of a task: what was before it, and what becomes of it."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.started = time.perf_counter()
        self.before = request_fields(), otel_context.get_current()
        self.span: Any = None


class _Tasks:
    """What happens at Celery's signals. Nothing here raises into Celery, which would log it."""

    running: dict[str, _Run] = {}  # noqa: RUF012 - one worker process, one table
    resolver: Callable[[Any], Any] | None = None

    @staticmethod
    def publish(headers: dict[str, Any] | None = None, **_: Any) -> None:
        if headers is not None:
            inject(headers)

    @staticmethod
    def begin(task_id: str = "", task: Any = None, **_: Any) -> None:
        service = instance.service
        if service is None:
            return
        run = _Tasks.running[task_id] = _Run()
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
        if _Tasks.resolver is not None:
            try:
                set_request_identity(_Tasks.resolver(task))
            except Exception as error:  # noqa: BLE001 - it is the application's
                say_resolver(error)

    @staticmethod
    def note_retry(request: Any = None, reason: Any = None, **_: Any) -> None:
        run = _Tasks.running.get(getattr(request, "id", ""))
        cause = getattr(reason, "exc", None) or reason
        if run is not None and isinstance(cause, BaseException):
            run.error = cause

    @staticmethod
    def note_failure(task_id: str = "", exception: BaseException | None = None, **_: Any) -> None:
        run = _Tasks.running.get(task_id)
        if exception is not None:
            if run is not None:
                run.error = exception
            mark_as_logged(exception)  # by the entry; Celery logs it, too

    @staticmethod
    def end(task_id: str = "", task: Any = None, state: str | None = None, **_: Any) -> None:
        run, service = _Tasks.running.pop(task_id, None), instance.service
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

    @staticmethod
    def revoke(request: Any = None, **_: Any) -> None:
        service = instance.service
        if service is not None and request is not None:
            task_id, name = getattr(request, "id", None), getattr(request, "task", None) or "task"
            given = {"task": name, "task_id": task_id}
            service.logger.log(
                "warn", name, f"Task {name} was revoked", None, given, {"state": "REVOKED"}
            )


def _deliver(**_: Any) -> None:
    service = instance.service
    if service is not None:
        service.shutdown(service.settings.exit_timeout_seconds)
