"""The filter that samples on any handler or logger."""

import logging

from sovdev_logger._entry.sample_rate import NOT_SAMPLED
from sovdev_logger._runtime.own_traffic import is_own_traffic
from sovdev_logger._sampling.process import current_stage
from sovdev_logger._sampling.sampler import Sampler


class AdaptiveSampler(logging.Filter):
    """A filter that leaves out what the sampling policy says, on any handler or logger.

    By its dotted path in a ``dictConfig``:
    ``{"sampling": {"()": "sovdev_logger.sampling.AdaptiveSampler"}}``. It follows the sampler of
    the process, which ``SOVDEV_SAMPLING`` or ``configure_adaptive_logging`` sets up, and the local
    defaults while there is none. A record that meets several such filters is decided about once.
    What the library's own requests log never passes. Thread and signal safe; raises nothing.

    Args:
        sampler: Who decides; by default the process's.

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


class _ByDefault:
    """Decides for filters while nothing was set up."""

    sampler: Sampler | None = None


def current_sampler() -> Sampler:
    """Return the sampler of the process, one with the local defaults while there is none."""
    stage = current_stage()
    if stage is not None:
        return stage.sampler
    if _ByDefault.sampler is None:
        _ByDefault.sampler = Sampler()
    return _ByDefault.sampler
