"""Redacts tracebacks that show the values of variables."""

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from types import FrameType, TracebackType
from typing import Any, Final

from sovdev_logger._safety.redaction import REDACTED, is_sensitive_key, redact_text

_SHORTEST_SECRET: Final = 4
"""Shorter values occur in too many words to be searched for."""

_LONGEST_SHOWN: Final = 64
"""Longer values may be shown cut, so their beginning is searched for."""

_MAX_FRAMES: Final = 200
_MAX_ITEMS: Final = 1000
_MAX_DEPTH: Final = 3
_ARROW: Final = re.compile(r"^(?P<before>[^└]*)└ (?P<value>.*)$")
_NAME: Final = re.compile(r"\w+")


def redact_shown_values(
    text: str,
    error: BaseException | None,
    is_secret: Callable[[str], bool] = is_sensitive_key,
) -> str:
    """Return the text of an extended traceback of ``error`` without credentials.

    Removes values shown for credential-named variables, other occurrences of those values, and
    anything that looks like a credential.
    """
    for secret in sorted(_secrets_in_frames(error, is_secret), key=len, reverse=True):
        if len(secret) > _LONGEST_SHOWN:
            pattern = re.escape(secret[:_LONGEST_SHOWN]) + r"[^\s'\"]*"
            text = re.sub(pattern, REDACTED, text)
        else:
            text = text.replace(secret, REDACTED)
    return redact_text(_without_named_values(text, is_secret))


def _without_named_values(text: str, is_secret: Callable[[str], bool]) -> str:
    """Redact a value whose arrow points at a credential's name in the line of code above it."""
    lines = text.split("\n")
    code = ""
    for number, line in enumerate(lines):
        arrow = _ARROW.match(line)
        if arrow is None:
            code = line if line.strip(" │") else code
            continue
        name = _NAME.match(code, len(arrow["before"]))
        if name is not None and is_secret(name.group()):
            lines[number] = f"{arrow['before']}└ {REDACTED}"
    return "\n".join(lines)


def _secrets_in_frames(error: BaseException | None, is_secret: Callable[[str], bool]) -> set[str]:
    secrets: set[str] = set()
    modules: set[int] = set()
    for frame in islice(_frames(error), _MAX_FRAMES):
        _collect(frame.f_locals, secrets, 0, is_secret)
        if id(frame.f_globals) not in modules:
            modules.add(id(frame.f_globals))
            _collect(frame.f_globals, secrets, _MAX_DEPTH, is_secret)
    return secrets


def _frames(error: BaseException | None) -> Iterator[FrameType]:
    """Yield every frame that a traceback of ``error`` may show."""
    waiting, seen = [error], set()
    while waiting:
        exception = waiting.pop()
        if exception is None or id(exception) in seen:
            continue
        seen.add(id(exception))
        yield from _frames_in(exception.__traceback__)
        members = getattr(exception, "exceptions", ())
        waiting += [exception.__cause__, exception.__context__, *members]


def _frames_in(traceback: TracebackType | None) -> Iterator[FrameType]:
    if traceback is not None:  # callers are shown, too
        frame = traceback.tb_frame.f_back
        while frame is not None:
            yield frame
            frame = frame.f_back
    while traceback is not None:
        yield traceback.tb_frame
        traceback = traceback.tb_next


def _collect(
    values: Mapping[Any, object],
    secrets: set[str],
    depth: int,
    is_secret_name: Callable[[str], bool],
) -> None:
    try:
        items = list(islice(values.items(), _MAX_ITEMS))
    except Exception:  # noqa: BLE001 - somebody's own mapping, or one that changes
        return
    for name, value in items:
        is_secret = isinstance(name, str) and is_secret_name(name)
        if isinstance(value, str | bytes | bytearray):
            if is_secret and len(value) >= _SHORTEST_SECRET:
                plain = (
                    str.__str__(value)
                    if isinstance(value, str)
                    else bytes(value).decode("utf-8", "replace")
                )
                secrets |= {plain, repr(plain)[1:-1]}
        elif isinstance(value, dict) and depth < _MAX_DEPTH:
            _collect(value, secrets, depth + 1, is_secret_name)
        elif depth < _MAX_DEPTH:
            attributes = getattr(value, "__dict__", None)
            if isinstance(attributes, dict) and not isinstance(value, type):
                _collect(attributes, secrets, depth + 1, is_secret_name)
