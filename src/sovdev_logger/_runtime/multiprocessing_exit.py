"""An exit hook for children of ``multiprocessing``, which run none of ``atexit``."""

import sys
import threading
from collections.abc import Callable
from types import MethodType
from typing import Final
from weakref import WeakMethod

_LAST: Final = -100
"""Finalizers run in the order of their numbers, the largest first; the program's own before us."""


def end_with_multiprocessing_child(owner: object, end: Callable[[], None]) -> None:
    """Have ``end`` called when this process ends, if ``multiprocessing`` started it.

    Call it in a process that starts a service, and in a forked child. A program that does not use
    ``multiprocessing`` does not import it for this.

    Nothing here keeps ``owner`` alive.

    Args:
        owner: Its lifetime limits that of the hook.
        end: Called once the child's function has returned and its threads have ended.
    """
    util = sys.modules.get("multiprocessing.util")
    process = sys.modules.get("multiprocessing.process")
    if util is None or process is None:
        return

    # multiprocessing holds the hook strongly; a bound method would keep its owner alive.
    find = WeakMethod(end) if isinstance(end, MethodType) else lambda: end

    def register(_owner: object) -> None:
        util.Finalize(None, _after_the_threads, args=(find,), exitpriority=_LAST)

    # A child that multiprocessing forks forgets all finalizers, and then calls this.
    util.register_after_fork(owner, register)
    if process.parent_process() is not None:
        register(owner)


def _after_the_threads(find: Callable[[], Callable[[], None] | None]) -> None:
    me = threading.current_thread()
    for thread in threading.enumerate():
        if thread is not me and not thread.daemon:
            thread.join()
    end = find()
    if end is not None:
        end()
