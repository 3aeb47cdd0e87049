"""Log a few things, then look at ./logs/dev.log. Run it with: python quickstart.py"""

import sovdev_logger as log

PEER = log.create_peer_services({"PAYMENTS": "SYS2034567"})
log.sovdev_initialize("quickstart", "1.0.0", PEER.mappings)

order = {"order": 17, "card_token": "t0p"}  # the token will be [REDACTED]
log.sovdev_log("info", "main", "Order received", PEER.INTERNAL, order)

with log.sovdev_start_span("pay", {"order": 17}, peer_service=PEER.PAYMENTS):
    log.sovdev_log("info", "pay", "Paying", PEER.PAYMENTS, {"amount": 250})
    try:
        raise TimeoutError("no answer from the payment service")
    except TimeoutError as error:
        log.sovdev_log("error", "pay", "Payment failed", PEER.PAYMENTS, exception=error)

log.sovdev_flush()
