"""A handler of AWS Lambda or Cloud Functions: what is logged is delivered before the freeze.

pip install ".[fast]"
python examples/lambda_handler.py
"""

import sovdev_logger as log
from sovdev_logger.integrations.serverless import sovdev_serverless

log.sovdev_initialize("orders")


@sovdev_serverless
def handler(event: dict[str, int], _context: object = None) -> dict[str, int]:
    """Answer one event."""
    log.sovdev_log("info", "handler", "Order received", None, event)
    return {"status": 200}


if __name__ == "__main__":
    print(handler({"order": 17}))
