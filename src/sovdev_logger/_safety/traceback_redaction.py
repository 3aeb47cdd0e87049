"""Tracebacks that show the values of variables, without those that are credentials."""

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from types import FrameType, TracebackType
from typing import Any, Final

from sovdev_logger._safety.redaction import REDACTED, is_sensitive_key, redact_text

_SHORTEST_SECRET: Final = 4
"""Shorter values stand in too many words to be looked for."""

_LONGEST_SHOWN: Final = 64
"""Longer values may be cut where they are shown; their beginning is looked for."""

_MAX_FRAMES: Final = 200
_MAX_ITEMS: Final = 1000
_MAX_DEPTH: Final = 3
_ARROW: Final = re.compile(r"^(?P<before>[^└]*)└ (?P<value>.*)$")
_NAME: Final = re.compile(r"\w+")


def redact_shown_values(text: str, error: BaseException | None) -> str:
    """Return the text of an extended traceback of ``error`` without credentials.

    Gone are the values that stand under a credential's name, those that credentials of the frames
    have wherever else they stand, and what looks like a credential anyway.
    """
    for secret in sorted(_secrets_of(error), key=len, reverse=True):
        if len(secret) > _LONGEST_SHOWN:
            pattern = re.escape(secret[:_LONGEST_SHOWN]) + r"[^\s'\"]*"
            text = re.sub(pattern, REDACTED, text)
        else:
            text = text.replace(secret, REDACTED)
    return redact_text(_without_named_values(text))


def _without_named_values(text: str) -> str:
    """Redact a value whose arrow points at a credential's name in the line of code above it."""
    lines = text.split("\n")
    code = ""
    for number, line in enumerate(lines):
        arrow = _ARROW.match(line)
        if arrow is None:
            code = line if line.strip(" │") else code
            continue
        name = _NAME.match(code, len(arrow["before"]))
        if name is not None and is_sensitive_key(name.group()):
            lines[number] = f"{arrow['before']}└ {REDACTED}"
    return "\n".join(lines)


def _secrets_of(error: BaseException | None) -> set[str]:
    found: set[str] = set()
    modules: set[int] = set()
    for frame in islice(_frames(error), _MAX_FRAMES):
        _collect(frame.f_locals, found, 0)
        if id(frame.f_globals) not in modules:
            modules.add(id(frame.f_globals))
            _collect(frame.f_globals, found, _MAX_DEPTH)
    return found


def _frames(error: BaseException | None) -> Iterator[FrameType]:
    """Yield every frame that a traceback of ``error`` may show."""
    waiting, seen = [error], set()
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield from _frames_of(one.__traceback__)
        waiting += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]


def _frames_of(traceback: TracebackType | None) -> Iterator[FrameType]:
    if traceback is not None:  # the callers are shown, too
        frame = traceback.tb_frame.f_back
        while frame is not None:
            yield frame
            frame = frame.f_back
    while traceback is not None:
        yield traceback.tb_frame
        traceback = traceback.tb_next


def _collect(values: Mapping[Any, object], found: set[str], depth: int) -> None:
    try:
        items = list(islice(values.items(), _MAX_ITEMS))
    except Exception:  # noqa: BLE001 - somebody's own mapping, or one that changes
        return
    for name, value in items:
        is_secret = isinstance(name, str) and is_sensitive_key(name)
        if isinstance(value, str | bytes | bytearray):
            if is_secret and len(value) >= _SHORTEST_SECRET:
                plain = (
                    str.__str__(value)
                    if isinstance(value, str)
                    else bytes(value).decode("utf-8", "replace")
                )
                found |= {plain, repr(plain)[1:-1]}
        elif isinstance(value, dict) and depth < _MAX_DEPTH:
            _collect(value, found, depth + 1)
        elif depth < _MAX_DEPTH:
            attributes = getattr(value, "__dict__", None)
            if isinstance(attributes, dict) and not isinstance(value, type):
                _collect(attributes, found, depth + 1)
