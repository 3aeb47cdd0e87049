"""Programs in processes of their own, and deliberately broken variants of the library in them.

A fault test is worth what it can find: ``@breaks_with(a_mutant="what must fail")`` runs it as it
is, and once more for each mutant, with the library broken in that way; then it has to fail, and
by the assertion that is named.
"""

import contextlib
import functools
import inspect
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, cast

import pytest

from support.service import environment

TESTS = Path(__file__).parents[1]
NO_VARIABLES: Mapping[str, str] = MappingProxyType({})
HANG_SECONDS = 3.0
"""How long a mutant that has to hang is waited for."""

MUTANT_ATTEMPTS: Final = 3
"""What a mutant does depends on timing: it may fail in another place, but not three times."""

started: list["subprocess.Popen[str]"] = []
"""For the fixture that ends what a failing test left behind."""

_mutant = ""
_expects_hang = False

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


class Hang(str):
    """The place where a program hangs for good, instead of the assertion that fails."""


def breaks_with(**mutants: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test as it is, and once with each mutant, with which it has to fail as stated.

    A mutant comes with a part of the assertion that has to fail, or of what that shows, or with
    the function in which the program hangs: ``reentry_deadlocks=Hang("in submit")``.
    """

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        broken = [pytest.param(name, marks=pytest.mark.mutant) for name in mutants]

        @pytest.mark.parametrize("mutant", ["", *broken])
        @functools.wraps(test)
        def run_it(*arguments: Any, mutant: str, **named: Any) -> None:
            if not mutant:
                test(*arguments, **named)
                return
            expected, seen = mutants[mutant], ""
            for attempt in range(MUTANT_ATTEMPTS):
                if attempt and "tmp_path" in named:
                    named["tmp_path"] = named["tmp_path"] / f"attempt-{attempt}"
                    named["tmp_path"].mkdir()
                with (
                    broken_by(mutant, hangs=isinstance(expected, Hang)),
                    pytest.raises((AssertionError, subprocess.TimeoutExpired)) as failure,
                ):
                    test(*arguments, **named)
                seen = how_it_failed(failure)
                if expected in seen:
                    return
            pytest.fail(f"{mutant} was to fail by {expected!r}, not by:\n{seen}")

        # pytest reads the names of fixtures from the signature.
        extra = inspect.Parameter("mutant", inspect.Parameter.KEYWORD_ONLY, annotation=str)
        signature = inspect.signature(test)
        run_it.__signature__ = signature.replace(parameters=[*signature.parameters.values(), extra])
        return cast("Callable[..., None]", run_it)  # pytest.mark makes it Any

    return decorate


@contextlib.contextmanager
def broken_by(mutant: str, *, hangs: bool) -> Iterator[None]:
    """Break the library in the programs that are started meanwhile."""
    global _mutant, _expects_hang
    _mutant, _expects_hang = mutant, hangs
    try:
        yield
    finally:
        _mutant, _expects_hang = "", False


def mutation() -> str:
    """Return the code that a program begins with when its library has to be broken."""
    if not _mutant:
        return ""
    return (
        f"import sys\nsys.path.insert(0, {str(TESTS)!r})\n"
        f"from support import mutants\nmutants.{_mutant}()\n"
    )


def how_it_failed(failure: pytest.ExceptionInfo[BaseException]) -> str:
    """Return the failing assertion and what it shows; of a hang, where each thread is."""
    if isinstance(failure.value, subprocess.TimeoutExpired):
        return "\n".join(failure.value.__notes__)
    return f"{failure.traceback[-1].statement}\n{failure.value}"


def unmeasured() -> dict[str, str]:
    """Return the environment of a program that forks or handles signals.

    Measuring coverage takes a lock, which a signal handler meets held, and which a child inherits
    held when another thread of its parent had it.
    """
    return {name: text for name, text in os.environ.items() if not name.startswith("COVERAGE_")}


def start(
    folder: Path, program: str, variables: Mapping[str, str] = NO_VARIABLES, /, **more: str
) -> "subprocess.Popen[str]":
    """Start a program that writes its files into ``folder``, with ``variables`` and ``more``."""
    own = program.removeprefix(INITIALISE)
    is_measured = not any(word in own for word in ("signal.", "fork", "multiprocessing"))
    inherited = dict(os.environ) if is_measured else unmeasured()
    process = subprocess.Popen(
        [sys.executable, "-c", LIKE_A_TERMINAL + mutation() + textwrap.dedent(program)],
        env={**inherited, "PYTHONFAULTHANDLER": "1", **environment(folder, **variables, **more)},
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
    folder: Path,
    program: str,
    variables: Mapping[str, str] = NO_VARIABLES,
    /,
    *,
    code: int = 0,
    timeout_seconds: float = 90,
    **more: str,
) -> tuple[str, str]:
    """Run a program to its end and return what it printed; ``code`` is the exit code to expect."""
    process = start(folder, program, variables, **more)
    out, err = finish(process, timeout_seconds)
    assert process.returncode == code, err
    return out, err


def run_file(folder: Path, program: str, *arguments: str, **variables: str) -> str:
    """Run a program from a file, which children of multiprocessing import; return its output."""
    (folder / "children.py").write_text(mutation() + program)
    finished = subprocess.run(
        [sys.executable, "-W", "ignore", "children.py", *arguments],
        env={**unmeasured(), **environment(folder, **variables), "PYTHONPATH": str(TESTS)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def finish(
    process: "subprocess.Popen[str]", timeout_seconds: float = 90, said: str | None = None
) -> tuple[str, str]:
    """Wait for the end of a process and return what it printed; one that hangs is killed."""
    if _expects_hang:
        timeout_seconds = HANG_SECONDS
    try:
        return process.communicate(said, timeout=timeout_seconds)
    except subprocess.TimeoutExpired as late:
        # faulthandler then says where each thread of each process hangs.
        with contextlib.suppress(subprocess.TimeoutExpired, ProcessLookupError):
            os.killpg(process.pid, signal.SIGABRT)
            late.add_note(process.communicate(timeout=10)[1])
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
