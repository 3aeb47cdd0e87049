"""The module-level functions, and the one private instance behind them."""

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from sovdev_logger import signal_handlers
from sovdev_logger.context import merge_request_fields
from sovdev_logger.entry import JOB_PROGRESS, JOB_STATUS
from sovdev_logger.identifiers import new_uuid
from sovdev_logger.jobs import progress_call, status_call
from sovdev_logger.levels import SOVDEV_LOGLEVELS
from sovdev_logger.lifecycle import Service, start_service
from sovdev_logger.peers import INTERNAL, PeerServices
from sovdev_logger.safety.kinds import clean_text
from sovdev_logger.safety.sanitizer import Sanitizer
from sovdev_logger.selflog import warn_once
from sovdev_logger.settings import Settings, read_settings
from sovdev_logger.status import Status
from sovdev_logger.telemetry.spans import SovdevSpan

DEFAULT_VERSION: Final = "1.0.0"

LevelLike = SOVDEV_LOGLEVELS | str | int
"""A member of ``SOVDEV_LOGLEVELS``, its name, or what stdlib logging calls it."""


class _Holder:
    """The one instance, and how it is started; ``sovdev_logger.testing`` puts its own in place."""

    service: Service | None = None
    is_initialised = False
    start: Callable[[str, str, Mapping[str, str], Settings], Service] = staticmethod(start_service)
    lock = threading.RLock()


def sovdev_initialize(
    service_name: str,
    service_version: str = DEFAULT_VERSION,
    peer_services: Mapping[str, str] | None = None,
) -> None:
    """Start logging for this process, with the outputs that the environment asks for.

    Call it once, first thing. A second call is silently ignored and the first one stays. Prints
    nothing unless a variable cannot be used as it is. Thread safe. Registers an exit hook that
    delivers what is queued within ``SOVDEV_EXIT_TIMEOUT_SECONDS`` (default 5).

    Args:
        service_name: What the service is called in every entry; the stdlib logger of this name
            writes to the same outputs.
        service_version: Left at its default, ``SERVICE_VERSION`` of the environment is used.
        peer_services: Peer name to system id, usually ``PEER.mappings``.

    Raises:
        ValueError: ``service_name`` is blank.
        TypeError: An argument has the wrong type.

    Specification: API, sovdev_initialize.
    """
    if _Holder.is_initialised:
        return
    if not isinstance(service_name, str):
        raise TypeError(f"service_name must be a str, not {type(service_name).__name__}")
    if not service_name.strip():
        raise ValueError('service_name is blank: give the name of the service, such as "orders"')
    peers = _checked_peers(peer_services)
    with _Holder.lock:
        if not _Holder.is_initialised:
            settings = read_settings(os.environ)
            version = _version(service_version, settings.service_version)
            name = clean_text(service_name.strip())
            _Holder.service = _Holder.start(name, version, peers, settings)
            _Holder.is_initialised = True


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
    tasks, signal handlers and finalizers. Nothing that the arguments hold raises.

    Args:
        level: One of ``SOVDEV_LOGLEVELS``; an unknown one is logged as info and said once.
        function_name: The function that logs.
        message: What happened, in words.
        peer_service: The system that was talked to, such as ``PEER.BRREG``; ``PEER.INTERNAL`` or
            None for the service itself.
        input_json: What went in; any value, credentials are redacted.
        response_json: What came out; any value, credentials are redacted.
        exception: The error, if there was one.
        trace_id: Ties entries together; default is the active span's, else a fresh one.

    Raises:
        RuntimeError: ``sovdev_initialize`` was not called.

    Specification: API, sovdev_log.
    """
    service = _Holder.service
    if service is None:
        raise _not_initialised("sovdev_log")
    service.logger.log(
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
    and the keys of ``input_json``, which win; an input that is no mapping is kept as ``input``.

    Args:
        level, function_name, peer_service, trace_id: As for ``sovdev_log``.
        job_name: The job.
        status: Where it is, such as ``Started``, ``Completed`` or ``Failed``.
        input_json: More about the job.

    Raises:
        RuntimeError: ``sovdev_initialize`` was not called.

    Specification: API, sovdev_log_job_status.
    """
    service = _Holder.service
    if service is None:
        raise _not_initialised("sovdev_log_job_status")
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
    ``input_json``, which win.

    Args:
        level, function_name, peer_service, input_json, trace_id: As for ``sovdev_log``.
        item_id: What is worked on.
        current: The item's number, counted from 1.
        total: How many items there are.

    Raises:
        RuntimeError: ``sovdev_initialize`` was not called.

    Specification: API, sovdev_log_job_progress.
    """
    service = _Holder.service
    if service is None:
        raise _not_initialised("sovdev_log_job_progress")
    message, merged = progress_call(item_id, current, total, input_json, service.sanitizer)
    service.logger.log(
        level, function_name, message, peer_service, merged, None, None, trace_id, JOB_PROGRESS
    )


def sovdev_start_span(
    operation_name: str,
    attributes: Mapping[str, object] | None = None,
    *,
    peer_service: str | None = None,
) -> SovdevSpan:
    """Start a span and make it current: what is logged until its end carries its ids.

    A span started while another is active is its child. It is current in the OpenTelemetry
    context, so other instrumentation sees it; the application's tracer provider is used where one
    is set. End it with ``sovdev_end_span``, or use it in a ``with`` statement. Thread and task
    safe; raises nothing once initialised.

    Args:
        operation_name: What is done, a name with few distinct values.
        attributes: More about it; credentials are redacted.
        peer_service: The system that is called, which makes it a client span.

    Raises:
        RuntimeError: ``sovdev_initialize`` was not called.

    Specification: API, spans.
    """
    service = _Holder.service
    if service is None:
        raise _not_initialised("sovdev_start_span")
    peer = None if peer_service is None else service.logger.resolve_peer(peer_service)
    return service.spans.start(operation_name, attributes, peer)


def sovdev_end_span(span: SovdevSpan, error: BaseException | str | None = None) -> None:
    """End a span and make its parent active again; an ``error`` marks it failed.

    Ending twice, out of order, or in another thread than it was started in is harmless. Raises
    nothing.

    Args:
        span: What ``sovdev_start_span`` returned.
        error: The exception to record, or a text.

    Specification: API, spans.
    """
    given: object = span
    if isinstance(given, SovdevSpan):
        given.end(error)
    elif given is not None:
        warn_once(
            f"end-span:{type(given).__name__}",
            f"sovdev_end_span got a {type(given).__name__} and left it alone: give it what "
            "sovdev_start_span returned.",
        )


def sovdev_flush() -> None:
    """Wait until what was logged so far is delivered, or has been tried; at most 30 seconds.

    Synchronous, repeatable, and shuts nothing down. What could not be delivered is said on
    stderr. The export runs in other threads, so this is safe in a signal handler, also one that
    interrupted another flush. Before ``sovdev_initialize`` it does nothing. Raises nothing.

    Specification: API, flush and shutdown.
    """
    service = _Holder.service
    if service is not None:
        service.flush()


def sovdev_shutdown() -> None:
    """Flush, at most 30 seconds, and end telemetry for good; a second call does nothing.

    Entries that are logged later still reach the console and the files. Safe wherever
    ``sovdev_flush`` is. Before ``sovdev_initialize`` it does nothing. Raises nothing.

    Specification: API, flush and shutdown.
    """
    service = _Holder.service
    if service is not None:
        service.shutdown()


def sovdev_status() -> Status:
    """Return what became of every entry so far, output by output.

    For each output ``logged == delivered + queued + spooled + dropped + sampled_out``, at every
    moment; a forked child counts anew. Cheap, takes no lock that a logging call takes; thread and
    signal safe. Before ``sovdev_initialize`` there are no outputs. Raises nothing.

    Specification: delivery, the ledger.
    """
    service = _Holder.service
    return Status() if service is None else service.status()


def sovdev_install_signal_handlers(
    signals: Iterable[int] = signal_handlers.DEFAULT_SIGNALS,
) -> None:
    """Deliver what is queued when the program is told to end, then let it end as it would have.

    On one of ``signals``: flush within ``SOVDEV_EXIT_TIMEOUT_SECONDS``, then call the handler that
    was there before, or raise ``KeyboardInterrupt``, or die by the signal (exit status ``128 + n``
    for a shell). A second signal does not wait for the first one's flush. Nothing is installed
    without this call. Calling it again changes nothing.

    Args:
        signals: Which signals; default is SIGINT and SIGTERM.

    Raises:
        RuntimeError: ``sovdev_initialize`` was not called, or this is not the main thread.
        ValueError: Something in ``signals`` is no signal, or one that cannot be handled.

    Specification: delivery, signals.
    """
    if _Holder.service is None:
        raise _not_initialised("sovdev_install_signal_handlers")

    def flush(timeout_seconds: float | None) -> None:
        if _Holder.service is not None:
            _Holder.service.flush_in_handler(timeout_seconds)

    def shutdown(timeout_seconds: float | None) -> None:
        if _Holder.service is not None:
            _Holder.service.shutdown_in_handler(timeout_seconds)

    signal_handlers.install(signals, flush, shutdown)


def sovdev_generate_trace_id() -> str:
    """Return a new UUID v4, lower case with hyphens, to give to several calls as ``trace_id``.

    Its 32 hex digits are the OpenTelemetry trace id of those entries. Works before
    ``sovdev_initialize``; thread and signal safe.

    Specification: API, sovdev_generate_trace_id.
    """
    return new_uuid()


def sovdev_set_context(
    *,
    client_name: str | None = None,
    service_principal: str | None = None,
    acting_user: str | None = None,
) -> None:
    """Say for whom this task or thread works; each later entry in it carries the names.

    Merges into what is set: None leaves a field as it is, an empty string removes it. Tasks and
    threads that copy this context start with it, and what they set stays theirs. Works before
    ``sovdev_initialize``. Raises nothing.

    Args:
        client_name: The calling system.
        service_principal: The identity that the caller authenticated with.
        acting_user: The person it acts for.

    Specification: API, context.
    """
    service = _Holder.service
    sanitizer = service.sanitizer if service else Sanitizer()
    given = {
        "client_name": client_name,
        "service_principal": service_principal,
        "acting_user": acting_user,
    }
    merge_request_fields(
        {name: None if value is None else sanitizer.text(value) for name, value in given.items()}
    )


def _not_initialised(function: str) -> RuntimeError:
    return RuntimeError(
        f"{function} was called before sovdev_initialize: call "
        'sovdev_initialize("your-service") once when the program starts'
    )


def _checked_peers(peer_services: Mapping[str, str] | None) -> dict[str, str]:
    if peer_services is None:
        return {}
    if isinstance(peer_services, PeerServices):
        return peer_services.mappings
    if not isinstance(peer_services, Mapping):
        raise TypeError(
            "peer_services must be a mapping of names to system ids, such as PEER.mappings, not "
            f"{type(peer_services).__name__}"
        )
    peers = {
        clean_text(str(name)): clean_text(str(system_id)).strip()
        for name, system_id in peer_services.items()
    }
    for name in [name for name, system_id in peers.items() if name == INTERNAL or not system_id]:
        warn_once(
            f"peers:{name}",
            f"peer service {name!r} is left out: INTERNAL is always the service itself, and "
            "every other peer needs a system id.",
        )
        del peers[name]
    return peers


def _version(argument: str, from_environment: str | None) -> str:
    if argument == DEFAULT_VERSION and from_environment:
        return from_environment
    return clean_text(str(argument)).strip() or DEFAULT_VERSION
