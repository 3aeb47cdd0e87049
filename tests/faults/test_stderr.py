"""A stderr that is replaced: followed, unless what we write there comes back as a record."""

from pathlib import Path

import pytest

from support.processes import breaks_with, run
from support.service import read_lines

BEGIN = """
import contextlib, io, logging, os, queue, signal, sys, threading
import sovdev_logger as log

real = sys.stderr

class Stream:
    '''What stands for stderr: gives each line, or each whole text, to a function.'''

    def __init__(self, give, whole=False):
        self.give, self.whole = give, whole

    def write(self, text):
        for line in [text.rstrip("\\n")] if self.whole else text.splitlines():
            self.give(line)
        return len(text)

class Buffered(Stream):
    '''Airflow's: keeps a line until it ends, and has a level and a propagate flag.'''

    buffer = ""
    closed = False
    encoding = None

    def write(self, text):
        self.buffer += text
        if text.endswith("\\n"):
            self.flush()

    def flush(self):
        text, self.buffer = self.buffer.rstrip(), ""
        if text:
            self.give(text)

    def isatty(self):
        return False

class Guarded(Stream):
    '''Celery's: refuses what its own thread writes inside a write.'''

    inside = threading.local()

    def write(self, text):
        if getattr(self.inside, "is_on", False):
            return 0
        self.inside.is_on = True
        try:
            self.give(text.rstrip("\\n"))
        finally:
            self.inside.is_on = False
        return len(text)

class Unhashable(Guarded):
    '''Has no weak references either.'''

    __slots__ = ()
    __hash__ = None

shown = logging.StreamHandler(real)
shown.setFormatter(logging.Formatter("[theirs] %(message)s"))
logging.getLogger().addHandler(shown)
theirs = logging.getLogger("redirected")
waiting = queue.Queue()

def log_what_waits():
    while (line := waiting.get()) is not None:
        theirs.warning(line)

def log_the_pipe():
    with os.fdopen(reader) as lines:
        for line in lines:
            theirs.warning(line.rstrip("\\n"))

thread = threading.Thread(target=log_what_waits, daemon=True)
"""
CALLS = """
log.sovdev_initialize("orders")
log.sovdev_capture_logging("info")
for number in range(3):
    log.sovdev_log("info", "call", f"call {number}", None)
try:
    raise ValueError("no such\\ncompany")
except ValueError as error:
    log.sovdev_log("error", "call", "failed", None, exception=error)
log.sovdev_log("info", "call", "an undefined peer", "NOBODY")  # and a warning of ours
"""
CALLED = ["call 0", "call 1", "call 2", "failed", "an undefined peer"]

LEADS_BACK = {
    "each_line": "sys.stderr = Stream(theirs.warning)",
    "whole": "sys.stderr = Stream(theirs.warning, whole=True)",
    "decorated": "sys.stderr = Stream(lambda line: theirs.warning('<%s>', line), whole=True)",
    "buffered": "sys.stderr = Buffered(theirs.warning)",
    "guarded": "sys.stderr = Guarded(theirs.warning)",
    "unhashable": "sys.stderr = Unhashable(theirs.warning)",
    "service_logger": "sys.stderr = Stream(logging.getLogger('orders').warning)",
    "sovdev_log": "sys.stderr = Stream(lambda line: log.sovdev_log('warn', 'f', line, None))",
    "another_thread": "thread.start(); sys.stderr = Stream(waiting.put)",
    "below_python": """
reader, writer = os.pipe()
shown.setStream(os.fdopen(os.dup(2), "w"))
os.dup2(writer, 2)
os.close(writer)
thread = threading.Thread(target=log_the_pipe, daemon=True)
thread.start()
waiting.put = lambda _: os.dup2(shown.stream.fileno(), 2)
""",
}
END = """
if thread.is_alive():
    waiting.put(None)
    thread.join(20)
sys.stderr = real
"""


def messages(folder: Path) -> list[str]:
    return [entry["message"] for entry in read_lines(folder / "dev.log")]


def console(text: str) -> list[str]:
    """Return the calls that the console shows, without what others' handlers made of it."""
    return [
        name
        for line in text.splitlines()
        for name in CALLED
        if not line.startswith("[theirs]") and f"  {name} [" in line
    ]


IN_THE_WRITE = sorted(LEADS_BACK.keys() - {"another_thread", "below_python"})


@pytest.mark.parametrize("kind", IN_THE_WRITE)
@breaks_with(
    own_lines_are_entries="messages(tmp_path) == CALLED",
    streams_are_never_left="console(printed) == CALLED",
)
def test_what_comes_back_is_no_entry_and_the_console_goes_on(tmp_path: Path, kind: str) -> None:
    program = BEGIN + LEADS_BACK[kind] + CALLS + END
    printed = run(tmp_path, program, LOG_TO_CONSOLE="true")[1]
    assert messages(tmp_path) == CALLED
    assert console(printed) == CALLED
    assert printed.count("[theirs]") <= 1  # by the one write that shows where it leads
    assert printed.count("WARNING: ") == 1


@pytest.mark.parametrize("kind", ["another_thread", "below_python"])
@breaks_with(own_lines_are_entries="messages(tmp_path) == CALLED")
def test_what_comes_back_in_another_thread_is_no_entry(tmp_path: Path, kind: str) -> None:
    run(tmp_path, BEGIN + LEADS_BACK[kind] + CALLS + END, LOG_TO_CONSOLE="true")
    assert messages(tmp_path) == CALLED


def test_json_that_comes_back_is_no_entry(tmp_path: Path) -> None:
    program = BEGIN + LEADS_BACK["decorated"] + CALLS + END
    run(tmp_path, program, LOG_TO_CONSOLE="true", SOVDEV_CONSOLE_FORMAT="json")
    assert messages(tmp_path) == CALLED


def test_a_stream_that_was_there_before_the_import(tmp_path: Path) -> None:
    program = BEGIN.replace("import sovdev_logger as log\n", "") + LEADS_BACK["guarded"]
    program += "\nimport sovdev_logger as log\n" + CALLS + END
    printed = run(tmp_path, program, LOG_TO_CONSOLE="true")[1]
    assert messages(tmp_path) == CALLED
    assert console(printed) == CALLED


def test_a_good_stream_that_comes_later_is_followed(tmp_path: Path) -> None:
    program = BEGIN + LEADS_BACK["guarded"] + CALLS
    program += """
good = sys.stderr = io.StringIO()
log.sovdev_log("info", "call", "followed", None)
sys.stderr = Guarded(theirs.warning)  # another one: found anew
log.sovdev_log("info", "call", "back", None)
sys.stderr = real
print(good.getvalue())
"""
    out, err = run(tmp_path, program, LOG_TO_CONSOLE="true")
    assert messages(tmp_path) == [*CALLED, "followed", "back"]
    assert "followed" in out
    assert "followed" not in err
    assert "  back [" in err


FOLLOWED = {
    "text": "sys.stderr = stream = io.StringIO(); told = stream.getvalue",
    "redirected": """
stream = io.StringIO(); told = stream.getvalue
stack = contextlib.ExitStack()
stack.enter_context(contextlib.redirect_stderr(stream))
""",
    "wrapper": """
class Wrapper:  # as colorama's: all but write is the wrapped stream's
    def __init__(self, wrapped): self.wrapped = wrapped
    def __getattr__(self, name): return getattr(self.wrapped, name)
    def write(self, text): self.wrapped.write(text)
stream = io.StringIO(); told = stream.getvalue
sys.stderr = Wrapper(stream)
""",
    "notebook": """
class OutStream(io.TextIOBase):  # as Jupyter's: written by a thread of its own
    encoding = "UTF-8"
    def __init__(self): self.parts = []; self.lock = threading.RLock()
    def write(self, text):
        with self.lock: self.parts.append(text)
        return len(text)
    def flush(self): pass
sys.stderr = stream = OutStream(); told = lambda: "".join(stream.parts)
""",
}


@pytest.mark.parametrize("kind", FOLLOWED)
@breaks_with(replaced_streams_are_left="console(out) == CALLED")
def test_a_replaced_stream_is_followed(tmp_path: Path, kind: str) -> None:
    program = BEGIN + FOLLOWED[kind] + CALLS + "sys.stderr = real\nprint(told())\n"
    out, err = run(tmp_path, program, LOG_TO_CONSOLE="true")
    assert console(out) == CALLED
    assert err == ""
    assert messages(tmp_path) == CALLED


@breaks_with(all_inside_a_write_is_our_own="messages(tmp_path) ==")
def test_a_signal_inside_the_write_is_an_entry(tmp_path: Path) -> None:
    program = (
        BEGIN
        + """
def handle(*_):
    log.sovdev_log("info", "handle", "by the handler", None)
    logging.getLogger("handler").info("by its logger")
    log.sovdev_log("info", "call", "call 0", None)  # the very message that is being written

def give(line):
    if not given:
        given.append(line)
        signal.raise_signal(signal.SIGUSR1)
    theirs.warning(line)

given = []
signal.signal(signal.SIGUSR1, handle)
sys.stderr = Stream(give)
"""
        + CALLS
        + END
    )
    run(tmp_path, program, LOG_TO_CONSOLE="true")
    inside = ["by the handler", "by its logger", "call 0"]
    assert messages(tmp_path) == ["call 0", *inside, *CALLED[1:]]


@breaks_with(a_stream_may_cause_entries_without_end="found ==")
def test_a_stream_that_logs_something_of_its_own_ends(tmp_path: Path) -> None:
    program = (
        BEGIN
        + """
class Tee(Guarded):
    def write(self, text):
        real.write(text)
        super().write(f"wrote {len(text)}")
sys.stderr = Tee(theirs.warning)
log.sovdev_initialize("orders")
log.sovdev_capture_logging("info")
log.sovdev_log("info", "call", "call 0", None)
log.sovdev_log("info", "call", "call 1", None)
sys.stderr = real
"""
    )
    run(tmp_path, program, LOG_TO_CONSOLE="true")
    found = [message.partition("wrote")[0] for message in messages(tmp_path)]
    assert found == ["call 0", "", "", "", "call 1"]


def test_lines_of_other_processes_do_not_end_a_replaced_stream(tmp_path: Path) -> None:
    program = (
        BEGIN
        + """
import datetime
log.sovdev_initialize("orders")
sys.stderr = told = io.StringIO()
for number in range(2500):
    log.sovdev_log("info", "call", f"call {number}", None)
for _ in range(10):
    now = datetime.datetime.now(datetime.timezone.utc)
    line = f"{now:%H:%M:%S}.999Z INFO  child main  working [0af76519]"
    log.sovdev_log("info", "read", line, None)
    log.sovdev_log("info", "read", f'{{"timestamp":"{now.isoformat()}"}}', None)
log.sovdev_log("info", "call", "last", None)
sys.stderr = real
print(told.getvalue().count("\\n"))
"""
    )
    out, err = run(tmp_path, program, LOG_TO_CONSOLE="true")
    assert (out, err) == ("2521\n", "")


@pytest.mark.sized(least="full")
def test_lines_that_come_back_too_late_end(tmp_path: Path) -> None:
    program = (
        BEGIN
        + """
log.sovdev_initialize("orders")
log.sovdev_capture_logging("info")
sys.stderr = Stream(waiting.put)
for number in range(3000):
    log.sovdev_log("info", "call", f"call {number}", None)
thread.start()
while not waiting.empty():
    pass
"""
        + END
    )
    run(tmp_path, program, LOG_TO_CONSOLE="true")
    assert 3000 <= len(messages(tmp_path)) <= 6000


def test_a_child_recognises_what_it_writes(tmp_path: Path) -> None:
    program = (
        BEGIN
        + LEADS_BACK["guarded"]
        + CALLS
        + """
if os.fork() == 0:
    sys.stderr = Guarded(theirs.warning)
    log.sovdev_log("info", "call", "in the child", None)
    os._exit(0)
os.wait()
sys.stderr = real
"""
    )
    run(tmp_path, program, LOG_TO_CONSOLE="true")
    assert messages(tmp_path) == [*CALLED, "in the child"]


def test_no_stderr_at_all(tmp_path: Path) -> None:
    program = BEGIN + "sys.stderr = sys.__stderr__ = None\n" + CALLS
    assert run(tmp_path, program, LOG_TO_CONSOLE="true") == ("", "")
    assert messages(tmp_path) == CALLED


@pytest.mark.parametrize("profile", ["development", "testing"])
@breaks_with(own_lines_are_entries="count ==")
def test_a_profile_whose_stderr_leads_back(tmp_path: Path, profile: str) -> None:
    program = (
        BEGIN
        + LEADS_BACK["each_line"]
        + """
log.sovdev_initialize_environment()
log.sovdev_log("info", "call", "call 0", None)
logging.getLogger("app").info("by stdlib")
log.sovdev_shutdown()
print(log.sovdev_status().outputs["loguru"].logged)
sys.stderr = real
"""
    )
    variables = {"NAME_APP": "orders", "RUN_ENVIRONMENT": profile, "PATH_TO_LOGS": str(tmp_path)}
    out, printed = run(tmp_path, program, variables)
    count = int(out)
    assert count == 2
    lines = [line for line in printed.splitlines() if not line.startswith("[theirs]")]
    assert [sum(text in line for line in lines) for text in ("call 0", "by stdlib")] == [1, 1]
