"""Profile-based services: initialisation from RUN_ENVIRONMENT."""

import os
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

from sovdev_logger._api.service import DEFAULT_VERSION, start_service_of_process
from sovdev_logger._entry.call_site import calling_site
from sovdev_logger._profiles.exit_hooks import end_process
from sovdev_logger._profiles.runtime import print_record, runtime
from sovdev_logger._service.instance import instance
from sovdev_logger._settings.profile import (
    Profile,
    ProfileError,
    child_environment,
    read_profile,
)

EXIT_CODE_OF_A_WRONG_START: Final = 78
"""EX_CONFIG of sysexits.h; systemd shows it as 78/CONFIG."""


def sovdev_initialize_environment(
    service_version: str | None = DEFAULT_VERSION,
    peer_services: Mapping[str, str] | None = None,
    *,
    redact: Callable[[str, Any], object] | None = None,
) -> None:
    """Start logging by the rule book of services: ``NAME_APP``, ``RUN_ENVIRONMENT`` and others.

    Terminal and file are Loguru's; other outputs are those that the environment asks for. All
    stdlib loggers, Loguru's ``logger`` and ``sovdev_log`` reach all of them. Uncaught exceptions,
    exits and SIGTERM leave a record. Call it once, first thing, in the main thread; a second call
    in the same process is silently ignored, in a forked child it starts the child's own.

    Where a variable is missing or wrong, or the extra ``loguru`` is missing, one CRITICAL line on
    stderr says so and the process exits with code 78.

    Args:
        service_version: As for ``sovdev_initialize``.
        peer_services: Peer name to system id, usually ``PEER.mappings``.
        redact: As for ``sovdev_initialize``.

    Raises:
        SystemExit: With code 78, after the line on stderr.
        TypeError: An argument has the wrong type.

    Specification: profiles.
    """
    if runtime.is_started:
        return
    runtime.leave_parents_service()
    try:
        profile = read_profile(os.environ)
        runtime.start(profile)
    except ProfileError as error:
        _refuse_to_start(str(error))
    except ImportError as error:
        _refuse_to_start(f"the extra loguru is missing ({error}): install sovdev-logger[loguru]")
    except OSError as error:
        _refuse_to_start(f"PATH_TO_LOGS must be a folder that this process can write to: {error}")
    start_service_of_process(
        profile.name, service_version, peer_services, _environ_of_service(profile), redact
    )
    runtime.connect(instance.required_by("sovdev_initialize_environment"))


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
    """Return the variables for the other outputs: the sinks replace the console and the file."""
    environ = dict(os.environ)
    environ["LOG_TO_CONSOLE"] = "false"
    if not environ.get("LOG_FILE_PATH", "").strip():
        environ.setdefault("LOG_TO_FILE", "false")
    if not environ.get("SOVDEV_LOG_LEVEL", "").strip():
        environ["SOVDEV_LOG_LEVEL"] = profile.level_name.lower()
    if profile.folder is not None and not environ.get("SOVDEV_SPOOL_DIR", "").strip():
        environ["SOVDEV_SPOOL_DIR"] = str(profile.folder / "spool")
    return environ


def _refuse_to_start(message: str) -> NoReturn:
    print_record("CRITICAL", message, calling_site())
    end_process(EXIT_CODE_OF_A_WRONG_START)
