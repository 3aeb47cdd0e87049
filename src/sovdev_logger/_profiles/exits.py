"""Exits that are logged with their reason."""

import sys
from typing import NoReturn

from sovdev_logger._profiles.exit_hooks import ExitHooks, end_process
from sovdev_logger._profiles.runtime import runtime
from sovdev_logger._service.instance import instance


def sovdev_exit(reason: str, code: int = 0) -> NoReturn:
    """Log why the process ends, deliver everything, and exit with a code.

    The record is info for code 0 and error for others, and carries the exception that is being
    handled; with one, a code of 0 becomes 1. Delivery takes at most ``SOVDEV_EXIT_TIMEOUT_SECONDS``
    and what is left is kept on disk, so that even ``os._exit`` loses nothing afterwards. In another
    thread than the main one the process ends at once, without exit hooks.

    Args:
        reason: Why, in words.
        code: The exit code, 0 to 255; any other value becomes 1.

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
    service, hooks = instance.service, runtime.hooks
    if hooks is None:
        name = service.identity.service_name if service is not None else "the process"
        hooks = ExitHooks(name, runtime.log)
    hooks.log_exit(str(reason), code, error)
    if service is not None:
        service.shutdown(service.settings.exit_timeout_seconds)
    end_process(code)
