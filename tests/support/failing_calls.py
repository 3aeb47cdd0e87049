"""Calls of the C library that fail on files below a folder, in programs started by a test.

``failing_calls.c`` is preloaded into the program and reads its rules from a mapped file, so that a
test, or the program itself, can switch a failure on and off while it runs::

    failing.fail("open", folder, errno.EMFILE)              # from now on
    failing.fail("write", folder, errno.EIO, first=3)       # the third call and all later ones
    failing.fail("write", folder, errno.EIO, first=3, last=3)
    failing.fail("write", folder, HALF, last=1)             # writes half and succeeds
    failing.stop()

Calls: open, read (pread), write (pwrite, writev), lseek, ftruncate, stat (fstat, lstat, fstatat),
rename, unlink, rmdir, mkdir, chmod, link, flock, fsync, close, and opendir for the listing of a
folder. Rules look at the path as it was given, made absolute; ``below`` is a prefix of it.
"""

import mmap
import os
import platform
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

CALLS: Final = (
    "open", "read", "write", "lseek", "ftruncate", "stat", "rename", "unlink", "rmdir", "mkdir",
    "chmod", "link", "flock", "fsync", "close", "opendir",
)  # fmt: skip
HALF: Final = 0
"""Instead of an error: the write takes half of the data."""

_RULE: Final = struct.Struct("=6i16s472s")
_COUNTS: Final = struct.Struct("=6i")
_RULES: Final = 8
_NEVER_ENDS: Final = 2**31 - 1


def compiled(folder: Path) -> Path:
    """Compile the library into ``folder``; skip the test where that cannot be done."""
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        pytest.skip("calls fail by a library for glibc that is preloaded: Linux only")
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler (cc) to make the library with which calls fail")
    library = folder / "failing_calls.so"
    source = Path(__file__).with_suffix(".c")
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"the library with which calls fail cannot be compiled: {made.stderr[:500]}")
    return library


class FailingCalls:
    """The rules of one test.

    Args:
        control: The file with the rules; made when it does not exist.
        library: What is preloaded into programs; None in a program that changes its own rules.
    """

    def __init__(self, control: Path, library: Path | None = None) -> None:
        self._control = control
        self._library = library
        if not control.exists():
            control.write_bytes(bytes(_RULES * _RULE.size))
        with control.open("r+b") as file:
            self._rules = mmap.mmap(file.fileno(), 0)

    @classmethod
    def of_this_program(cls) -> "FailingCalls":
        """Return the rules of the program that runs this."""
        return cls(Path(os.environ["FAILING_CALLS"]))

    def variables(self) -> dict[str, str]:
        """Return the environment of a program whose calls are to fail."""
        return {"LD_PRELOAD": str(self._library), "FAILING_CALLS": str(self._control)}

    def fail(
        self, call: str, below: Path | str, error: int, *, first: int = 1, last: int = _NEVER_ENDS
    ) -> int:
        """Add a rule and return its number: matching calls from ``first`` to ``last`` fail."""
        assert call in CALLS, call
        number = next(n for n in range(_RULES) if not self._counts(n)[0])
        folder = os.fsencode(os.path.abspath(below))
        assert len(folder) < 472
        rule = _RULE.pack(0, error, first, last, 0, 0, call.encode(), folder)
        at = number * _RULE.size
        self._rules[at : at + _RULE.size] = rule
        self._rules[at : at + 4] = struct.pack("=i", 1)  # on, now that it is whole
        return number

    def stop(self) -> None:
        """Let all calls be made again."""
        for number in range(_RULES):
            self._rules[number * _RULE.size : number * _RULE.size + 4] = bytes(4)

    def seen(self, rule: int = 0) -> int:
        """Return how many calls matched a rule, also after ``stop``."""
        return self._counts(rule)[4]

    def failed(self, rule: int = 0) -> int:
        """Return how many calls a rule let fail, also after ``stop``."""
        return self._counts(rule)[5]

    def close(self) -> None:
        """Unmap the rules."""
        self._rules.close()

    def _counts(self, rule: int) -> tuple[int, ...]:
        return _COUNTS.unpack_from(self._rules, rule * _RULE.size)
