"""For tests of code that logs: capture entries, without files, network or leftovers.

    from sovdev_logger.testing import capture

    def test_a_lookup_is_logged():
        with capture() as logged:
            look_up("971277882")
        assert logged.messages == ["Looking up company 971277882"]

With pytest the fixture ``sovdev_capture`` is there as soon as the package is installed.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from opentelemetry import context as otel_context

from sovdev_logger._api.service import DEFAULT_VERSION, chosen_version
from sovdev_logger._entry.context import replace_request_fields, request_fields
from sovdev_logger._entry.entry import Entry, Identity
from sovdev_logger._entry.identifiers import new_uuid
from sovdev_logger._outputs.handler import EntryFactory, OutputHandler
from sovdev_logger._runtime import selflog
from sovdev_logger._service.instance import instance
from sovdev_logger._service.service import Service
from sovdev_logger._settings.service import Settings

DEFAULT_SERVICE_NAME: Final = "test-service"

EntryFields = dict[str, Any]
"""One entry as the file would hold it, parsed."""


class Captured:
    """The entries that were logged inside ``capture()``, in order.

    Attributes:
        entries: Each entry as a dict with the fields of the file's line.
    """

    def __init__(self) -> None:
        self.entries: list[EntryFields] = []

    @property
    def messages(self) -> list[str]:
        """The messages alone."""
        return [entry["message"] for entry in self.entries]

    def find(self, **fields: object) -> list[EntryFields]:
        """Return the entries whose fields have these values, such as ``level="error"``."""
        return [
            entry
            for entry in self.entries
            if all(name in entry and entry[name] == value for name, value in fields.items())
        ]

    def one(self, **fields: object) -> EntryFields:
        """Return the only entry with these fields.

        Raises:
            AssertionError: There is none, or more than one; the message lists all entries.
        """
        matches = self.find(**fields)
        if len(matches) != 1:
            logged = "\n".join(f"  {entry['level']}: {entry['message']}" for entry in self.entries)
            raise AssertionError(
                f"{len(matches)} entries have {fields!r}, expected one; logged were:\n{logged}"
            )
        return matches[0]

    def clear(self) -> None:
        """Forget the entries captured so far."""
        self.entries.clear()


class _CaptureHandler(OutputHandler):
    def __init__(self, captured: Captured, entry_from_record: EntryFactory) -> None:
        super().__init__(entry_from_record)
        self._captured = captured

    def write(self, entry: Entry) -> None:
        self._captured.entries.append(json.loads(entry.line()))

    def report(self, error: Exception) -> str:
        raise error


class _Recorder:
    """Starts services that write into one ``Captured`` and nowhere else."""

    def __init__(self, captured: Captured) -> None:
        self._captured = captured
        self._services: list[Service] = []

    def start(
        self, service_name: str, version: str, peers: Mapping[str, str], settings: Settings
    ) -> Service:
        identity = Identity(service_name, version, new_uuid())
        service = Service(identity, peers, Settings(console=False, own_rules=settings.own_rules))
        service.attachment.set_others_aside()
        service.attachment.add(
            "capture", _CaptureHandler(self._captured, service.entry_from_record)
        )
        self._services.append(service)
        return service

    def stop(self) -> None:
        for service in reversed(self._services):
            service.attachment.remove()


@contextmanager
def capture(
    service_name: str = DEFAULT_SERVICE_NAME,
    service_version: str | None = DEFAULT_VERSION,
    peer_services: Mapping[str, str] | None = None,
) -> Iterator[Captured]:
    """Capture what is logged inside the ``with`` block, instead of writing it anywhere.

    Code may log without having initialised; if it calls ``sovdev_initialize`` itself, its names
    and peers are used. Afterwards everything is restored: the service that was initialised before,
    its outputs, the request context and the active span. For one test at a time in a process.

    Args:
        service_name, service_version, peer_services: As for ``sovdev_initialize``, for code that
            does not call it.
    """
    captured = Captured()
    recorder = _Recorder(captured)
    before = (instance.service, instance.is_initialised, instance.start)
    request_before, spans_before = request_fields(), otel_context.get_current()
    selflog.reset()
    replace_request_fields(None)
    otel_context.attach(otel_context.Context())
    instance.start = recorder.start
    instance.is_initialised = False
    settings = Settings()
    version = chosen_version(service_version, settings)
    instance.service = recorder.start(service_name, version, dict(peer_services or {}), settings)
    try:
        yield captured
    finally:
        recorder.stop()
        instance.service, instance.is_initialised = before[:2]
        instance.start = before[2]
        replace_request_fields(request_before)
        otel_context.attach(spans_before)
        selflog.reset()
