"""A daemon thread that is started when first needed, if the interpreter still lets it."""

import threading
import time
from collections.abc import Callable


class BackgroundThread:
    """Runs one function in a daemon thread, once. A fork leaves the thread to the parent.

    Args:
        name: What it does, in words.
        run: Runs in the thread.
        at_end: Runs there afterwards, when ``has_ended`` is true already.

    Attributes:
        has_ended: Whether ``run`` has returned.
    """

    def __init__(
        self,
        name: str,
        run: Callable[[], object],
        at_end: Callable[[], object] | None = None,
    ) -> None:
        self.has_ended = False
        self._name = f"sovdev-{name.replace(' ', '-')}"
        self._run = run
        self._at_end = at_end
        self._thread: threading.Thread | None = None

    @property
    def is_running(self) -> bool:
        """Whether the thread was started and has not ended."""
        return self._thread is not None and not self.has_ended

    def ensure_started(self) -> bool:
        """Start the thread unless it was started; return False while the interpreter ends."""
        if self._thread is None:
            thread = threading.Thread(target=self._main, name=self._name, daemon=True)
            self._thread = thread
            try:
                thread.start()
            except RuntimeError:
                self._thread = None
        return self._thread is not None

    def join(self, deadline: float) -> None:
        """Wait for the end until a moment of the monotonic clock, unless this is the thread."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(max(0.0, deadline - time.monotonic()))

    def _main(self) -> None:
        self._run()
        self.has_ended = True
        if self._at_end is not None:
            self._at_end()
