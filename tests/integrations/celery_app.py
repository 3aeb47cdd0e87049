"""A Celery application for the tests, with a broker of files."""

import os
from pathlib import Path
from typing import Any

from celery import Celery

import sovdev_logger as log
from sovdev_logger.integrations.celery import configure_celery

FOLDER = Path(os.environ["CELERY_FOLDER"])
for name in ("queue", "processed", "control"):
    (FOLDER / name).mkdir(parents=True, exist_ok=True)

app = Celery("orders", broker="filesystem://")
app.conf.update(
    broker_transport_options={
        "data_folder_in": str(FOLDER / "queue"),
        "data_folder_out": str(FOLDER / "queue"),
        "processed_folder": str(FOLDER / "processed"),
        "control_folder": str(FOLDER / "control"),
        "store_processed": False,
        "polling_interval": 0.05,
    },
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
)
configure_celery(app, resolver=lambda task: {"client_name": task.request.id})


@app.task
def add(number: int) -> int:
    log.sovdev_log("info", "add", f"inside {number}", None)
    return number


@app.task
def fail(number: int) -> None:
    raise ValueError(f"no {number}")


@app.task(bind=True, max_retries=1, default_retry_delay=0)
def again(self: Any, number: int) -> None:
    raise self.retry(exc=ConnectionError(f"away {number}"))
