"""A client for Logwell, for those who want only that.

    from sovdev_logger.logwell import Logwell

    with Logwell(api_key="lw_…", endpoint="https://logwell.example", service="orders") as logwell:
        logwell.info("order placed", {"order_id": 17})

A service that uses ``sovdev_log`` needs none: ``LOGWELL_ENDPOINT`` and ``LOGWELL_API_KEY`` switch
the output on.
"""

from sovdev_logger.logwell.client import Logwell
from sovdev_logger.logwell.errors import LogwellError

__all__ = ["Logwell", "LogwellError"]
