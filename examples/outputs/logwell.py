"""A service that logs to a Logwell server; the server is a small one of the examples' own.

python examples/outputs/logwell.py
"""

import os

import small_logwell

import sovdev_logger as log


def main() -> None:
    """Log three entries, and wait until they are delivered."""
    os.environ["LOGWELL_ENDPOINT"] = small_logwell.start()
    os.environ["LOGWELL_API_KEY"] = small_logwell.KEY

    log.sovdev_initialize("payments")
    log.sovdev_log("info", "main", "Service started", None)
    log.sovdev_log("warn", "pay", "Card is about to expire", None, {"card": "visa"})
    try:
        raise ConnectionError("the bank did not answer")
    except ConnectionError as error:
        log.sovdev_log("error", "pay", "Payment failed", None, {"order": 17}, exception=error)
    log.sovdev_flush()


if __name__ == "__main__":
    main()
