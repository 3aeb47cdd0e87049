"""Write the spools of `spool-1`, with a version of the library that writes format 1."""

import os
import subprocess
import sys
from pathlib import Path

from sovdev_logger._delivery.ledger import Ledger
from sovdev_logger._delivery.spool.spool import Spool
from sovdev_logger._settings.delivery import SpoolSettings

HERE = Path(__file__).parent / "spool-1"

PROGRAM = """
import sovdev_logger as log
log.sovdev_initialize("orders", "1.0.0", {"BRREG": "SYS1"})
for number in range(20):
    log.sovdev_log("info", "f", f"number {number}", None)
with log.sovdev_start_span("work"):
    pass
"""
NOWHERE = "127.0.0.1:9"
VARIABLES = {
    "LOG_TO_CONSOLE": "false",
    "LOG_TO_FILE": "false",
    "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{NOWHERE}",
    "OTEL_METRICS_EXPORTER": "none",
    "LOGWELL_ENDPOINT": f"http://{NOWHERE}",
    "LOGWELL_API_KEY": "lw_0123456789abcdefghijklmnopqrstuv",
    "RELAY_TARGETS": NOWHERE,
    "SOVDEV_EXIT_TIMEOUT_SECONDS": "0.5",
}


def spool(name: str) -> Spool:
    return Spool(SpoolSettings(HERE / name, 1_000_000), "log-entries", Ledger())


def write(name: str, start: int, stop: int, context: bytes = b"context", done: int = 0) -> Path:
    """Write items in blocks of four, the first ``done`` blocks of them done."""
    one = spool(name)
    for number in range(start, stop, 4):
        one.append([b"item %d" % item for item in range(number, number + 4)], context)
    for _ in range(done):
        taken = one.take(4, 1_000_000)
        assert taken is not None
        one.done(taken, 4)
    path = max((HERE / name).rglob("*.segment"))
    one.close()
    return path


if __name__ == "__main__":
    environment = {**os.environ, **VARIABLES, "SOVDEV_SPOOL_DIR": str(HERE / "outputs")}
    subprocess.run([sys.executable, "-c", PROGRAM], env=environment, check=True)
    write("complete", 0, 20)
    write("done", 0, 20, done=2)
    torn = write("torn", 0, 20)
    torn.write_bytes(torn.read_bytes()[:-10])
    for start in (0, 8):
        one = spool("several")
        for offset, context in ((start, b"one"), (start + 4, b"two")):
            one.append([b"item %d" % item for item in range(offset, offset + 4)], context)
        one.close()
