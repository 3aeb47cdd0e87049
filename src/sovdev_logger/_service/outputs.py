"""Builds every output that the settings ask for: handler, sender and exporter.

Nothing here starts a thread or attaches a handler. An output's modules are imported when it is
built: a service without an output has no use for its libraries.
"""

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from sovdev_logger._delivery.otlp_resource import Resource
from sovdev_logger._outputs.console import ConsoleHandler
from sovdev_logger._outputs.handler import EntryFactory, OutputHandler
from sovdev_logger._outputs.json_file import JsonFileHandler
from sovdev_logger._runtime.selflog import warn_once
from sovdev_logger._service.senders import FlushableSender
from sovdev_logger._settings.service import Settings
from sovdev_logger._telemetry.app_providers import ApplicationProvider, application_logger_provider

if TYPE_CHECKING:
    from sovdev_logger._delivery.sender import BatchSender
    from sovdev_logger._outputs.remote_handler import Encoder
    from sovdev_logger._settings.delivery import DeliverySettings
    from sovdev_logger._settings.logwell import LogwellSettings
    from sovdev_logger._settings.relay import RelaySettings

_RELAY_BATCH_BYTES = 1024 * 1024


class Output(NamedTuple):
    """One output of a service.

    Attributes:
        name: What ``sovdev_status`` calls it.
        handler: Writes entries, or encodes them for the sender.
        sender: Delivers them; None for an output on this machine.
    """

    name: str
    handler: OutputHandler
    sender: FlushableSender | None = None


def build_outputs(
    settings: Settings, resource: Resource, entry_from_record: EntryFactory
) -> Iterator[Output]:
    """Yield the configured outputs, most reliable first.

    Args:
        settings: What the environment asks for.
        resource: Describes the service to the collector.
        entry_from_record: Makes entries of records from plain logging.
    """
    if settings.file is not None:
        yield Output("file", JsonFileHandler(settings.file, entry_from_record))
    if settings.error_file is not None:
        errors = JsonFileHandler(settings.error_file, entry_from_record, logging.ERROR)
        yield Output("error_file", errors)
    yield from _otlp_logs(settings, resource, entry_from_record)
    if settings.logwell is not None:
        yield _logwell(settings.logwell, settings.delivery, entry_from_record)
    if settings.relay is not None:
        yield from _relays(settings.relay, settings.delivery, entry_from_record)
    if settings.console:
        console = ConsoleHandler(entry_from_record, as_json=settings.console_json)
        yield Output("console", console)


def _otlp_logs(
    settings: Settings, resource: Resource, entry_from_record: EntryFactory
) -> Iterator[Output]:
    """Yield the application's own logger provider if it has set one, else our OTLP output."""
    provider = application_logger_provider()
    if provider is not None:
        from sovdev_logger._outputs.logs_api import LogsApiHandler  # noqa: PLC0415

        name = resource.identity.service_name
        handler = LogsApiHandler(provider, name, entry_from_record)
        yield Output("otlp_logs", handler, ApplicationProvider(provider))
    elif settings.otlp.logs is not None:
        from sovdev_logger._delivery.sender import BatchSender  # noqa: PLC0415
        from sovdev_logger._outputs.otlp.encoder import OtlpEncoder  # noqa: PLC0415
        from sovdev_logger._outputs.otlp.exporter import OtlpExporter  # noqa: PLC0415

        exporter = OtlpExporter(settings.otlp.logs, resource.log_context)
        sender = BatchSender("log entries", exporter, settings=settings.delivery)
        yield _remote("otlp_logs", sender, OtlpEncoder(), entry_from_record)


def _logwell(
    logwell: "LogwellSettings", delivery: "DeliverySettings", entry_from_record: EntryFactory
) -> Output:
    from sovdev_logger._delivery.backlog import BatchLimits  # noqa: PLC0415
    from sovdev_logger._delivery.sender import BatchSender  # noqa: PLC0415
    from sovdev_logger._outputs.logwell.encoder import LogwellEncoder  # noqa: PLC0415
    from sovdev_logger._outputs.logwell.exporter import (  # noqa: PLC0415
        MAX_REQUEST_BYTES,
        LogwellExporter,
    )

    if logwell.queue_size is not None:
        delivery = replace(delivery, queue_max_records=logwell.queue_size)
    limits = BatchLimits(logwell.batch_size, MAX_REQUEST_BYTES, logwell.flush_interval_seconds)
    exporter = LogwellExporter(logwell)
    sender = BatchSender("logwell records", exporter, settings=delivery, limits=limits)
    return _remote("logwell", sender, LogwellEncoder(), entry_from_record)


def _relays(
    relay: "RelaySettings", delivery: "DeliverySettings", entry_from_record: EntryFactory
) -> Iterator[Output]:
    """Yield an output for each relay: every one gets every entry."""
    try:
        from sovdev_logger._outputs.relay.exporter import RelayExporter  # noqa: PLC0415
    except ImportError as error:
        warn_once(
            "relay:extra",
            f"the output to the relay needs the extra relay ({error}): install "
            "sovdev-logger[relay]; the other outputs work.",
        )
        return
    from sovdev_logger._delivery.backlog import BatchLimits  # noqa: PLC0415
    from sovdev_logger._delivery.sender import BatchSender  # noqa: PLC0415
    from sovdev_logger._outputs.relay.encoder import RelayEncoder  # noqa: PLC0415

    encoder = RelayEncoder()
    delivery = replace(delivery, queue_max_records=relay.queue_size)
    limits = BatchLimits(relay.max_in_flight, _RELAY_BATCH_BYTES)
    for number, target in enumerate(relay.targets, 1):
        name = "relay" if len(relay.targets) == 1 else f"relay_{number}"
        items = f"{name.replace('_', ' ')} entries"
        exporter = RelayExporter(target, relay)
        sender = BatchSender(items, exporter, settings=delivery, limits=limits)
        yield _remote(name, sender, encoder, entry_from_record)


def _remote(
    name: str, sender: "BatchSender", encoder: "Encoder", entry_from_record: EntryFactory
) -> Output:
    from sovdev_logger._outputs.remote_handler import RemoteHandler  # noqa: PLC0415

    return Output(name, RemoteHandler(sender, encoder, entry_from_record), sender)
