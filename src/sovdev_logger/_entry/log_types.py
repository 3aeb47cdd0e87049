"""The types of entries."""

from typing import Final

TRANSACTION: Final = "transaction"
JOB_STATUS: Final = "job.status"
JOB_PROGRESS: Final = "job.progress"
