"""The library with which calls fail, itself: each call fails where and when it was asked to."""

from pathlib import Path

from support.failing_calls import CALLS, FailingCalls
from support.processes import run

PROGRAM = """
import errno, fcntl, os, sys
sys.path.insert(0, {tests!r})
from support.failing_calls import CALLS, HALF, FailingCalls
failing = FailingCalls.of_this_program()
os.mkdir("here"); os.mkdir("elsewhere"); open("here/file", "wb").close()
file = os.open("here/file", os.O_RDWR)
def attempt(call):
    {{
        "open": lambda: os.open("here/file", os.O_RDONLY),
        "read": lambda: os.read(file, 1),
        "write": lambda: os.write(file, b"x"),
        "lseek": lambda: os.lseek(file, 0, os.SEEK_SET),
        "ftruncate": lambda: os.ftruncate(file, 0),
        "stat": lambda: os.stat("here/file"),
        "rename": lambda: os.rename("here/file", "here/file"),
        "unlink": lambda: os.unlink("here/file"),
        "rmdir": lambda: os.rmdir("here/folder"),
        "mkdir": lambda: os.mkdir("here/folder"),
        "chmod": lambda: os.chmod("here/file", 0o600),
        "link": lambda: os.link("here/file", "here/link"),
        "flock": lambda: fcntl.flock(file, fcntl.LOCK_EX),
        "fsync": lambda: os.fsync(file),
        "close": lambda: os.close(os.dup(file)),
        "opendir": lambda: os.listdir("here"),
    }}[call]()
for call in CALLS:
    rule = failing.fail(call, os.path.abspath("here"), errno.ESTALE, last=1)
    try:
        attempt(call)
    except OSError as error:
        print(call, errno.errorcode[error.errno])
    failing.stop()
failing.fail("open", "here", errno.EIO, first=3, last=4)
for number in range(1, 6):
    try:
        os.close(os.open("here/file", os.O_RDONLY))
        os.mkdir("elsewhere/%d" % number)
    except OSError:
        print("open", number)
print(failing.seen(), failing.failed())
failing.stop()
failing.fail("write", "here", HALF, last=1)
print(os.write(file, b"1234"))
"""


def test_calls_fail_where_and_when_they_are_to(tmp_path: Path, failing: FailingCalls) -> None:
    tests = str(Path(__file__).parents[1])
    out, _ = run(tmp_path, PROGRAM.format(tests=tests), failing.variables())
    expected = [f"{call} ESTALE" for call in CALLS]
    assert out.splitlines() == [*expected, "open 3", "open 4", "5 2", "2"]
