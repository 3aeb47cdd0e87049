"""A logging filter that samples."""

import logging
from functools import cache

from sovdev_logger._entry.sample_rate import NOT_SAMPLED
from sovdev_logger._runtime.own_traffic import is_own_traffic
from sovdev_logger._sampling.process import process_sampler
from sovdev_logger._sampling.sampler import Sampler


class AdaptiveSampler(logging.Filter):
    """A filter that drops what the sampling policy samples out, on any handler or logger.

    By its dotted path in a ``dictConfig``:
    ``{"sampling": {"()": "sovdev_logger.sampling.AdaptiveSampler"}}``. It follows the sampler of
    the process, which ``SOVDEV_SAMPLING`` or ``configure_adaptive_logging`` sets up, and the local
    defaults while there is none. Several such filters decide about a record once.
    Records of the library's own requests never pass. Thread and signal safe; never raises.

    Args:
        sampler: What decides; by default the process's sampler.

    Specification: sampling, where it acts.
    """

    def __init__(self, sampler: Sampler | None = None) -> None:
        super().__init__()
        self._sampler = sampler

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is kept."""
        if is_own_traffic():
            return False
        return (self._sampler or current_sampler()).decide_record(record) > NOT_SAMPLED


def current_sampler() -> Sampler:
    """Return the sampler of the process, one with the local defaults while there is none."""
    managed = process_sampler()
    return managed.sampler if managed is not None else _local_sampler()


@cache
def _local_sampler() -> Sampler:
    return Sampler()
