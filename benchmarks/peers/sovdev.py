"""This library, through its public functions; the environment says which outputs are on."""

import call

import sovdev_logger as log

INFO, DEBUG = log.SOVDEV_LOGLEVELS.INFO, log.SOVDEV_LOGLEVELS.DEBUG


class Sovdev:
    name = "sovdev"

    def __init__(self) -> None:
        log.sovdev_initialize(call.SERVICE, call.VERSION, call.PEERS)

    def call(self) -> None:
        log.sovdev_log(INFO, call.FUNCTION, call.MESSAGE, "BRREG", call.INPUT, call.RESPONSE)

    def below_level(self) -> None:
        log.sovdev_log(DEBUG, call.FUNCTION, call.MESSAGE, "BRREG", call.INPUT, call.RESPONSE)

    def flush(self) -> None:
        log.sovdev_flush()
