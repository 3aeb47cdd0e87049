"""Programs in processes of their own, and deliberately broken variants of the library in them.

A fault test is worth what it can find: ``@breaks_with("a_mutant")`` runs it as it is, and once
more for each mutant, with the library broken in that way; then it has to fail.
"""

import contextlib
import functools
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.service import environment

TESTS = Path(__file__).parents[1]
MUTANT = "MUTANT_OF_THE_TEST"
MUTANT_TIMEOUT_SECONDS = 8.0

started: list["subprocess.Popen[str]"] = []
"""For the fixture that ends what a failing test left behind."""

INITIALISE = """
import os, signal, sys, threading, time
import sovdev_logger as log
log.sovdev_initialize("orders", "1.0.0", {"BRREG": "SYS1"})
"""

LIKE_A_TERMINAL = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
"""
"""A runner in the background hands an ignored SIGINT down."""

BREAK = f"""
import sys
sys.path.insert(0, {str(TESTS)!r})
from support import mutants
mutants.apply()
"""


def breaks_with(*mutants: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test as it is, and with each mutant, with which it has to fail."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        broken = [pytest.param(name, marks=pytest.mark.mutant) for name in mutants]

        @pytest.mark.parametrize("mutant", ["", *broken])
        @functools.wraps(test)
        def run_it(*arguments: Any, mutant: str, **named: Any) -> None:
            if not mutant:
                test(*arguments, **named)
                return
            os.environ[MUTANT] = mutant
            try:
                with pytest.raises((AssertionError, subprocess.TimeoutExpired)):
                    test(*arguments, **named)
            finally:
                del os.environ[MUTANT]

        # pytest reads the names of fixtures from the signature.
        signature = run_it.__wrapped__.__annotations__  # type: ignore[attr-defined]
        run_it.__signature__ = _with_mutant(test)  # type: ignore[attr-defined]
        run_it.__annotations__ = {**signature, "mutant": str}
        return run_it

    return decorate


def _with_mutant(test: Callable[..., None]) -> Any:
    import inspect

    found = inspect.signature(test)
    extra = inspect.Parameter("mutant", inspect.Parameter.KEYWORD_ONLY, annotation=str)
    return found.replace(parameters=[*found.parameters.values(), extra])


def unmeasured() -> dict[str, str]:
    """Return the environment of a program that forks or handles signals.

    Measuring coverage takes a lock, which a signal handler meets held, and which a child inherits
    held when another thread of its parent had it.
    """
    return {name: text for name, text in os.environ.items() if not name.startswith("COVERAGE_")}


def start(folder: Path, program: str, **variables: str) -> "subprocess.Popen[str]":
    """Start a program that writes its files into ``folder``."""
    own = program.removeprefix(INITIALISE)
    is_measured = not any(word in own for word in ("signal.", "fork", "multiprocessing"))
    inherited = dict(os.environ) if is_measured else unmeasured()
    broken = BREAK if inherited.get(MUTANT) else ""
    process = subprocess.Popen(
        [sys.executable, "-c", LIKE_A_TERMINAL + broken + textwrap.dedent(program)],
        env={**inherited, "PYTHONFAULTHANDLER": "1", **environment(folder, **variables)},
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    started.append(process)
    return process


def run(
    folder: Path, program: str, *, code: int = 0, timeout_seconds: float = 90, **variables: str
) -> tuple[str, str]:
    """Run a program to its end and return what it printed; ``code`` is the exit code to expect."""
    process = start(folder, program, **variables)
    out, err = finish(process, timeout_seconds)
    assert process.returncode == code, err
    return out, err


def finish(
    process: "subprocess.Popen[str]", timeout_seconds: float = 90, said: str | None = None
) -> tuple[str, str]:
    """Wait for the end of a process and return what it printed; one that hangs is killed."""
    if os.environ.get(MUTANT):
        timeout_seconds = min(timeout_seconds, MUTANT_TIMEOUT_SECONDS)
    try:
        return process.communicate(said, timeout=timeout_seconds)
    except subprocess.TimeoutExpired as late:
        # faulthandler then says where each thread of each process hangs.
        with contextlib.suppress(subprocess.TimeoutExpired, ProcessLookupError):
            os.killpg(process.pid, signal.SIGABRT)
            late.add_note(process.communicate(timeout=MUTANT_TIMEOUT_SECONDS)[1])
        end(process)
        raise
    finally:
        started.remove(process)


def end(process: "subprocess.Popen[str]") -> None:
    """Kill a process that may still run, with its children, and close its pipes."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
    process.wait()


def program(body: str) -> str:
    """Return a program that initialises first."""
    return INITIALISE + textwrap.dedent(body)


def same(found: list[Any], expected: list[Any]) -> bool:
    """Compare long lists and print where they differ; pytest's own comparison takes minutes."""
    if found == expected:
        return True
    pairs = enumerate(zip(found, expected, strict=False))
    at = next((at for at, (one, other) in pairs if one != other), "the end of the shorter one")
    print(f"{len(found)} items, expected {len(expected)}; they differ at {at}")
    return False
