"""Messages and inputs of the entries about jobs."""

import math
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from sovdev_logger._safety.sanitizer import Sanitizer

PROGRESS_JOB_NAME: Final = "BatchProcessing"


class JobCall(NamedTuple):
    """The message and input of an entry about a job."""

    message: str
    input_json: dict[object, object]


def status_call(
    job_name: object, status: object, input_json: object, sanitizer: "Sanitizer"
) -> JobCall:
    """Return the entry's message and input for ``sovdev_log_job_status``."""
    message = f"Job {sanitizer.text(status)}: {sanitizer.text(job_name)}"
    return JobCall(message, {"job_name": job_name, "job_status": status, **_as_mapping(input_json)})


def progress_call(
    item_id: object, current: object, total: object, input_json: object, sanitizer: "Sanitizer"
) -> JobCall:
    """Return the entry's message and input for ``sovdev_log_job_progress``."""
    numbers = f"{sanitizer.text(current)}/{sanitizer.text(total)}"
    return JobCall(
        f"Processing {sanitizer.text(item_id)} ({numbers})",
        {
            "job_name": PROGRESS_JOB_NAME,
            "item_id": item_id,
            "current_item": current,
            "total_items": total,
            "progress_percentage": percentage(current, total),
            **_as_mapping(input_json),
        },
    )


def percentage(current: object, total: object) -> int:
    """Return ``current`` of ``total`` in whole percent, rounded half up; 0 if it has no value."""
    try:
        share = float(current) * 100 / float(total)  # type: ignore[arg-type]
        return math.floor(share + 0.5)
    except Exception:  # noqa: BLE001 - a total of 0, or no numbers at all
        return 0


def _as_mapping(value: object) -> Mapping[object, object]:
    if value is None:
        return {}
    if isinstance(value, Mapping):
        with suppress(Exception):  # a mapping of the application's may fail to be read
            return dict(value)
    return {"input": value}
