"""The resource that logs, traces and metrics carry (specification: OTLP)."""

from collections.abc import Mapping

from sovdev_logger._delivery.otlp_messages import make_context
from sovdev_logger._entry.entry import Identity
from sovdev_logger._settings.otlp import OtlpSettings


class Resource:
    """Describes this process to the collector; every exporter of the process shares it.

    Attributes:
        identity: The service and its session.
        attributes: For the SDK's providers.
        context: Resource and scope as bytes, for items that are encoded here.
    """

    identity: Identity
    attributes: Mapping[str, str]
    context: bytes

    def __init__(self, identity: Identity, settings: OtlpSettings) -> None:
        self._settings = settings
        self.describe(identity)

    def describe(self, identity: Identity) -> None:
        """Describe another identity: a forked child has a session of its own."""
        self.identity = identity
        self.attributes = {
            **self._settings.resource_attributes,
            "service.name": identity.service_name,
            "service.version": identity.service_version,
            "deployment.environment.name": self._settings.deployment_environment,
            "session_id": identity.session_id,
        }
        self.context = make_context(self.attributes, identity.service_name)
