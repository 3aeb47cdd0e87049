"""The resource that logs, traces and metrics carry (specification: OTLP)."""

import os
from collections.abc import Mapping
from typing import Final

from sovdev_logger._delivery.otlp_messages import make_context
from sovdev_logger._entry.entry import Identity
from sovdev_logger._runtime.worker_process import is_worker_process
from sovdev_logger._settings.otlp import OtlpSettings

INSTANCE: Final = "service.instance.id"


class Resource:
    """Describes this process to the collector; every exporter of the process shares it.

    On traces and metrics each process is an instance of its own. Logs carry the instance only
    where the environment gives one: Loki makes a stream of each, and the session id says as much.

    Attributes:
        identity: The service and its session.
        attributes: Of traces and metrics.
    """

    identity: Identity
    attributes: Mapping[str, str]

    def __init__(self, identity: Identity, settings: OtlpSettings) -> None:
        self._settings = settings
        self._given_instance = settings.resource_attributes.get(INSTANCE, "").strip()
        self._process_id = os.getpid()
        self.describe(identity)

    def describe(self, identity: Identity) -> None:
        """Describe another identity: a forked child has a session of its own."""
        self.identity = identity
        of_service = {
            **self._settings.resource_attributes,
            "service.name": identity.service_name,
            "service.version": identity.service_version,
            "deployment.environment.name": self._settings.deployment_environment,
            "session_id": identity.session_id,
        }
        of_service.pop(INSTANCE, None)
        of_logs = {INSTANCE: self._given_instance} if self._given_instance else {}
        self.attributes = {**of_service, INSTANCE: self._instance()}
        self._log_context = make_context({**of_service, **of_logs}, identity.service_name)
        self._span_context = make_context(self.attributes, identity.service_name)

    def log_context(self) -> bytes:
        """Return resource and scope around log records."""
        return self._log_context

    def span_context(self) -> bytes:
        """Return resource and scope around spans."""
        return self._span_context

    def _instance(self) -> str:
        if not self._given_instance:
            return self.identity.session_id
        process_id = os.getpid()
        # The environment gives all workers of a server the same id, and counters need one each.
        if process_id != self._process_id or is_worker_process():
            return f"{self._given_instance}/{process_id}"
        return self._given_instance
