"""The sampling decision about an entry: the rate at which it was kept."""

from typing import Final

KEEP_ALL: Final = 1.0
NOT_SAMPLED: Final = 0.0
"""The rate of a sampled-out entry."""

RATE_ATTRIBUTE: Final = "_sovdev_sample_rate"
"""The record attribute with the decision, which is made once for each record."""
