"""The outputs beside OTLP that leave the machine: what each is made of, and how it is attached."""

from dataclasses import replace
from typing import Protocol

from sovdev_logger._outputs.handler import EntryFactory, OutputHandler
from sovdev_logger._runtime.selflog import warn_once
from sovdev_logger._service.logger import SovdevLogger
from sovdev_logger._service.pipeline import Pipeline
from sovdev_logger._settings.logwell import LogwellSettings
from sovdev_logger._settings.relay import RelaySettings
from sovdev_logger._settings.service import Settings

_RELAY_BATCH_BYTES = 1024 * 1024


class _Attachment(Protocol):
    def add(self, name: str, output: OutputHandler) -> None:
        """Attach one output under a name."""


class Host(Protocol):
    """The service that outputs are attached to."""

    settings: Settings
    pipeline: Pipeline
    logger: SovdevLogger

    @property
    def attachment(self) -> _Attachment:
        """Its handlers."""

    @property
    def entry_from_record(self) -> EntryFactory:
        """Makes entries of plain records."""


# Their modules are imported here: a service without an output has no use for its libraries.


def attach_logwell(service: Host, logwell: LogwellSettings) -> None:
    """Attach the output to a Logwell server."""
    from sovdev_logger._delivery.backlog import BatchLimits  # noqa: PLC0415
    from sovdev_logger._delivery.sender import BatchSender  # noqa: PLC0415
    from sovdev_logger._outputs.logwell import exporter as logwell_http  # noqa: PLC0415
    from sovdev_logger._outputs.logwell.encoder import LogwellHandler  # noqa: PLC0415

    transport = logwell_http.logwell_transport(logwell)
    delivery = service.settings.delivery
    if logwell.queue_size is not None:
        delivery = replace(delivery, queue_max_records=logwell.queue_size)
    limits = BatchLimits(
        logwell.batch_size, logwell_http.MAX_REQUEST_BYTES, logwell.flush_interval_seconds
    )
    sender = BatchSender(
        "logwell records",
        logwell_http.LogwellExporter(transport, logwell),
        settings=delivery,
        limits=limits,
    )
    sender.start()
    service.pipeline.add(sender, transport)
    service.attachment.add("logwell", LogwellHandler(sender, service.entry_from_record))
    service.logger.finds_source = logwell.capture_source_location


def attach_relays(service: Host, relay: RelaySettings) -> None:
    """Attach an output for each relay: every one gets every entry."""
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
    from sovdev_logger._outputs.relay.encoder import RelayEncoder, RelayHandler  # noqa: PLC0415

    encoder = RelayEncoder()
    delivery = replace(service.settings.delivery, queue_max_records=relay.queue_size)
    limits = BatchLimits(relay.max_in_flight, _RELAY_BATCH_BYTES)
    for number, target in enumerate(relay.targets, 1):
        exporter = RelayExporter(target, relay)
        name = "relay" if len(relay.targets) == 1 else f"relay_{number}"
        sender = BatchSender(
            f"{name.replace('_', ' ')} entries", exporter, settings=delivery, limits=limits
        )
        sender.start()
        service.pipeline.add(sender, exporter)
        service.attachment.add(name, RelayHandler(sender, encoder, service.entry_from_record))
