"""Compare this library with what else there is: one table for each question.

python benchmarks/run.py                    everything, under four minutes
python benchmarks/run.py --quick            fewer rounds, under a minute
python benchmarks/run.py --part file --part below
"""

import argparse
import os
import platform
import sys
import time
import traceback
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import parts
from lab import SEED
from report import Section

PACKAGES = (
    "sovdev-logger",
    "structlog",
    "loguru",
    "logfire",
    "python-json-logger",
    "opentelemetry-sdk",
    "opentelemetry-exporter-otlp-proto-http",
    "protobuf",
    "orjson",
)


def main() -> int:
    """Run the parts one after another and print their tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--markdown", type=Path, help="also write the tables to this file")
    parser.add_argument(
        "--part", action="append", choices=parts.NAMES, help="only this; repeatable"
    )
    options = parser.parse_args()
    started = time.monotonic()
    sections, failed = [], False
    for name in options.part or parts.NAMES:
        print(f"{name} …", file=sys.stderr, flush=True)
        try:
            sections.append(import_module(f"parts.{name}").run(options.quick))
        except Exception:  # noqa: BLE001 - the other parts are still of use
            failed = True
            sections.append(Section(f"## {name}\n\nFailed:\n\n```\n{traceback.format_exc()}```"))
    head = describe(sections, time.monotonic() - started, options.quick)
    text = "\n\n".join([head, *(section.text for section in sections)])
    print(text)
    if options.markdown:
        options.markdown.write_text(text + "\n", encoding="utf-8")
    return int(failed)


def describe(sections: list[Section], seconds: float, quick: bool) -> str:
    """Return what the figures were measured with, and how steady the machine was."""
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    noise = "; ".join(one for section in sections for one in section.noise) or "not measured"
    load = " / ".join(f"{one:.1f}" for one in os.getloadavg())
    length = "a quick run" if quick else "a whole run"
    return "\n\n".join(
        [
            "# Results",
            f"{platform.python_implementation()} {platform.python_version()}, "
            f"{platform.machine()}, {os.cpu_count()} cores; {versions}; seed {SEED}; {length} of "
            f"{seconds:.0f} s.",
            "Ratios are medians of the ratios within a round, with the range over rounds. Absolute "
            "times are of this machine.",
            f"The machine's noise, p10 to p90 of turns that did the same work: {noise}. "
            f"Load at the end, over 1, 5 and 15 minutes: {load}.",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
