"""``sovdev_request_id`` for code written when it had to be imported from here."""

from sovdev_logger.integrations._request import sovdev_request_id

__all__ = ["sovdev_request_id"]
