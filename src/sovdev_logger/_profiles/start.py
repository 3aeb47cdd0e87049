"""Services with profiles: one call that reads the rule book, and ends that say why."""

import atexit
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from types import FrameType
from typing import Final, NoReturn

from sovdev_logger._api.service import (
    DEFAULT_VERSION,
    flush_in_handler,
    shutdown_in_handler,
    start_service_of_process,
)
from sovdev_logger._entry.call_site import CallSite, calling_site
from sovdev_logger._entry.stdlib_records import make_record
from sovdev_logger._outputs.loguru.sinks import LoguruHandler, LoguruSinks
from sovdev_logger._profiles.exit_hooks import ExitHooks, end_process, place_of
from sovdev_logger._runtime import signal_handlers
from sovdev_logger._runtime.multiprocessing_exit import end_with_multiprocessing_child
from sovdev_logger._runtime.selflog import warn
from sovdev_logger._runtime.stderr import write_to_stderr
from sovdev_logger._safety.sanitizer import Sanitizer
from sovdev_logger._safety.traceback_redaction import redact_shown_values
from sovdev_logger._service.instance import instance
from sovdev_logger._service.service import stop_service
from sovdev_logger._settings.profile import (
    Profile,
    ProfileError,
    child_environment,
    read_profile,
)
from sovdev_logger.integrations._bridge import give_to_outputs
from sovdev_logger.integrations.stdlib import sovdev_capture_logging

EXIT_CODE_OF_A_WRONG_START: Final = 78
"""EX_CONFIG of sysexits.h; systemd shows it as 78/CONFIG."""

_TEXTS: Final = {"message", "exception_message", "exception_stacktrace"}
_STOP_TIMEOUT_SECONDS: Final = 1.0


class _Process:
    """What this process has from its profile."""

    def __init__(self, profile: Profile) -> None:
        self.process_id = os.getpid()
        self.profile = profile
        self.sanitizer = Sanitizer()
        self.sinks = LoguruSinks(profile, self.sanitizer)
        self.handler: LoguruHandler | None = None
        self.bridge: int | None = None

    def begin_anew(self) -> None:
        """Make a forked child independent: nobody writes into another process's file."""
        self.sinks.remove()
        own = replace(self.profile, name=f"{self.profile.name}-{os.getpid()}")
        self.sinks = LoguruSinks(own, self.sanitizer, is_forked=True)
        if self.handler is not None:
            self.handler.set_sinks(self.sinks)

    def remove(self) -> None:
        """Take everything off Loguru's logger."""
        if self.bridge is not None:
            self.sinks.logger.remove(self.bridge)
        self.sinks.remove()


class _Here:
    """The process's one profile, and its hooks, which stay installed in forked children."""

    process: _Process | None = None
    records: ExitHooks | None = None


def sovdev_initialize_environment(
    service_version: str = DEFAULT_VERSION,
    peer_services: Mapping[str, str] | None = None,
) -> None:
    """Start logging by the rule book of services: ``NAME_APP``, ``RUN_ENVIRONMENT`` and others.

    Terminal and file are Loguru's; other outputs are those that the environment asks for. All
    stdlib loggers, Loguru's ``logger`` and ``sovdev_log`` reach all of them. Uncaught exceptions,
    exits and SIGTERM leave a record. Call it once, first thing, in the main thread; a second call
    in the same process is silently ignored, in a forked child it starts the child's own.

    Where a variable is missing or wrong, or the extra ``loguru`` is missing, one CRITICAL line on
    stderr says so and the process exits with code 78.

    Args:
        service_version: Left at its default, ``SERVICE_VERSION`` of the environment is used.
        peer_services: Peer name to system id, usually ``PEER.mappings``.

    Raises:
        SystemExit: With code 78, after the line on stderr.
        TypeError: An argument has the wrong type.

    Specification: profiles.
    """
    process = _Here.process
    if process is not None:
        if process.process_id == os.getpid():
            return
        _leave_parents_service(process)
    try:
        profile = read_profile(os.environ)
        process = _Here.process = _Process(profile)
    except ProfileError as error:
        _refuse_to_start(str(error))
    except ImportError as error:
        _refuse_to_start(f"the extra loguru is missing ({error}): install sovdev-logger[loguru]")
    except OSError as error:
        _refuse_to_start(f"PATH_TO_LOGS must be a folder that this process can write to: {error}")
    _install_hooks(profile.name)
    start_service_of_process(
        profile.name, service_version, peer_services, _environ_of_service(profile)
    )
    _connect(process)


def sovdev_exit(reason: str, code: int = 0) -> NoReturn:
    """Log why the process ends, deliver everything, and exit with a code.

    The record is info for code 0 and error for others, and carries the exception that is being
    handled; with one, a code of 0 becomes 1. Delivery takes at most ``SOVDEV_EXIT_TIMEOUT_SECONDS``
    and what is left is kept on disk, so that even ``os._exit`` loses nothing afterwards. In another
    thread than the main one the process ends at once, without exit hooks.

    Args:
        reason: Why, in words.
        code: The exit code, 0 to 255; what is none becomes 1.

    Raises:
        SystemExit: With the code.

    Specification: profiles, exits.
    """
    error = sys.exc_info()[1]
    if isinstance(error, SystemExit):
        error = None
    is_code = isinstance(code, int) and 0 <= code <= 255  # noqa: PLR2004
    code = int(code) if is_code else 1
    if error is not None and code == 0:
        code = 1
    service = instance.service
    records = _Here.records
    if records is None:
        name = service.identity.service_name if service is not None else "the process"
        records = ExitHooks(name, _record)
    records.say_exit(str(reason), code, error)
    if service is not None:
        service.shutdown(service.settings.exit_timeout_seconds)
    end_process(code)


def sovdev_child_environment(what: str) -> dict[str, str]:
    """Return the environment for a child process, in which it has a name and a file of its own.

    The name comes from ``NAME_CHILD_PROCESS_<WHAT>`` and is the child's ``NAME_APP``. Give it to
    ``subprocess`` as ``env``; a child of ``multiprocessing`` does ``os.environ.update`` with it and
    then calls ``sovdev_initialize_environment``.

    Args:
        what: Which child, such as ``"import"``.

    Raises:
        ValueError: The variable is missing, no usable name, or the parent's own.

    Specification: profiles, child processes.
    """
    return child_environment(os.environ, what)


def _environ_of_service(profile: Profile) -> dict[str, str]:
    """Return the variables for the other outputs: the sinks stand for the console and the file."""
    environ = dict(os.environ)
    environ["LOG_TO_CONSOLE"] = "false"
    if not environ.get("LOG_FILE_PATH", "").strip():
        environ.setdefault("LOG_TO_FILE", "false")
    if not environ.get("SOVDEV_LOG_LEVEL", "").strip():
        environ["SOVDEV_LOG_LEVEL"] = profile.level_name.lower()
    if profile.folder is not None and not environ.get("SOVDEV_SPOOL_DIR", "").strip():
        environ["SOVDEV_SPOOL_DIR"] = str(profile.folder / "spool")
    return environ


def _install_hooks(name: str) -> None:
    if _Here.records is not None:
        _Here.records.start_anew(name)
        return
    _Here.records = ExitHooks(name, _record)
    _Here.records.install()
    _end_later()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork)


def _connect(process: _Process) -> None:
    """Lead everything that is logged in this process to the outputs and the sinks."""
    from sovdev_logger.integrations.loguru import is_not_ours, sovdev_loguru_sink  # noqa: PLC0415

    service = instance.service
    if service is None:
        return
    process.sanitizer = process.sinks.sanitizer = service.sanitizer
    process.handler = LoguruHandler(service.entry_from_record, process.sinks)
    service.attachment.add("loguru", process.handler)
    service.apply_sampling_to_outputs()
    service.logger.finds_call_site = True
    process.bridge = process.sinks.logger.add(
        sovdev_loguru_sink,
        level=service.settings.level.stdlib_number,
        format="{message}",
        backtrace=False,
        diagnose=False,
        filter=is_not_ours,
    )
    sovdev_capture_logging(service.settings.level.stdlib_number)
    _handle_signals()
    _end_later()


def _end_later() -> None:
    """Say the end before the service ends: what is registered last is called first."""
    atexit.unregister(_end)
    atexit.register(_end)
    if _Here.records is not None:
        end_with_multiprocessing_child(_Here.records, _end)


def _end() -> None:
    """Say how the process ends, and from now on write past Loguru, which ends before others do."""
    process, records, service = _Here.process, _Here.records, instance.service
    if records is not None:
        records.say_end()
    if process is not None and process.handler is not None:
        timeout_seconds = service.settings.exit_timeout_seconds if service is not None else 0.0
        process.handler.wait_until_written(time.monotonic() + timeout_seconds)
        process.handler.is_bypassing = True


def _handle_signals() -> None:
    try:
        signal_handlers.install(
            (signal.SIGTERM,), flush_in_handler, shutdown_in_handler, _announce_signal
        )
    except RuntimeError:
        warn(
            "SIGTERM leaves no record: sovdev_initialize_environment was not called in the main "
            "thread, which alone can handle signals."
        )


def _announce_signal(number: signal.Signals, frame: FrameType | None, ends: bool) -> None:  # noqa: FBT001
    process, records = _Here.process, _Here.records
    if process is None or records is None:
        return
    if process.handler is not None:
        process.handler.bypass_loguru_in(frame)
    try:
        records.say_signal(number, place_of(frame), ends=ends)
    finally:
        if process.handler is not None and not ends:
            process.handler.is_bypassing = False


def _record(level: int, message: str, error: BaseException | None, place: CallSite | None) -> None:
    """Log to all outputs, or to Loguru alone before there are any, or at least on stderr."""
    site = place or CallSite(_main_file(), 0, "exit")
    record = make_record("sovdev_logger", level, message, site, error)
    process, service = _Here.process, instance.service
    if service is not None:
        entry = service.logger.entry_from_record(record)
        if error is not None and entry is not None and service.sanitizer.redacts:
            for name in _TEXTS & entry.fields.keys():
                entry.fields[name] = redact_shown_values(entry.fields[name], error)
        give_to_outputs(record)
    elif process is not None:
        process.sinks.logger.opt(exception=error).log(
            record.levelname, "{}", process.sanitizer.text(message)
        )
    else:
        _say_critical(Sanitizer().text(message), place, record.levelname)


def _main_file() -> str:
    return getattr(sys.modules.get("__main__"), "__file__", None) or ""


def _leave_parents_service(process: _Process) -> None:
    """Let go of what a forked child has from its parent."""
    process.remove()
    service, instance.service, instance.is_initialised = instance.service, None, False
    if service is not None:
        stop_service(service, _STOP_TIMEOUT_SECONDS)


def _after_fork() -> None:
    if _Here.process is not None:
        _Here.process.begin_anew()
    if _Here.records is not None:
        _Here.records.start_anew(_Here.records.name)


def _refuse_to_start(message: str) -> NoReturn:
    _say_critical(message, calling_site(), "CRITICAL")
    end_process(EXIT_CODE_OF_A_WRONG_START)


def _say_critical(message: str, place: CallSite | None, level: str) -> None:
    module, function, line = "?", "?", 0
    if place is not None:
        module, function, line = place.module, place.function, place.line
    now = time.time()
    clock = f"{time.strftime('%H:%M:%S', time.localtime(now))}.{int(now * 1000) % 1000:03}"
    text = " ".join(message.split())
    write_to_stderr(f"{clock} | {level} | {module}:{function}:{line} | {text}\n")
