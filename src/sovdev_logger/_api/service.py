"""Public functions that start, flush, stop and inspect the service."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from sovdev_logger._entry.peers import INTERNAL, PeerServices
from sovdev_logger._runtime import signal_handlers
from sovdev_logger._runtime.selflog import warn_once
from sovdev_logger._service.instance import instance

if TYPE_CHECKING:
    from sovdev_logger._delivery.status import Status
    from sovdev_logger._settings.service import Settings


class _Default(str):
    """A text whose one instance stands for an argument that was not given."""

    __slots__ = ()


DEFAULT_VERSION: Final[str] = _Default("1.0.0")
"""Signatures show it as ``'1.0.0'``; a caller's own "1.0.0" is another object, and counts."""


def sovdev_initialize(
    service_name: str,
    service_version: str | None = DEFAULT_VERSION,
    peer_services: Mapping[str, str] | None = None,
    *,
    redact: Callable[[str, Any], object] | None = None,
) -> None:
    """Start logging in this process, with the outputs that the environment configures.

    Call it once, first thing; further calls are silently ignored. Prints nothing, unless a variable
    has an unusable value. Thread safe. Registers an exit hook that delivers queued entries within
    ``SOVDEV_EXIT_TIMEOUT_SECONDS`` (default 5).

    Args:
        service_name: The name in every entry; the stdlib logger of this name writes to the same
            outputs.
        service_version: If it is not given, None or blank: ``SERVICE_VERSION`` of the environment,
            else ``service.version`` of ``OTEL_RESOURCE_ATTRIBUTES``, else "1.0.0".
        peer_services: Peer name to system id, usually ``PEER.mappings``.
        redact: Called with the path of each value, such as ``input_json.customer.name``, and the
            value, a text or number; returns the value, or what to write instead. If it raises,
            the value is replaced by ``[REDACTED]``, with one warning. It must not block.

    Raises:
        ValueError: ``service_name`` is blank.
        TypeError: An argument has the wrong type.

    Specification: API, sovdev_initialize.
    """
    start_service_of_process(service_name, service_version, peer_services, os.environ, redact)


def start_service_of_process(
    service_name: str,
    service_version: str | None,
    peer_services: Mapping[str, str] | None,
    environ: Mapping[str, str],
    redact: Callable[[str, Any], object] | None = None,
) -> None:
    """Do what ``sovdev_initialize`` does, with the variables of ``environ``."""
    if instance.is_initialised:
        return
    if not isinstance(service_name, str):
        raise TypeError(f"service_name must be a str, not {type(service_name).__name__}")
    if not service_name.strip():
        raise ValueError('service_name is blank: give the name of the service, such as "orders"')
    if redact is not None and not callable(redact):
        raise TypeError(
            "redact must be a function of a path and a value that returns the value or its "
            f"replacement, not {type(redact).__name__}"
        )
    peers = _checked_peers(peer_services)
    with instance.lock:
        if not instance.is_initialised:
            # Imported on first use, as in instance.py.
            from sovdev_logger._safety.json_values import clean_text  # noqa: PLC0415
            from sovdev_logger._safety.own_rules import Rules  # noqa: PLC0415
            from sovdev_logger._settings.service import read_settings  # noqa: PLC0415

            settings = read_settings(environ)
            if redact is not None:
                own_rules = replace(settings.own_rules or Rules(), function=redact)
                settings = replace(settings, own_rules=own_rules)
            version = clean_text(chosen_version(service_version, settings))
            name = clean_text(service_name.strip())
            instance.service = instance.start(name, version, peers, settings)
            instance.is_initialised = True


def sovdev_flush() -> None:
    """Wait until everything logged so far was delivered or tried, at most 30 seconds.

    Synchronous and repeatable. Warns on stderr about entries that could not be delivered. The
    export runs in other threads, so this is safe in a signal handler, even one that interrupted
    another flush. Does nothing before ``sovdev_initialize``. Never raises.

    Specification: API, flush and shutdown.
    """
    service = instance.service
    if service is not None:
        service.flush()


def sovdev_shutdown() -> None:
    """Flush, at most 30 seconds, and end telemetry for good; a second call does nothing.

    Entries that are logged later still reach the console and the files. Safe wherever
    ``sovdev_flush`` is. Does nothing before ``sovdev_initialize``. Never raises.

    Specification: API, flush and shutdown.
    """
    service = instance.service
    if service is not None:
        service.shutdown()


def sovdev_status() -> "Status":
    """Return the fate of every entry so far, output by output.

    For each output ``logged == delivered + queued + spooled + dropped + sampled_out``, at every
    moment; a forked child starts from zero. Cheap, and takes no lock that a logging call takes;
    thread and signal safe. Before ``sovdev_initialize`` there are no outputs. Never raises.

    Specification: delivery, the ledger.
    """
    service = instance.service
    if service is not None:
        return service.status()
    from sovdev_logger._delivery.status import Status  # noqa: PLC0415

    return Status()


def sovdev_install_signal_handlers(
    signals: Iterable[int] = signal_handlers.DEFAULT_SIGNALS,
) -> None:
    """Deliver queued entries when a signal ends the program, then let it end as it would have.

    On one of ``signals``: flush within ``SOVDEV_EXIT_TIMEOUT_SECONDS``, then call the handler that
    was there before, or raise ``KeyboardInterrupt``, or die by the signal (exit status ``128 + n``
    for a shell). A second signal does not wait for the first one's flush. Nothing is installed
    without this call. Calling it again changes nothing.

    Args:
        signals: Which signals; default is SIGINT and SIGTERM.

    Raises:
        RuntimeError: ``sovdev_initialize`` was not called, or this is not the main thread.
        ValueError: A member of ``signals`` is not a signal, or one that cannot be handled.

    Specification: delivery, signals.
    """
    instance.required_by("sovdev_install_signal_handlers")
    signal_handlers.install(signals, flush_in_handler, shutdown_in_handler)


def flush_in_handler(timeout_seconds: float | None) -> None:
    """Flush the service, if there is one, within the exit's deadline or a shorter one."""
    if instance.service is not None:
        instance.service.flush_in_handler(timeout_seconds)


def shutdown_in_handler(timeout_seconds: float | None) -> None:
    """End the service, if there is one, within the exit's deadline or a shorter one."""
    if instance.service is not None:
        instance.service.shutdown_in_handler(timeout_seconds)


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
    from sovdev_logger._safety.json_values import clean_text  # noqa: PLC0415

    peers = {
        clean_text(str(name)): "" if system_id is None else clean_text(str(system_id)).strip()
        for name, system_id in peer_services.items()
    }
    for name in [name for name, system_id in peers.items() if name == INTERNAL or not system_id]:
        warn_once(
            f"peers:{name}",
            f"peer service {name!r} is ignored: INTERNAL is always the service itself, and "
            "every other peer needs a system id.",
        )
        del peers[name]
    return peers


def chosen_version(argument: str | None, settings: "Settings") -> str:
    """Return the service's version: the argument if it was given, else what the environment says.

    None and blank are not given, nor is ``DEFAULT_VERSION`` itself.
    """
    is_given = argument is not None and argument is not DEFAULT_VERSION
    return (
        (str(argument).strip() if is_given else "")
        or settings.service_version
        or settings.otlp.resource_attributes.get("service.version", "").strip()
        or str(DEFAULT_VERSION)
    )
