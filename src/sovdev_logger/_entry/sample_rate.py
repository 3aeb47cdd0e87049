"""What a decision looks like: the rate at which an entry was kept."""

from typing import Final

KEEP_ALL: Final = 1.0
NOT_SAMPLED: Final = 0.0
"""The rate of an entry that is not kept."""

RATE_ATTRIBUTE: Final = "_sovdev_sample_rate"
"""Where a stdlib record carries the decision about it; each is decided about once."""
