"""A small service with a child process, an early exit and a crash.

pip install "sovdev-logger[loguru]"
export NAME_APP=orders RUN_ENVIRONMENT=production PATH_TO_LOGS=logs
export NAME_CHILD_PROCESS_IMPORT=orders-import
python service.py
"""

import logging
import os
import subprocess
import sys
from pathlib import Path

from loguru import logger

import sovdev_logger as log

PEER = log.create_peer_services({"WAREHOUSE": "SYS1234567"})


def import_stock() -> None:
    """Start the import as a process of its own, with a name and a file of its own."""
    child = subprocess.run(
        [sys.executable, str(Path(__file__)), "import"],
        env=log.sovdev_child_environment("import"),
        check=False,
    )
    log.sovdev_log(
        "info" if child.returncode == 0 else "error",
        "import_stock",
        "The import has ended",
        PEER.INTERNAL,
        {"code": child.returncode},
    )


def main() -> None:
    """Do what the first argument says."""
    log.sovdev_initialize_environment("1.0.0", PEER.mappings)
    what = sys.argv[1] if len(sys.argv) > 1 else "work"
    logger.info("{} starts to {}", os.environ["NAME_APP"], what)
    if what == "work":
        import_stock()
        logging.getLogger("warehouse").warning("stock is low: %d left", 3)
    elif what == "import":
        if not Path("stock.csv").exists():
            log.sovdev_exit("there is no stock.csv, nothing to import")
    elif what == "crash":
        password = os.environ.get("WAREHOUSE_PASSWORD", "a-password")
        raise ConnectionError(f"the warehouse does not take {password}")


if __name__ == "__main__":
    main()
