"""Celery with a broker of files: the trace of who sends a task goes on in the worker.

pip install "sovdev-logger[celery]"
celery -A tasks worker &
python tasks.py
"""

import tempfile
from pathlib import Path

from celery import Celery

import sovdev_logger as log
from sovdev_logger.integrations.celery import configure_celery

FOLDER = Path(tempfile.gettempdir()) / "sovdev-celery-example"
for name in ("queue", "control"):
    (FOLDER / name).mkdir(parents=True, exist_ok=True)

app = Celery("tasks", broker="filesystem://")  # as the module, so that its script sends tasks.pay
app.conf.broker_transport_options = {
    "data_folder_in": str(FOLDER / "queue"),
    "data_folder_out": str(FOLDER / "queue"),
    "control_folder": str(FOLDER / "control"),
}
configure_celery(app, "orders")


@app.task
def pay(order: int) -> None:
    """Pay an order; odd ones fail."""
    log.sovdev_log("info", "pay", "Paying", None, {"order": order})
    if order % 2:
        raise ConnectionError("no answer from the payment service")


if __name__ == "__main__":
    with log.sovdev_span("send orders"):
        for order in (16, 17):
            pay.delay(order)
