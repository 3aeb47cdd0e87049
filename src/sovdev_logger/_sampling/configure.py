"""Sampling for any application: its own loggers, stdlib or structlog, with or without a service."""

import atexit
import logging
import os
import time
from collections.abc import Callable
from typing import Any, Final

from sovdev_logger._delivery.status import SamplingStatus
from sovdev_logger._runtime.fork import Phase, register_for_fork, unregister_for_fork
from sovdev_logger._runtime.multiprocessing_exit import end_with_multiprocessing_child
from sovdev_logger._runtime.stderr import FollowingStderr
from sovdev_logger._sampling.filter import AdaptiveSampler
from sovdev_logger._sampling.managed import ManagedSampler, start_sampler
from sovdev_logger._sampling.process import process_sampler, set_process_sampler
from sovdev_logger._settings.endpoint import is_network_trusted
from sovdev_logger._settings.reader import EnvironmentReader, parse_whole_number, usable_seconds
from sovdev_logger._settings.sampling import (
    DEFAULT_MAX_PATTERNS,
    DEFAULT_PATTERN_REPORT_SECONDS,
    DEFAULT_POLICY_REFRESH_SECONDS,
    LipServiceSettings,
    SamplingSettings,
    check_lipservice,
)

DEFAULT_SHUTDOWN_SECONDS: Final = 5.0
_TEAM_VARIABLE: Final = "LIPSERVICE_TEAM_ID"
_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s %(message)s"


class AdaptiveLogging:
    """The handle that ``configure_adaptive_logging`` returns: its status and its shutdown.

    Attributes:
        uses_structlog: Whether structlog's events are sampled.
    """

    def __init__(
        self, managed: ManagedSampler, undo: list[Callable[[], object]], *, uses_structlog: bool
    ) -> None:
        self.uses_structlog = uses_structlog
        self._managed = managed
        self._undo = undo
        register_for_fork(Phase.ADAPTIVE_LOGGING, self)
        end_with_multiprocessing_child(self, self._end)

    def status(self) -> SamplingStatus:
        """Return the policy in use, and what was decided so far. Thread and signal safe."""
        return self._managed.status()

    def shutdown(self, timeout_seconds: float = DEFAULT_SHUTDOWN_SECONDS) -> None:
        """Send the last report and restore handlers, root logger and structlog.

        May be called from any thread, with or without an event loop; safe to repeat. Never
        raises. It also happens when the interpreter exits.

        Args:
            timeout_seconds: The most seconds that the last report may take.
        """
        self._take_down()
        self._end(timeout_seconds)

    def reset_after_fork(self) -> None:
        """Send a last report in a child of ``multiprocessing``, too."""
        end_with_multiprocessing_child(self, self._end)

    def _end(self, timeout_seconds: float = DEFAULT_SHUTDOWN_SECONDS) -> None:
        deadline = time.monotonic() + timeout_seconds
        self._managed.begin_close(deadline)
        self._managed.end_close(deadline)

    def _take_down(self) -> None:
        atexit.unregister(self._end)
        unregister_for_fork(Phase.ADAPTIVE_LOGGING, self)
        if process_sampler() is self._managed:
            set_process_sampler(None)
        while self._undo:
            self._undo.pop()()
        if _current is self:
            _set_current(None)

    def _replace(self) -> None:
        """Take this one down without waiting; its last report is sent in the background."""
        self._take_down()
        self._managed.begin_close(time.monotonic() + DEFAULT_SHUTDOWN_SECONDS)


_current: AdaptiveLogging | None = None


def _set_current(current: AdaptiveLogging | None) -> None:
    global _current  # noqa: PLW0603 - a process has one
    _current = current


def configure_adaptive_logging(  # noqa: PLR0917 - the order is LipService's own client's
    service_name: str,
    lipservice_url: str,
    api_key: str | None = None,
    team_id: int | None = None,
    policy_refresh_interval: float = DEFAULT_POLICY_REFRESH_SECONDS,
    pattern_report_interval: float = DEFAULT_PATTERN_REPORT_SECONDS,
    downstream_handler: logging.Handler | None = None,
    use_structlog: bool = True,  # noqa: FBT001, FBT002 - as in LipService's own client
    max_pattern_cache_size: int = DEFAULT_MAX_PATTERNS,
    fallback_sample_rate: float | None = 1.0,
    trusted_network: bool | None = None,  # noqa: FBT001
) -> AdaptiveLogging:
    """Sample the application's records by the policy that LipService makes for it.

    Does not wait for the server. Errors, records with an exception and the first of each pattern
    always pass. A second call replaces the set-up of the first. A running sovdev service without
    sampling settings of its own samples in the same way.

    Args:
        service_name: The service's name at LipService.
        lipservice_url: The server's base URL.
        api_key: Sent as a bearer token, over TLS or to this machine, unless ``trusted_network`` is
            set.
        team_id: The team's number there; default is the variable ``LIPSERVICE_TEAM_ID``.
        policy_refresh_interval: Seconds between two requests for the policy, plus or minus 10 %.
        pattern_report_interval: Seconds between two reports, plus or minus 10 %.
        downstream_handler: Receives the kept records; it is added to the root logger. Without it
            the root logger's handlers receive them, or stderr if it has none.
        use_structlog: Whether structlog's events are sampled, where it is installed. A chain that
            the application configured stays, after the sampler; else events go to stdlib logging.
        max_pattern_cache_size: Maximum number of patterns in the table.
        fallback_sample_rate: The rate until the server has sent a policy: a number from 0 to 1,
            or None for the local defaults by level.
        trusted_network: Whether the key also goes over plain ``http://`` to other machines; None
            for the variable ``SOVDEV_TRUSTED_NETWORK``.

    Raises:
        ValueError, TypeError: An argument is not usable; the message says why.

    Specification: sampling, set-up.
    """
    settings = SamplingSettings(
        fallback_rate=_checked_rate(fallback_sample_rate),
        max_patterns=_checked_count(max_pattern_cache_size),
        lipservice=check_lipservice(
            LipServiceSettings(
                url=_checked_text("lipservice_url", lipservice_url),
                team_id=_checked_team(team_id),
                api_key=None if api_key is None else _checked_text("api_key", api_key),
                policy_refresh_seconds=_checked_seconds(
                    "policy_refresh_interval", policy_refresh_interval
                ),
                pattern_report_seconds=_checked_seconds(
                    "pattern_report_interval", pattern_report_interval
                ),
                trusted_network=is_network_trusted(EnvironmentReader(os.environ), trusted_network),
            )
        ),
    )
    name = _checked_text("service_name", service_name)
    if downstream_handler is not None and not isinstance(downstream_handler, logging.Handler):
        raise TypeError(
            f"downstream_handler must be a logging.Handler, not {type(downstream_handler).__name__}"
        )
    if _current is not None:
        _current._replace()  # noqa: SLF001 - its own class's other half
    undo: list[Callable[[], object]] = []
    managed = start_sampler(settings, name)
    _sample_handlers(AdaptiveSampler(managed.sampler), downstream_handler, undo)
    uses_structlog = use_structlog and _sample_structlog(undo)
    set_process_sampler(managed)
    configured = AdaptiveLogging(managed, undo, uses_structlog=uses_structlog)
    _set_current(configured)
    atexit.register(configured._end)  # noqa: SLF001
    return configured


def get_logger(name: str | None = None) -> Any:
    """Return a logger whose records are sampled: structlog's if that is set up, else stdlib's.

    Args:
        name: As for ``logging.getLogger``.
    """
    if _current is not None and _current.uses_structlog:
        import structlog  # noqa: PLC0415 - an extra

        return structlog.get_logger(name) if name else structlog.get_logger()
    return logging.getLogger(name)


def _sample_handlers(
    sampler: AdaptiveSampler,
    downstream: logging.Handler | None,
    undo: list[Callable[[], object]],
) -> None:
    root = logging.getLogger()
    is_fresh = not root.handlers
    if downstream is None and is_fresh:
        downstream = logging.StreamHandler(FollowingStderr())
        downstream.setFormatter(logging.Formatter(_FORMAT))
    if is_fresh and root.level == logging.WARNING:
        # Logging is not set up: info records would count as kept, but go nowhere.
        root.setLevel(logging.INFO)
        undo.append(lambda: root.setLevel(logging.WARNING))
    if downstream is not None and downstream not in root.handlers:
        root.addHandler(downstream)
        added = downstream
        undo.append(lambda: root.removeHandler(added))
    for handler in [downstream] if downstream is not None else root.handlers[:]:
        handler.addFilter(sampler)
        undo.append(lambda handler=handler: handler.removeFilter(sampler))  # type: ignore[misc]


def _sample_structlog(undo: list[Callable[[], object]]) -> bool:
    try:
        from sovdev_logger._sampling.structlog_chain import configure_structlog  # noqa: PLC0415
    except ImportError:
        return False
    undo.append(configure_structlog())
    return True


def _checked_text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    if not value.strip():
        raise ValueError(f"{name} is blank")
    return value.strip()


def _checked_team(team_id: int | None) -> int:
    if team_id is None:
        number = parse_whole_number(os.environ.get(_TEAM_VARIABLE, "").strip())
        if number is None:
            raise ValueError(
                f"team_id is missing: give the team's number at LipService, or set {_TEAM_VARIABLE}"
            )
        return number
    if isinstance(team_id, bool) or not isinstance(team_id, int):
        raise TypeError(f"team_id must be an int, not {type(team_id).__name__}")
    return team_id


def _checked_seconds(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, not {type(value).__name__}")
    seconds = usable_seconds(value)
    if seconds is None:
        raise ValueError(f"{name} must be a positive number of seconds, not {value!r}")
    return seconds


def _checked_count(value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"max_pattern_cache_size must be an int, not {type(value).__name__}")
    if value < 1:
        raise ValueError(f"max_pattern_cache_size must be at least 1, not {value}")
    return value


def _checked_rate(value: float | None) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(
            f"fallback_sample_rate must be a number or None, not {type(value).__name__}"
        )
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"fallback_sample_rate must be from 0 to 1, not {value!r}")
    return float(value)
