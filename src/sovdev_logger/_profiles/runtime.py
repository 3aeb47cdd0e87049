"""The profile of this process: its sinks, its hooks, and the way of records between them."""

import atexit
import os
import signal
import sys
import time
from dataclasses import replace
from types import FrameType
from typing import Final

from sovdev_logger._api.service import flush_in_handler, shutdown_in_handler
from sovdev_logger._entry.call_site import CallSite
from sovdev_logger._entry.stdlib_records import make_record
from sovdev_logger._outputs.loguru.sinks import LoguruHandler, LoguruSinks
from sovdev_logger._profiles.exit_hooks import ExitHooks, program_site
from sovdev_logger._runtime import signal_handlers
from sovdev_logger._runtime.fork import Phase, register_for_fork, run_profile_after_other_hooks
from sovdev_logger._runtime.multiprocessing_exit import end_with_multiprocessing_child
from sovdev_logger._runtime.selflog import warn
from sovdev_logger._runtime.stderr import write_line_to_stderr
from sovdev_logger._safety.sanitizer import Sanitizer
from sovdev_logger._service.instance import instance
from sovdev_logger._service.service import Service, stop_service
from sovdev_logger._settings.profile import Profile
from sovdev_logger.integrations._bridge import give_to_outputs
from sovdev_logger.integrations.stdlib import sovdev_capture_logging

_TEXTS: Final = {"message", "exception_message", "exception_stacktrace"}
_STOP_TIMEOUT_SECONDS: Final = 1.0


class ProfileRuntime:
    """What a process has from its profile: Loguru's sinks, and hooks of the interpreter.

    Attributes:
        hooks: Stay installed in forked children; None before the first profile.
    """

    def __init__(self) -> None:
        self.hooks: ExitHooks | None = None
        self._process_id = 0
        self._profile: Profile | None = None
        self._sinks: LoguruSinks | None = None
        self._handler: LoguruHandler | None = None
        self._bridge: int | None = None
        register_for_fork(Phase.PROFILE, self)

    @property
    def is_started(self) -> bool:
        """Whether this very process has a profile, and not only its parent."""
        return self._process_id == os.getpid()

    def leave_parents_service(self) -> None:
        """End what a forked child has from its parent, if there is anything."""
        if self._sinks is None:
            return
        if self._bridge is not None:
            self._sinks.logger.remove(self._bridge)
        self._sinks.remove()
        self._handler = self._bridge = None
        service, instance.service, instance.is_initialised = instance.service, None, False
        if service is not None:
            stop_service(service, _STOP_TIMEOUT_SECONDS)

    def start(self, profile: Profile) -> None:
        """Add the sinks and install the hooks. Raises ImportError or OSError."""
        self._sinks = LoguruSinks(profile, Sanitizer())
        self._profile = profile
        self._process_id = os.getpid()
        if self.hooks is not None:
            self.hooks.restart(profile.name)
            return
        self.hooks = ExitHooks(profile.name, self.log)
        self.hooks.install()
        run_profile_after_other_hooks()  # such as Loguru's, which releases its locks
        self._end_before_the_service()

    def connect(self, service: Service) -> None:
        """Lead everything that is logged in this process to the outputs and the sinks."""
        from sovdev_logger.integrations import loguru  # noqa: PLC0415 - an extra

        sinks = self._sinks
        if sinks is None:
            return
        sinks.sanitizer = service.sanitizer
        self._handler = LoguruHandler(service.entry_from_record, sinks)
        service.attachment.add("loguru", self._handler)
        service.apply_sampling_to_outputs()
        service.logger.finds_call_site = True
        level = service.settings.level.stdlib_number
        self._bridge = sinks.logger.add(
            loguru.sovdev_loguru_sink,
            level=level,
            format="{message}",
            backtrace=False,
            diagnose=False,
            filter=loguru.is_not_ours,
        )
        sovdev_capture_logging(level)
        self._handle_sigterm()
        self._end_before_the_service()

    def log(
        self, level: int, message: str, error: BaseException | None, site: CallSite | None
    ) -> None:
        """Log to all outputs, or to Loguru alone before there are any, or at least on stderr."""
        service = instance.service
        record = make_record(
            "sovdev_logger", level, message, site or CallSite(_main_file(), 0, "exit"), error
        )
        if service is not None:
            entry = service.logger.entry_from_record(record)
            if error is not None and entry is not None and service.sanitizer.redacts:
                for name in _TEXTS & entry.fields.keys():
                    entry.fields[name] = service.sanitizer.traceback(entry.fields[name], error)
            give_to_outputs(record)
        elif self._sinks is not None:
            text = self._sinks.sanitizer.text(message)
            self._sinks.logger.opt(exception=error).log(record.levelname, "{}", text)
        else:
            print_record(record.levelname, Sanitizer().text(message), site)

    def reset_after_fork(self) -> None:
        """Give a forked child a file of its own: two processes must not rotate one."""
        if self._sinks is not None and self._profile is not None:
            self._sinks.remove()
            own = replace(self._profile, name=f"{self._profile.name}-{os.getpid()}")
            self._sinks = LoguruSinks(own, self._sinks.sanitizer, is_forked=True)
            if self._handler is not None:
                self._handler.set_sinks(self._sinks)
        if self.hooks is not None:
            self.hooks.restart(self.hooks.name)

    def _end_before_the_service(self) -> None:
        """Register the exit hook last, so that it is called first."""
        atexit.unregister(self._end)
        atexit.register(self._end)
        end_with_multiprocessing_child(self, self._end)

    def _end(self) -> None:
        """Log how the process ends; then bypass Loguru, which ends before others do."""
        if self.hooks is not None:
            self.hooks.log_end()
        if self._handler is not None:
            service = instance.service
            timeout_seconds = service.settings.exit_timeout_seconds if service is not None else 0.0
            self._handler.wait_until_written(time.monotonic() + timeout_seconds)
            self._handler.is_bypassing = True

    def _handle_sigterm(self) -> None:
        try:
            signal_handlers.install(
                (signal.SIGTERM,), flush_in_handler, shutdown_in_handler, self._announce_signal
            )
        except RuntimeError:
            warn(
                "SIGTERM leaves no record: sovdev_initialize_environment was not called in the "
                "main thread, which alone can handle signals."
            )

    def _announce_signal(
        self,
        number: signal.Signals,
        frame: FrameType | None,
        ends: bool,  # noqa: FBT001 - as Announce has it
    ) -> None:
        if self.hooks is None:
            return
        handler = self._handler
        if handler is not None:
            handler.bypass_loguru_in(frame)
        try:
            self.hooks.log_signal(number, program_site(frame), ends=ends)
        finally:
            if handler is not None and not ends:
                handler.is_bypassing = False


runtime: Final = ProfileRuntime()


def print_record(level: str, message: str, site: CallSite | None) -> None:
    """Print a record to stderr, in the form of the terminal sink."""
    module, function, line = (site.module, site.function, site.line) if site else ("?", "?", 0)
    now = time.time()
    clock = f"{time.strftime('%H:%M:%S', time.localtime(now))}.{int(now * 1000) % 1000:03}"
    write_line_to_stderr(f"{clock} | {level} | {module}:{function}:{line} | {message}")


def _main_file() -> str:
    return getattr(sys.modules.get("__main__"), "__file__", None) or ""
