"""Public functions that log entries and jobs, start spans and set the context."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sovdev_logger._entry.context import merge_request_fields
from sovdev_logger._entry.identifiers import new_trace_uuid
from sovdev_logger._entry.jobs import progress_call, status_call
from sovdev_logger._entry.levels import SOVDEV_LOGLEVELS, STDLIB_NUMBERS
from sovdev_logger._entry.log_types import JOB_PROGRESS, JOB_STATUS
from sovdev_logger._runtime.selflog import warn_once
from sovdev_logger._service.instance import instance

if TYPE_CHECKING:
    from sovdev_logger._telemetry.spans import SovdevSpan

LevelLike = SOVDEV_LOGLEVELS | str | int
"""A member of ``SOVDEV_LOGLEVELS``, its name, or what stdlib logging calls it."""


def sovdev_log(
    level: LevelLike,
    function_name: str,
    message: str,
    peer_service: str | None,
    input_json: object = None,
    response_json: object = None,
    exception: BaseException | None = None,
    trace_id: str | None = None,
) -> None:
    """Log one transaction: on the console, in the file, over OTLP, in metrics and in the trace.

    The file has the entry before this returns; nothing here waits for a network. Safe in threads,
    tasks, signal handlers and finalizers. Never raises because of an argument.

    Args:
        level: One of ``SOVDEV_LOGLEVELS``; an unknown one is logged as info, with one warning.
        function_name: The calling function.
        message: What happened, in words.
        peer_service: The system that was called, such as ``PEER.BRREG``; ``PEER.INTERNAL`` or
            None for the service itself.
        input_json: The input; any value, credentials are redacted.
        response_json: The response; any value, credentials are redacted.
        exception: The error, if there was one.
        trace_id: Correlates entries; default is the active span's, else a new one.

    Raises:
        RuntimeError: ``sovdev_initialize`` was not called.

    Specification: API, sovdev_log.
    """
    service = instance.service
    if service is None:
        service = instance.required_by("sovdev_log")
    logger = service.logger
    try:
        if not logger.wanted_levels[STDLIB_NUMBERS[level]]:
            return
    except Exception:  # noqa: BLE001, S110 - level not cached yet, or unusual: logger.log handles both
        pass
    logger.log(
        level,
        function_name,
        message,
        peer_service,
        input_json,
        response_json,
        exception,
        trace_id,
    )


def sovdev_log_job_status(
    level: LevelLike,
    function_name: str,
    job_name: str,
    status: str,
    peer_service: str | None,
    input_json: object = None,
    trace_id: str | None = None,
) -> None:
    """Log that a job reached a status, as ``Job {status}: {job_name}``.

    The entry's ``log_type`` is ``job.status``, and its input holds ``job_name``, ``job_status``
    and the keys of ``input_json``, which take precedence; an input that is not a mapping is kept as
    ``input``.

    Args:
        level, function_name, peer_service, trace_id: As for ``sovdev_log``.
        job_name: The job.
        status: Its status, such as ``Started``, ``Completed`` or ``Failed``.
        input_json: More about the job.

    Raises:
        RuntimeError: ``sovdev_initialize`` was not called.

    Specification: API, sovdev_log_job_status.
    """
    service = instance.required_by("sovdev_log_job_status")
    message, merged = status_call(job_name, status, input_json, service.sanitizer)
    service.logger.log(
        level, function_name, message, peer_service, merged, None, None, trace_id, JOB_STATUS
    )


def sovdev_log_job_progress(
    level: LevelLike,
    function_name: str,
    item_id: object,
    current: float,
    total: float,
    peer_service: str | None,
    input_json: object = None,
    trace_id: str | None = None,
) -> None:
    """Log that a job works on an item, as ``Processing {item_id} ({current}/{total})``.

    The entry's ``log_type`` is ``job.progress``, and its input holds ``job_name``
    (``BatchProcessing``), ``item_id``, ``current_item``, ``total_items``,
    ``progress_percentage`` (whole, rounded half up, 0 for a total of 0) and the keys of
    ``input_json``, which take precedence.

    Args:
        level, function_name, peer_service, input_json, trace_id: As for ``sovdev_log``.
        item_id: The item.
        current: The item's number, counted from 1.
        total: How many items there are.

    Raises:
        RuntimeError: ``sovdev_initialize`` was not called.

    Specification: API, sovdev_log_job_progress.
    """
    service = instance.required_by("sovdev_log_job_progress")
    message, merged = progress_call(item_id, current, total, input_json, service.sanitizer)
    service.logger.log(
        level, function_name, message, peer_service, merged, None, None, trace_id, JOB_PROGRESS
    )


def sovdev_start_span(
    operation_name: str,
    attributes: Mapping[str, object] | None = None,
    *,
    peer_service: str | None = None,
) -> "SovdevSpan":
    """Start a span and make it current: what is logged until its end carries its ids.

    A span started while another is active is its child. It is current in the OpenTelemetry
    context, so other instrumentation sees it; the application's tracer provider is used where one
    is set. End it with ``sovdev_end_span``, or use it in a ``with`` statement. Thread and task
    safe; never raises once initialised.

    Args:
        operation_name: The operation, a name with few distinct values.
        attributes: Details; credentials are redacted.
        peer_service: The system that is called, which makes it a client span.

    Raises:
        RuntimeError: ``sovdev_initialize`` was not called.

    Specification: API, spans.
    """
    service = instance.required_by("sovdev_start_span")
    peer = None if peer_service is None else service.logger.resolve_peer(peer_service)
    return service.spans.start(operation_name, attributes, peer)


def sovdev_end_span(span: "SovdevSpan", error: BaseException | str | None = None) -> None:
    """End a span and make its parent active again; an ``error`` marks it failed.

    Ending it twice, out of order, or in another thread is harmless. Never raises.

    Args:
        span: What ``sovdev_start_span`` returned.
        error: The exception to record, or a text.

    Specification: API, spans.
    """
    from sovdev_logger._telemetry.spans import SovdevSpan  # noqa: PLC0415 - there if a span is

    handle: object = span
    if isinstance(handle, SovdevSpan):
        handle.end(error)
    elif handle is not None:
        warn_once(
            f"end-span:{type(handle).__name__}",
            f"sovdev_end_span ignored a {type(handle).__name__}: pass it what sovdev_start_span "
            "returned.",
        )


def sovdev_generate_trace_id() -> str:
    """Return a new UUID v4, lower case with hyphens, to pass to several calls as ``trace_id``.

    Its 32 hex digits are the OpenTelemetry trace id of those entries. Works before
    ``sovdev_initialize``; thread and signal safe.

    Specification: API, sovdev_generate_trace_id.
    """
    return new_trace_uuid()


def sovdev_set_context(
    *,
    client_name: str | None = None,
    service_principal: str | None = None,
    acting_user: str | None = None,
) -> None:
    """Set the identities that later entries of this task or thread carry.

    None leaves a field as it is, an empty string removes it. Tasks and threads that copy this
    context start with its fields, and their changes stay in them. Works before
    ``sovdev_initialize``. Never raises.

    Args:
        client_name: The calling system.
        service_principal: The identity that the caller authenticated with.
        acting_user: The person it acts for.

    Specification: API, context.
    """
    service = instance.service
    if service is not None:
        sanitizer = service.sanitizer
    else:
        from sovdev_logger._safety.sanitizer import Sanitizer  # noqa: PLC0415

        sanitizer = Sanitizer()
    identities = {
        "client_name": client_name,
        "service_principal": service_principal,
        "acting_user": acting_user,
    }
    merge_request_fields(
        {
            name: None if value is None else sanitizer.text(value, name)
            for name, value in identities.items()
        }
    )
