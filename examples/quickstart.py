"""Log a few things; see them on the console and in ./logs/dev.log. Run: python quickstart.py"""

from sovdev_logger import SOVDEV_LOGLEVELS as LEVEL
from sovdev_logger import (
    create_peer_services,
    sovdev_flush,
    sovdev_initialize,
    sovdev_log,
    sovdev_start_span,
)

PEER = create_peer_services({"PAYMENTS": "SYS2034567"})
sovdev_initialize("quickstart", "1.0.0", PEER.mappings)

sovdev_log(LEVEL.INFO, "main", "Order received", PEER.INTERNAL, {"order": 17, "card_token": "t0p"})

with sovdev_start_span("pay", {"order": 17}, peer_service=PEER.PAYMENTS):
    sovdev_log(LEVEL.INFO, "pay", "Paying", PEER.PAYMENTS, {"amount": 250})
    try:
        raise TimeoutError("no answer from the payment service")
    except TimeoutError as error:
        sovdev_log(LEVEL.ERROR, "pay", "Payment failed", PEER.PAYMENTS, exception=error)

sovdev_flush()
