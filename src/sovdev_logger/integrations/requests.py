"""The request id, under the name of this module's first versions."""

from sovdev_logger.integrations._request import sovdev_request_id

__all__ = ["sovdev_request_id"]
