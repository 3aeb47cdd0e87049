"""The identities behind a request, carried by every entry of this task or thread."""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Final, NamedTuple

CONTEXT_FIELDS: Final = ("client_name", "service_principal", "acting_user")

_request: ContextVar[Mapping[str, str] | None] = ContextVar("sovdev_request", default=None)

request_fields: Final = _request.get
"""Return the fields of the current task or thread, None when nothing is set."""


def merge_request_fields(changes: Mapping[str, str | None]) -> None:
    """Change fields of this task or thread: None leaves one as it is, "" removes it.

    A new mapping replaces the old one, so that tasks which inherited the old one keep theirs.
    """
    merged = {**(_request.get() or {}), **{k: v for k, v in changes.items() if v is not None}}
    _request.set({name: merged[name] for name in CONTEXT_FIELDS if merged.get(name)} or None)


def replace_request_fields(fields: Mapping[str, str] | None) -> None:
    """Set all fields at once, to what ``request_fields()`` returned earlier."""
    _request.set(fields)


class ActiveSpan(NamedTuple):
    """The ids of the current span."""

    trace_id: str
    span_id: str
