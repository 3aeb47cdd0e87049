"""Services with profiles: what they need to start, and what they leave when they end."""

import itertools
import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from support.processes import breaks_with, finish, run, start
from support.service import read_lines

TIME = r"\d\d:\d\d:\d\d\.\d{3}"
LINE = re.compile(
    rf"(?P<date>\d{{4}}-\d\d-\d\d )?{TIME} \| (?P<level>[A-Z]+) \| "
    r"(?P<module>[^:]*):(?P<function>[^:]*):(?P<line>\d+) \| (?P<message>.*)"
)
BEGIN = """
import atexit, asyncio, logging, os, signal, subprocess, sys, threading, time
import sovdev_logger as log
from loguru import logger
"""
UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
INITIALISE = BEGIN + "log.sovdev_initialize_environment()\n"


def variables(folder: Path, environment: str = "production", **others: str) -> dict[str, str]:
    return {
        "NAME_APP": "orders",
        "RUN_ENVIRONMENT": environment,
        "PATH_TO_LOGS": str(folder / "app"),
        **others,
    }


def app_lines(folder: Path, name: str = "orders") -> list[re.Match[str]]:
    """Return the lines of an application's file that begin a record."""
    text = (folder / "app" / f"{name}.log").read_text(encoding="utf-8")
    return [found for line in text.splitlines() if (found := LINE.fullmatch(line))]


def said(folder: Path, name: str = "orders") -> list[tuple[str, str]]:
    return [(line["level"], line["message"]) for line in app_lines(folder, name)]


# What is needed to start.

VALUES = {
    "NAME_APP": [None, "", "a/b", "orders"],
    "RUN_ENVIRONMENT": [None, "", "prod", "development", "testing", "production"],
    "PATH_TO_LOGS": [None, "", "/dev/null/logs", "app"],
    "LOG_MAX_SIZE": [None, "", "-1", "2"],
    "LOG_MAX_FILES": [None, "", "2.5", "3"],
}


def wrong_in(given: dict[str, str | None]) -> list[str]:
    """Return the variables that must be named, by the rule book."""
    wrong = []
    if given["NAME_APP"] != "orders":
        wrong.append("NAME_APP")
    if given["RUN_ENVIRONMENT"] not in {"development", "testing", "production"}:
        wrong.append("RUN_ENVIRONMENT")
    if given["RUN_ENVIRONMENT"] in {"testing", "production"} and given["PATH_TO_LOGS"] != "app":
        wrong.append("PATH_TO_LOGS")
    if given["LOG_MAX_SIZE"] == "-1":
        wrong.append("LOG_MAX_SIZE")
    if given["LOG_MAX_FILES"] == "2.5":
        wrong.append("LOG_MAX_FILES")
    return wrong


def check_start(given: dict[str, str | None], code: int, err: str, files: list[str]) -> None:
    wrong, environment = wrong_in(given), given["RUN_ENVIRONMENT"]
    if not wrong:
        assert code == 0, (given, err)
        assert files == ([] if environment == "development" else ["orders.log"]), given
        lines = [LINE.fullmatch(line) for line in err.splitlines()]
        assert all(lines), err
        shown = [line["message"] for line in lines if line is not None]
        assert shown == ([] if environment == "production" else ["up", "orders ends"]), given
        return
    assert code == 78, (given, err)
    assert len(err.splitlines()) == 1, err
    assert " | CRITICAL | " in err
    for name in wrong:
        value = given[name]
        assert f"{name} must be" in err
        assert ("it is missing" if value is None else f"it was {value!r}") in err
    for name in given.keys() - set(wrong):
        assert f"{name} must be" not in err


FORK_FOR_EACH = """
import atexit, json, os, sys, time
import sovdev_logger._profiles.start as log
import loguru._file_sink
from sovdev_logger import sovdev_log
cases = json.load(sys.stdin)
results = []
for number, case in enumerate(cases):
    folder = os.path.abspath(f"case{number}")
    os.mkdir(folder)
    child = os.fork()
    if child == 0:
        code = 0
        try:
            os.chdir(folder)
            os.dup2(os.open("err", os.O_WRONLY | os.O_CREAT), 2)
            for name, value in case.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value
            log.sovdev_initialize_environment()
            sovdev_log("info", "main", "up", None)
        except SystemExit as ended:
            code = ended.code
        except BaseException:
            code = 99
        atexit._run_exitfuncs()
        os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    app = os.path.join(folder, "app")
    files = sorted(os.listdir(app)) if os.path.isdir(app) else []
    results.append([code, open(os.path.join(folder, "err")).read(), files])
print(json.dumps(results))
"""


def test_every_combination_of_the_variables(tmp_path: Path, sized: Callable[..., int]) -> None:
    """Each in a process of its own, which is forked to save the imports."""
    cases = [
        dict(zip(VALUES, values, strict=True)) for values in itertools.product(*VALUES.values())
    ]
    assert len(cases) == 1536
    cases = cases[:: sized(5, full=1)]  # 5 divides no number of values
    process = start(tmp_path, FORK_FOR_EACH, LOG_FILE_PATH="", SOVDEV_SPOOL="false")
    out, err = finish(process, 280, json.dumps(cases))
    assert process.returncode == 0, err
    results = json.loads(out)
    assert len(results) == len(cases)
    for case, (code, said_there, files) in zip(cases, results, strict=True):
        check_start(case, code, said_there, files)


@pytest.mark.parametrize("environment", ["development", "testing", "production"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[
            pytest.param(name, value, marks=pytest.mark.sized(least="full"))
            for name, values in VALUES.items()
            for value in values  # each is among the combinations above, too
        ],
        ("NAME_APP", " "),
        ("NAME_APP", ".."),
        ("LOG_MAX_SIZE", "nan"),
        ("LOG_MAX_SIZE", "0"),
        ("LOG_MAX_FILES", "0"),
    ],
)
def test_one_variable_at_a_time(
    tmp_path: Path, name: str, value: str | None, environment: str
) -> None:
    given: dict[str, str | None] = {
        "NAME_APP": "orders",
        "RUN_ENVIRONMENT": environment,
        "PATH_TO_LOGS": "app",
        "LOG_MAX_SIZE": None,
        "LOG_MAX_FILES": None,
        name: value,
    }
    unset = [one for one, text in given.items() if text is None]
    body = f"for name in {unset!r}:\n    os.environ.pop(name, None)\n"
    body = BEGIN + body + "log.sovdev_initialize_environment()\n"
    body += 'log.sovdev_log("info", "main", "up", None)\n'
    process = start(
        tmp_path,
        body,
        LOG_FILE_PATH="",
        **{one: text for one, text in given.items() if text is not None},
    )
    _, err = finish(process)
    app = tmp_path / "app"
    files = sorted(path.name for path in app.iterdir()) if app.is_dir() else []
    if value in {" ", "..", "nan", "0"}:
        assert process.returncode == 78
        assert f"{name} must be" in err
        assert f"it was {value!r}" in err
        return
    check_start(given, process.returncode or 0, err, files)


def test_the_missing_extra_is_named(tmp_path: Path) -> None:
    body = 'import sys\nsys.modules["loguru"] = None\n' + INITIALISE.replace(
        "from loguru import logger\n", ""
    )
    _, err = run(tmp_path, body, variables(tmp_path), code=78)
    assert "sovdev-logger[loguru]" in err
    assert len(err.splitlines()) == 1


# Where lines come from and where they go.

THREE_WAYS = (
    INITIALISE
    + """
def work():
    log.sovdev_log("info", "other_name", "by sovdev", None, {"a": 1})
    logging.getLogger("somebody.else").warning("by %s", "stdlib", extra={"b": 2})
    logger.bind(c=3).info("by {}", "loguru")
    logger.success("well")
    log.sovdev_log("debug", "f", "quiet", None)
    log.sovdev_log("trace", "f", "quieter", None)
work()
log.sovdev_flush()
found = log.sovdev_status().outputs
print(found["loguru"].logged, found["file"].logged)
"""
)


@pytest.mark.parametrize("environment", ["development", "testing", "production"])
def test_all_three_ways_reach_all_outputs_once(tmp_path: Path, environment: str) -> None:
    (tmp_path / "service.py").write_text(THREE_WAYS, encoding="utf-8")
    body = 'import sys\nsys.argv = ["service.py"]\nimport runpy\n'
    body += 'runpy.run_path("service.py", run_name="__main__")\n'
    out, err = run(tmp_path, body, variables(tmp_path, environment))
    expected = [
        ("INFO", "service", "work", "by sovdev"),
        ("WARNING", "service", "work", "by stdlib"),
        ("INFO", "service", "work", "by loguru"),
        ("SUCCESS", "service", "work", "well"),
    ]
    if environment == "development":
        expected.append(("DEBUG", "service", "work", "quiet"))
    places = {}
    if environment != "production":
        found = [LINE.fullmatch(line) for line in err.splitlines()]
        assert all(found), err
        places["terminal"] = [line for line in found if line is not None]
        assert not any(line["date"] for line in places["terminal"])
    if environment != "development":
        places["file"] = app_lines(tmp_path)
        assert all(line["date"] for line in places["file"])
    else:
        assert not (tmp_path / "app").exists()
    for lines in places.values():
        assert [
            (line["level"], line["module"], line["function"], line["message"])
            for line in lines[:-1]
        ] == expected
        assert lines[-1]["message"] == "orders ends"
        numbers = [int(line["line"]) for line in lines[:3]]
        assert numbers == [numbers[0], numbers[0] + 1, numbers[0] + 2]
    entries = read_lines(tmp_path / "dev.log")
    assert [entry["message"] for entry in entries[:-1]] == [message for *_, message in expected]
    assert [entry["input_json"] for entry in entries[:3]] == [{"a": 1}, {"b": 2}, {"c": 3}]
    assert [entry["function_name"] for entry in entries[:3]] == ["other_name", "work", "work"]
    assert entries[3]["level"] == "info"
    # What Loguru got by itself is not given back to it.
    assert out == f"{len(expected) - 2} {len(expected)}\n"


def test_sinks_of_the_user_get_everything_once(tmp_path: Path) -> None:
    body = (
        INITIALISE
        + """
    got = []
    logger.add(lambda message: got.append(message.record["message"]), format="{message}")
    log.sovdev_log("info", "f", "one", None)
    logging.getLogger("x").info("two")
    logger.info("three")
    print(got)
    """.replace("\n    ", "\n")
    )
    out, _ = run(tmp_path, body, variables(tmp_path))
    assert out == "['one', 'two', 'three']\n"


def test_a_message_cannot_pretend_to_be_a_line(tmp_path: Path) -> None:
    body = (
        INITIALISE
        + """
for say in (lambda text: log.sovdev_log("info", "f", text, None), logger.info):
    say("a\\n2026-01-01 00:00:00.000 | INFO | x:y:1 | forged <red>{b}</red>")
    say("password=hunter2secret")
"""
    )
    run(tmp_path, body, variables(tmp_path))
    forged = "a\\n2026-01-01 00:00:00.000 | INFO | x:y:1 | forged <red>{b}</red>"
    expected = [forged, "password=[REDACTED]"] * 2 + ["orders ends"]
    assert [message for _, message in said(tmp_path)] == expected


FORGED = "2026-01-01 00:00:00.000 | INFO | x:y:1 | forged"
ATTACKS = f"""
import linecache
attack = "a\\r\\n{FORGED}\\n{FORGED[11:]}\\x1b[2J\\x9b1A\\u202e\\u2028\\x85\\ud800 "
attack += "token=hunter2secret"
class Shown:
    def __repr__(self):
        return attack
code = f"def raises(shown):\\n    raise OSError(shown) # \\u202e\\x85"
linecache.cache["f\\n{FORGED}.py"] = len(code), None, code.splitlines(True), "f\\n{FORGED}.py"
names = {{}}
exec(compile(code, "f\\n{FORGED}.py", "exec"), names)
def fails():
    try:
        names["raises"](Shown())
    except OSError as error:
        error.add_note(attack)
        group = ExceptionGroup(attack, [KeyError(attack), error])
        raise type("Odd\\n{FORGED}", (ValueError,), {{}})(attack) from group
for report in (
    lambda error: log.sovdev_log("error", attack, attack, None, exception=error),
    lambda error: logging.getLogger("x").exception(attack, exc_info=error),
    lambda error: logger.opt(exception=error).error("{{}}", attack),
):
    try:
        fails()
    except ValueError as error:
        report(error)
fails()
"""


def test_an_exception_cannot_pretend_to_be_a_line(tmp_path: Path) -> None:
    _, err = run(tmp_path, INITIALISE + ATTACKS, variables(tmp_path, "testing"), code=1)
    written = (tmp_path / "app" / "orders.log").read_bytes().decode()
    for text in (written, err):
        lines = text.removesuffix("\n").split("\n")
        assert [line for line in lines if UNSAFE.search(line)] == []
        assert sum(LINE.match(line) is not None for line in lines) == 4
        assert "hunter2secret" not in text
        assert text.count(FORGED) > 4


# How a process ends.

CRASHES = {
    "main": ("raise ValueError('boom')", 1, "CRITICAL", "uncaught ValueError: boom"),
    "thread": (
        "t = threading.Thread(target=lambda: 1 / 0, name='w'); t.start(); t.join()",
        0,
        "CRITICAL",
        "uncaught ZeroDivisionError in thread w: division by zero",
    ),
    "task": (
        "async def bad():\n    raise ValueError('boom')\n"
        "async def main():\n    asyncio.create_task(bad()); await asyncio.sleep(0.01)\n"
        "asyncio.run(main())",
        0,
        "CRITICAL",
        "uncaught ValueError in asyncio (Task exception was never retrieved): boom",
    ),
    "del": (
        "class Bad:\n    def __del__(self):\n        raise ValueError('boom')\n"
        "bad = Bad(); del bad",
        0,
        "CRITICAL",
        "uncaught ValueError in Bad.__del__: boom",
    ),
    "atexit, after us": (
        "atexit.register(lambda: 1 / 0)",
        0,
        "CRITICAL",
        "uncaught ZeroDivisionError in <lambda>: division by zero",
    ),
    "sys.exit": ("sys.exit('no more')", 1, "ERROR", "orders exits with code 1: no more"),
    "sys.exit(3)": ("sys.exit(3)", 3, "ERROR", "orders exits with code 3"),
    "sys.exit()": ("sys.exit()", 0, "INFO", "orders exits with code 0"),
    "os._exit": (
        "try:\n    log.sovdev_exit('nothing to do', 4)\nexcept SystemExit as e:\n"
        "    os._exit(e.code)",
        4,
        "ERROR",
        "orders exits with code 4: nothing to do",
    ),
    "sovdev_exit": (
        "log.sovdev_exit('done')",
        0,
        "INFO",
        "orders exits with code 0: done",
    ),
    "sovdev_exit in an except": (
        "try:\n    1 / 0\nexcept ZeroDivisionError:\n    log.sovdev_exit('cannot go on')",
        1,
        "ERROR",
        "orders exits with code 1: cannot go on",
    ),
    "sovdev_exit in a thread": (
        "t = threading.Thread(target=log.sovdev_exit, args=('done', 5)); t.start(); t.join()\n"
        "time.sleep(60)",
        5,
        "ERROR",
        "orders exits with code 5: done",
    ),
    "interrupt": ("raise KeyboardInterrupt", -2, "WARNING", "orders ends: interrupted"),
    "SIGTERM": ("os.kill(os.getpid(), 15); time.sleep(60)", -15, "INFO", "orders ends: SIGTERM"),
    "the end": ("pass", 0, "INFO", "orders ends"),
}


@pytest.mark.parametrize("environment", ["development", "testing", "production"])
@pytest.mark.parametrize("crash", CRASHES)
def test_every_end_leaves_a_record(tmp_path: Path, crash: str, environment: str) -> None:
    code, status, level, message = CRASHES[crash]
    _, err = run(tmp_path, INITIALISE + code, variables(tmp_path, environment), code=status)
    if environment == "development":
        lines = [found for line in err.splitlines() if (found := LINE.fullmatch(line))]
    else:
        lines = app_lines(tmp_path)
    records = [(line["level"], line["message"]) for line in lines]
    if "atexit" in crash:  # how it is called there differs from Python to Python
        (message,) = [one for _, one in records if one.endswith(": division by zero")]
    assert (level, message) in records
    assert [one for _, one in records if one.startswith("orders ")][1:] == []
    entries = read_lines(tmp_path / "dev.log")
    assert message in [entry["message"] for entry in entries]
    if level == "CRITICAL":
        text = err if environment == "development" else (tmp_path / "app/orders.log").read_text()
        assert "Traceback (most recent call last)" in text
        assert [entry["level"] for entry in entries if entry["message"] == message] == ["fatal"]
    if environment == "production":
        assert "Traceback" not in err or crash == "interrupt"


def test_the_record_of_an_atexit_hook_that_runs_after_all_of_ours(tmp_path: Path) -> None:
    body = "import atexit\natexit.register(lambda: 1 / 0)\n" + INITIALISE
    run(tmp_path, body, variables(tmp_path))
    (found,) = [message for level, message in said(tmp_path) if level == "CRITICAL"]
    assert re.fullmatch("uncaught ZeroDivisionError in .*<lambda>.*: division by zero", found)


def test_a_start_that_fails_after_the_profile_is_recorded(tmp_path: Path) -> None:
    body = BEGIN + "log.sovdev_initialize_environment(peer_services=5)\n"
    run(tmp_path, body, variables(tmp_path), code=1)
    (found,) = said(tmp_path)
    assert found[0] == "CRITICAL"
    assert "uncaught TypeError: peer_services must be a mapping" in found[1]


def test_earlier_hooks_are_still_called(tmp_path: Path) -> None:
    body = (
        """
import sys, threading
def main_hook(*_): print("main hook", flush=True)
sys.excepthook = main_hook
threading.excepthook = lambda args: print("thread hook", flush=True)
sys.unraisablehook = lambda args: print("unraisable hook", flush=True)
"""
        + INITIALISE
        + """
t = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()
class Bad:
    def __del__(self): 1 / 0
Bad()
raise ValueError
"""
    )
    out, _ = run(tmp_path, body, variables(tmp_path), code=1)
    assert out == "thread hook\nunraisable hook\nmain hook\n"
    assert [level for level, _ in said(tmp_path)] == ["CRITICAL"] * 3


def test_a_second_call_changes_nothing(tmp_path: Path) -> None:
    body = (
        INITIALISE
        + """
os.environ["NAME_APP"] = "other"
log.sovdev_initialize_environment()
log.sovdev_log("info", "f", "once", None)
"""
    )
    run(tmp_path, body, variables(tmp_path))
    assert said(tmp_path) == [("INFO", "once"), ("INFO", "orders ends")]


def test_sovdev_exit_without_a_profile(tmp_path: Path) -> None:
    body = (
        BEGIN
        + """
log.sovdev_initialize("orders")
log.sovdev_exit("nothing to do", 7)
"""
    )
    run(tmp_path, body, code=7)
    assert read_lines(tmp_path / "dev.log")[-1]["message"].endswith("code 7: nothing to do")
    _, err = run(tmp_path, BEGIN + "log.sovdev_exit('too early', 300)", code=1)
    assert "the process exits with code 1: too early" in err


@breaks_with(signal_handler_does_not_bypass_loguru="sorted(messages) ==")
def test_sigterm_in_the_middle_of_loguru_leaves_a_record(tmp_path: Path) -> None:
    """Loguru refuses what a signal handler logs while its own lock is held."""
    body = (
        INITIALISE
        + """
from sovdev_logger._outputs.loguru.queue import InProcessQueue
put = InProcessQueue.put
def put_and_end(self, message):
    InProcessQueue.put = put
    put(self, message)
    os.kill(os.getpid(), signal.SIGTERM)
InProcessQueue.put = put_and_end
logger.info("the last words")
print("goes on")
"""
    )
    out, err = run(tmp_path, body, variables(tmp_path), code=-signal.SIGTERM)
    assert out == ""
    messages = [message for _, message in said(tmp_path)]
    assert sorted(messages) == ["orders ends: SIGTERM", "the last words"], err


def test_sigterm_at_any_moment_leaves_a_record(tmp_path: Path, sized: Callable[..., int]) -> None:
    body = (
        INITIALISE
        + """
print("up", flush=True)
while True:
    logger.info("x" * 200)
    log.sovdev_log("info", "f", "y" * 200, None)
"""
    )
    for turn in range(sized(8, full=20)):
        folder = tmp_path / str(turn)
        folder.mkdir()
        process = start(folder, body, variables(folder, LOG_MAX_SIZE="100"))
        assert process.stdout is not None
        process.stdout.readline()
        # The moment is what the time to here makes it.
        process.send_signal(signal.SIGTERM)
        _, err = finish(process)
        assert process.returncode == -signal.SIGTERM, err
        ends = [message for _, message in said(folder) if message == "orders ends: SIGTERM"]
        assert len(ends) == 1, err


# Secrets.

SECRETS = (
    INITIALISE
    + """
API_KEY = "key-of-the-module-1"
class Session:
    def __init__(self):
        self.token = "tok-in-an-object-2"
def connect(user, password, options):
    session, harmless = Session(), password
    shown = "this may be seen"
    copied = f"dsn://{harmless}@host"
    raise RuntimeError(f"cannot connect as {user} with {harmless}" + shown[:0] + API_KEY)
def main():
    try:
        connect("anna", "pw-of-the-frame-3", {"client_secret": "in-a-dict-4", "x": b"5"})
    except RuntimeError as error:
        raise ValueError("wrapped") from error
main()
"""
)


@breaks_with(values_of_variables_are_shown="secret not in")
def test_secrets_of_crashing_frames_are_not_written(tmp_path: Path) -> None:
    (tmp_path / "service.py").write_text(SECRETS, encoding="utf-8")
    body = 'import runpy, sys\nrunpy.run_path("service.py", run_name="__main__")\n'
    _, err = run(tmp_path, body, variables(tmp_path, "testing"), code=1)
    for text in (
        err,
        (tmp_path / "app" / "orders.log").read_text(),
        (tmp_path / "dev.log").read_text(),
    ):
        assert "anna" in text
        for secret in ("tok-in-an-object-2", "pw-of-the-frame-3", "in-a-dict-4", "of-the-module-1"):
            assert secret not in text.replace(SECRETS, ""), secret
        assert "[REDACTED]" in text


# Child processes.

CHILD = (
    BEGIN
    + """
def work(environment, count):
    os.environ.update(environment)
    log.sovdev_initialize_environment()
    for number in range(count):
        log.sovdev_log("info", "work", f"{os.environ['NAME_APP']} {number} " + "x" * 700, None)
"""
)

PARENTS = {
    "subprocess": """
children = [
    subprocess.Popen(
        [sys.executable, "-c", CODE + "work({}, 5000)"], env=log.sovdev_child_environment(what)
    )
    for what in ("first", "second", "third", "fourth")
]
codes = [child.wait() for child in children]
""",
    **{
        method: f"""
import multiprocessing
sys.path.insert(0, os.getcwd())
import child
context = multiprocessing.get_context({method!r})
children = [
    context.Process(target=child.work, args=(log.sovdev_child_environment(what), 5000))
    for what in ("first", "second", "third", "fourth")
]
for one in children:
    one.start()
for one in children:
    one.join()
codes = [one.exitcode for one in children]
"""
        for method in ("fork", "spawn", "forkserver")
    },
}
NAMES = {f"NAME_CHILD_PROCESS_{what.upper()}": what for what in ("first", "second", "third")}
NAMES["NAME_CHILD_PROCESS_FOURTH"] = "orders.fourth"


@pytest.mark.parametrize("way", PARENTS)
def test_four_children_write_their_own_files(tmp_path: Path, way: str) -> None:
    (tmp_path / "child.py").write_text(CHILD, encoding="utf-8")
    body = (
        INITIALISE
        + f"CODE = {CHILD!r}\n"
        + PARENTS[way]
        + """
log.sovdev_log("info", "main", "all are back", None)
assert codes == [0] * 4, codes
"""
    )
    sizes = {"LOG_MAX_SIZE": "1", "LOG_MAX_FILES": "5"}
    run(
        tmp_path,
        body.replace("__main__", "main"),
        variables(tmp_path, LOG_FILE_PATH="", **NAMES, **sizes),
    )
    app = tmp_path / "app"
    expected = {*NAMES.values(), "orders"}
    for name in NAMES.values():
        own = [
            path for path in app.iterdir() if re.match(re.escape(name) + r"\.(log|\d)", path.name)
        ]
        assert 3 <= len(own) - 1 <= 5
        assert all(path.stat().st_size <= 1_000_000 for path in own)
        lines = [line for path in own for line in path.read_text().splitlines()]
        assert all(LINE.fullmatch(line) for line in lines)
        messages = [line.rpartition(" | ")[2].rpartition(" ")[0] for line in lines]
        wanted = {f"{name} {number}" for number in range(5000)}
        assert wanted == {message for message in messages if message != f"{name}"}
        assert len(messages) == 5001
    assert [message for _, message in said(tmp_path)] == ["all are back", "orders ends"]
    names = {re.sub(r"(\.\d{4}-.*)?\.log$", "", path.name) for path in app.iterdir()}
    assert names == expected


def test_a_crash_in_a_child_of_multiprocessing_is_recorded(tmp_path: Path) -> None:
    (tmp_path / "child.py").write_text(
        CHILD + "def crash(environment):\n    work(environment, 1)\n    1 / 0\n", encoding="utf-8"
    )
    body = (
        INITIALISE
        + """
import multiprocessing
sys.path.insert(0, os.getcwd())
import child
for method in ("fork", "spawn"):
    os.environ["NAME_CHILD_PROCESS_IMPORT"] = method
    one = multiprocessing.get_context(method).Process(
        target=child.crash, args=(log.sovdev_child_environment("import"),)
    )
    one.start()
    one.join()
    assert one.exitcode == 1
"""
    )
    run(tmp_path, body, variables(tmp_path))
    for method in ("fork", "spawn"):
        assert [level for level, _ in said(tmp_path, method)] == ["INFO", "CRITICAL"]


@breaks_with(child_keeps_its_parents_sinks='orders-{child}.log").exists()')
def test_a_forked_child_without_a_name_has_a_file_of_its_own(tmp_path: Path) -> None:
    body = (
        INITIALISE
        + """
log.sovdev_log("info", "f", "parent", None)
child = os.fork()
if child == 0:
    log.sovdev_log("info", "f", "by sovdev", None)
    logger.info("by loguru")
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
print(child)
"""
    )
    out, _ = run(tmp_path, body, variables(tmp_path))
    child = int(out)
    assert said(tmp_path) == [("INFO", "parent"), ("INFO", "orders ends")]
    assert (tmp_path / "app" / f"orders-{child}.log").exists()
    assert said(tmp_path, f"orders-{child}") == [
        ("INFO", "by sovdev"),
        ("INFO", "by loguru"),
        ("INFO", "orders exits with code 0"),
    ]


def test_forks_while_threads_log_do_not_hang(tmp_path: Path, sized: Callable[..., int]) -> None:
    """With the pipe that Loguru enqueues by, half of such processes hang.

    It depends on the order in which a set gives its locks, so it is no mutant that always shows.
    """
    body = (
        INITIALISE
        + """
stop = threading.Event()
def talk():
    while not stop.is_set():
        logger.info("y" * 5000)
        log.sovdev_log("info", "f", "x" * 100, None)
threads = [threading.Thread(target=talk) for _ in range(4)]
for thread in threads:
    thread.start()
for turn in range(int(os.environ["FORKS"])):
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        logger.info("child")
        log.sovdev_log("info", "f", "child", None)
        log.sovdev_flush()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, turn
stop.set()
for thread in threads:
    thread.join()
"""
    )
    # Rotation makes the writer slow, so that what is queued is more than a pipe holds.
    forks = str(sized(30, full=100))
    limits = variables(tmp_path, LOG_MAX_SIZE="0.02", LOG_FILE_PATH="")
    run(tmp_path, body, {**limits, "FORKS": forks})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "NAME_CHILD_PROCESS_DATA_IMPORT must be .* it is missing"),
        ({"NAME_CHILD_PROCESS_DATA_IMPORT": " "}, "it was ' '"),
        ({"NAME_CHILD_PROCESS_DATA_IMPORT": "a/b"}, "it was 'a/b'"),
        ({"NAME_CHILD_PROCESS_DATA_IMPORT": "orders"}, "another name than NAME_APP"),
    ],
)
def test_a_child_needs_a_name(
    given: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sovdev_logger import sovdev_child_environment

    monkeypatch.setenv("NAME_APP", "orders")
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=words):
        sovdev_child_environment("data-import")
    monkeypatch.setenv("NAME_CHILD_PROCESS_DATA_IMPORT", "import")
    assert sovdev_child_environment("data-import") == {**os.environ, "NAME_APP": "import"}
