"""What sampling costs: ``sampling.py`` in a process of its own, on one core."""

import subprocess
import sys
import tempfile
from pathlib import Path

from lab import HERE, environment, one_core
from report import Section

ON = {"SOVDEV_SAMPLING": "local", "SOVDEV_SAMPLING_OUTPUTS": "all"}


def run(quick: bool) -> Section:
    rounds, calls = ("3", "1500") if quick else ("9", "5000")
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, str(HERE / "sampling.py"), one_core(), rounds, calls],
            env=environment("sovdev", Path(folder), "") | ON,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return Section(done.stdout.strip())
