"""Remembers what this library wrote to stderr, to recognise it when it comes back as a record."""

import re
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from threading import get_ident
from typing import Final, NamedTuple
from weakref import ref

_GENERATION_LINES: Final = 1000
"""Between one and two thousand lines are remembered."""

_DECORATED_LINES: Final = 32
"""The newest lines, which are also found inside a longer text."""

_MAX_HEAD_CHARACTERS: Final = 200
_MAX_TEXT_CHARACTERS: Final = 2048
_DECORATED_CHARACTERS: Final = 500
"""How far into a text the newest lines are looked for: a long message must not cost more."""

_MAX_THREADS: Final = 100

_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")

StreamReference = Callable[[], object]
"""Returns the stream; None if it is gone, or if it was the process's own stderr."""


class Written(NamedTuple):
    """One text that was written: the start of its first line, all of it, and to which stream."""

    head: str
    text: str
    stream: StreamReference


class OwnLines:
    """The newest lines that were written. No lock: a race costs a line at most.

    Each line has the time to the millisecond in it, or the library's name, so that it is not taken
    for what a program logs itself.

    Attributes:
        newest: The newest lines that went to a replaced stream; empty as long as there was none.
        has_forgotten: Whether there were more lines than are remembered.
    """

    def __init__(self) -> None:
        self.newest: deque[Written] = deque(maxlen=_DECORATED_LINES)
        self.has_forgotten = False
        # Only looked at when a record comes: what most programs write is never looked for.
        self._unsorted: deque[str] = deque(maxlen=_GENERATION_LINES)
        self._heads: dict[str, Written] = {}
        self._older_heads: dict[str, Written] = {}
        self._following: dict[int, tuple[Written, deque[str]]] = {}

    def add(self, text: str, stream: object) -> None:
        """Remember a text before it is written; ``stream`` is None for the process's stderr."""
        if stream is None:
            self._unsorted.append(text[:_MAX_TEXT_CHARACTERS])
        else:
            written = self._remember(text, reference_to(stream))
            if written.head:
                self.newest.append(written)

    def is_empty(self) -> bool:
        """Return whether nothing was written so far."""
        return not (self._unsorted or self._heads)

    def oldest(self) -> str:
        """Return the start of the oldest line that is remembered, once others were forgotten."""
        return next(iter(self._older_heads), "")

    def _remember(self, text: str, stream: StreamReference) -> Written:
        written = Written(_head(text), text[:_MAX_TEXT_CHARACTERS], stream)
        if not written.head:
            return written
        if len(self._heads) < _GENERATION_LINES:
            self._heads[written.head] = written
        else:
            self.has_forgotten = bool(self._older_heads)
            self._older_heads, self._heads = self._heads, {written.head: written}
        return written

    def end_write(self) -> None:
        """Expect no further line of the text that this thread has just written."""
        if self._following:
            self._following.pop(get_ident(), None)

    def find(self, message: str) -> Written | None:
        """Return the text that ``message`` repeats: whole, its first line, or the lines after it.

        Something may stand before and after a text that went to a replaced stream not long ago; it
        has to be near the start.
        """
        message = message[:_MAX_TEXT_CHARACTERS]
        while self._unsorted:
            with suppress(IndexError):  # another thread took it
                self._remember(self._unsorted.popleft(), _nothing)
        head = _head(message)
        written = self._heads.get(head) or self._older_heads.get(head)
        if written is None and self.newest:
            plain = _plain(message)[:_DECORATED_CHARACTERS]
            written = next((each for each in list(self.newest) if each.head in plain), None)
        if written is not None:
            self._expect_lines_after(written, message)
            return written
        return self._find_following(message) if self._following else None

    def _expect_lines_after(self, written: Written, message: str) -> None:
        """Expect the other lines in this thread, when the stream logs each one by itself."""
        lines = [line.strip() for line in _plain(written.text).splitlines()[1:]]
        if any(lines) and "\n" not in message.strip() and len(self._following) < _MAX_THREADS:
            self._following[get_ident()] = written, deque(filter(None, lines))

    def _find_following(self, message: str) -> Written | None:
        written, lines = self._following.get(get_ident(), (None, deque[str]()))
        if not lines or _plain(message).strip() != lines[0]:
            return None
        lines.popleft()
        if not lines:
            self.end_write()
        return written


def reference_to(stream: object) -> StreamReference:
    """Return a weak reference, or a strong one to what has no weak ones."""
    try:
        return ref(stream)
    except TypeError:
        return lambda: stream


def _nothing() -> None:
    return None


def _plain(text: str) -> str:
    return _COLOUR.sub("", text) if "\x1b" in text else text


def _head(text: str) -> str:
    plain = _plain(text).lstrip()
    return plain[:_MAX_HEAD_CHARACTERS].partition("\n")[0].rstrip()
