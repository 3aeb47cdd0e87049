"""Where the microseconds of one call go: each step alone, the best of many turns.

python benchmarks/budget.py [--markdown FILE]

The steps are timed apart, so their sum is a little more than the whole, by a function call each.
"""

import argparse
import os
import sys
import tempfile
import time
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Any

import call
import orjson
from lab import environment

TURNS, CALLS = 25, 4000


def best_us(step: Callable[[], Any]) -> float:
    """Return the microseconds of a step in its best turn: noise only ever adds."""
    return min(timeit.repeat(step, number=CALLS, repeat=TURNS)) / CALLS * 1e6


def steps_of_a_call(folder: Path) -> list[tuple[str, Callable[[], Any]]]:
    """Return the steps in their order; the environment asks for the file alone."""
    from peers.sovdev import Sovdev

    from sovdev_logger._entry.identifiers import new_trace_id, new_uuid
    from sovdev_logger._entry.levels import INFO
    from sovdev_logger._runtime.turnstile import Turnstile
    from sovdev_logger._safety.json_encoding import dumps_line
    from sovdev_logger._safety.prefilter import FLAGS, confirm, scan
    from sovdev_logger._service.instance import instance

    peer = Sovdev()
    peer.call()
    assert instance.service is not None
    logger = instance.service.logger
    sanitizer, output = logger.sanitizer, logger.outputs[0]
    given, answer = orjson.dumps(call.INPUT), orjson.dumps(call.RESPONSE)
    probe = call.MESSAGE.encode() + given + answer
    harmless = FLAGS["auth"] | FLAGS["sess"]  # as of "author" and "session"

    def make_entry() -> Any:
        arguments = (call.MESSAGE, call.SYSTEM, call.INPUT, call.RESPONSE, None, None)
        return logger.builder.build(INFO, call.FUNCTION, *arguments, call.LOG_TYPE, time.time_ns())

    entry = make_entry()
    line = entry.line()
    turnstile = Turnstile[Any](lambda _: None)
    descriptor = os.open(folder / "plain.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    return [
        ("**the whole call**", peer.call),
        ("make the entry", make_entry),
        ("– message, input and response as safe JSON", lambda: sanitizer.texts(*texts())),
        ("–– of that: JSON of both by orjson", encode_both),
        (
            "–– of that: could there be a credential?",
            lambda: scan(call.MESSAGE, given, answer),
        ),
        (
            "(only where a part of one is found: is it one?)",
            lambda: confirm(harmless, probe),
        ),
        ("– the time as text", lambda: logger._clock.iso(1769860800123456789)),
        ("– two ids", lambda: (new_trace_id(), new_uuid())),
        ("– is a span active?", logger.builder._active_span),
        ("the line, by orjson", lambda: dumps_line(entry.fields)),
        ("one at a time, re-entry parked", lambda: turnstile.submit(entry)),
        ("`os.write`", lambda: os.write(descriptor, line)),
        ("the output as a whole, without the line", lambda: output.submit(entry)),
    ]


def texts() -> tuple[str, object, object]:
    return call.MESSAGE, call.INPUT, call.RESPONSE


def encode_both() -> tuple[bytes, bytes]:
    return orjson.dumps(call.INPUT), orjson.dumps(call.RESPONSE)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--markdown", type=Path, help="also write the table to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ.update(environment("sovdev", folder, ""))
        from peers.floor import Floor

        floor = best_us(Floor(folder).call)
        rows = [f"| the floor | {floor:.2f} | 1.00 |"]
        for step, function in steps_of_a_call(folder):
            found = best_us(function)
            rows.append(f"| {step} | {found:.2f} | {found / floor:.2f} |")
    head = f"CPython {sys.version.split()[0]}; the best of {TURNS} turns of {CALLS} calls."
    text = "\n".join([head, "", "| step | µs | × floor |", "|---|--:|--:|", *rows])
    print(text)
    if options.markdown:
        options.markdown.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
