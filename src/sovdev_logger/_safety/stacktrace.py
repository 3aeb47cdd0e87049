"""Describes an exception in 350 characters: its line, its causes and its innermost frames."""

from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Final

from sovdev_logger._safety.json_values import describe, type_name

MAX_CHARACTERS: Final = 350

_MAX_FRAMES_WALKED: Final = 2000
_INNERMOST_KEPT: Final = 12
_MAX_CAUSES: Final = 3
_MAX_MEMBERS: Final = 3
_HEAD_SHARE: Final = 2
"""The exception line takes at most one part in two, so that a frame remains visible."""
_CAUSE_CHARACTERS: Final = 90
_MAX_LINE_SOURCE: Final = 4096
_ELLIPSIS: Final = "…"

_CONTROLS: Final = dict.fromkeys([*range(32), *range(127, 160), 8232, 8233], " ")

Redact = Callable[[str], str]


def exception_message(error: BaseException) -> str:
    """Return ``str(error)``, or a mark if that fails. Never raises."""
    return describe(error, str)


def exception_text(
    error: BaseException, limit: int = MAX_CHARACTERS, redact: Redact = lambda text: text
) -> str:
    """Return the exception line, its causes, and the innermost frames first.

    Args:
        error: The exception; its traceback and causes are read, not kept.
        limit: Characters of the result at most.
        redact: Removes credentials from a text; applied before anything is cut.

    Outer frames that do not fit are replaced by their number. A traceback of thousands of frames
    costs as much as one of dozens. Never raises.
    """
    try:
        return _described(error, limit, redact)
    except Exception:  # noqa: BLE001 - a class may make its cause or its frames fail
        return _shorten(f"{type_name(error)}: {redact(exception_message(error))}", limit)


def _described(error: BaseException, limit: int, redact: Redact) -> str:
    head = _shorten(_line(error, redact), limit // _HEAD_SHARE)
    lines = [head, *_members(error, redact), *_causes(error, redact)]
    kept: list[str] = []
    room = limit
    for line in lines:
        if len(line) + 1 > room and kept:
            break
        kept.append(line)
        room -= len(line) + 1
    kept += _frames_that_fit(error.__traceback__, room)
    return "\n".join(kept)[:limit]


def _line(error: BaseException, redact: Redact) -> str:
    kind = type(error)
    module = kind.__module__
    is_plain = module in {"builtins", "__main__"}
    name = kind.__qualname__ if is_plain else f"{module}.{kind.__qualname__}"
    message = redact(exception_message(error)).translate(_CONTROLS)
    return f"{name}: {message}" if message else name


def _members(error: BaseException, redact: Redact) -> Iterator[str]:
    if not isinstance(error, BaseExceptionGroup):
        return
    for member in error.exceptions[:_MAX_MEMBERS]:
        yield _shorten(f"  with {_line(member, redact)}", _CAUSE_CHARACTERS)
    more = len(error.exceptions) - _MAX_MEMBERS
    if more > 0:
        yield f"  with {more} more exceptions"


def _causes(error: BaseException, redact: Redact) -> Iterator[str]:
    seen = {id(error)}
    cause = _cause(error)
    while cause is not None and id(cause) not in seen and len(seen) <= _MAX_CAUSES:
        seen.add(id(cause))
        yield _shorten(f"  caused by {_line(cause, redact)}", _CAUSE_CHARACTERS)
        cause = _cause(cause)


def _cause(error: BaseException) -> BaseException | None:
    if error.__cause__ is not None:
        return error.__cause__
    return None if error.__suppress_context__ else error.__context__


def _frames_that_fit(trace: TracebackType | None, room: int) -> list[str]:
    """Return lines for the innermost frames, and one for the number of outer ones omitted."""
    frames, count = _innermost(trace)
    lines: list[str] = []
    for frame, number in frames:
        line = _frame_line(frame, number)
        omitted = count - len(lines) - 1
        needed = len(line) + 1 + (len(_outer(omitted)) + 1 if omitted else 0)
        if needed > room:
            break
        lines.append(line)
        room -= len(line) + 1
    omitted = count - len(lines)
    if omitted and len(_outer(omitted)) <= room:
        lines.append(_outer(omitted))
    return lines


def _innermost(trace: TracebackType | None) -> tuple[list[tuple[FrameType, int]], int]:
    """Return the innermost frames, the innermost first, and how many there are in all."""
    walked: list[tuple[FrameType, int]] = []
    count = 0
    while trace is not None:
        walked.append((trace.tb_frame, trace.tb_lineno))
        count += 1
        if len(walked) > _MAX_FRAMES_WALKED:
            del walked[:-_INNERMOST_KEPT]
        trace = trace.tb_next
    return walked[: -_INNERMOST_KEPT - 1 : -1], count


def _frame_line(frame: FrameType, number: int) -> str:
    code = frame.f_code
    file = _shorten(code.co_filename.replace("\\", "/").rpartition("/")[2], 60)
    name = _shorten(code.co_qualname, 80)
    return f"  at {name} ({file}:{number})".translate(_CONTROLS)


def _outer(count: int) -> str:
    return f"  {_ELLIPSIS} {count} more frame{'s' if count > 1 else ''}"


def _shorten(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + _ELLIPSIS
