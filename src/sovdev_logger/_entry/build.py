"""Builds an entry from the arguments of a call."""

from collections.abc import Callable

from sovdev_logger._entry.arguments import ArgumentNormalizer
from sovdev_logger._entry.context import ActiveSpan, request_fields
from sovdev_logger._entry.entry import FIELDS_OF_EVERY_ENTRY, Entry, Fields, Identity
from sovdev_logger._entry.exception_fields import describe_exception
from sovdev_logger._entry.identifiers import (
    Clock,
    new_trace_id,
    new_uuid,
    next_trace_id,
    next_uuid,
)
from sovdev_logger._entry.levels import Level
from sovdev_logger._safety.json_encoding import Fragment
from sovdev_logger._safety.sanitizer import Sanitizer


class EntryBuilder:
    """Builds the entries of one service. Thread and signal safe: it holds no lock."""

    def __init__(
        self,
        identity: Identity,
        sanitizer: Sanitizer,
        arguments: ArgumentNormalizer,
        active_span: Callable[[], ActiveSpan | None],
        clock: Clock,
    ) -> None:
        self.set_identity(identity)
        self._sanitizer = sanitizer
        self._arguments = arguments
        self._active_span = active_span
        self._clock = clock

    def set_identity(self, identity: Identity) -> None:
        """Set the fields that all entries of this process share."""
        # Copying a dict with every field and setting some costs half of building one.
        names = FIELDS_OF_EVERY_ENTRY
        self._blank: Fields = dict.fromkeys(names) | identity._asdict()
        at = names.index("trace_id") + 1
        in_span = (*names[:at], "span_id", *names[at:])
        self._blank_in_span: Fields = dict.fromkeys(in_span) | identity._asdict()

    def build(  # noqa: PLR0917
        self,
        level: Level,
        function: str,
        message: object,
        peer: str,
        input_json: object,
        response_json: object,
        exception: object,
        trace_id: object,
        log_type: str,
        now_ns: int,
    ) -> Entry:
        """Return the entry of one call."""
        if type(message) is not str or not message:
            message = self._arguments.message(message)
        text, input_text, response_text = self._sanitizer.texts(message, input_json, response_json)
        active, span_id = self._active_span(), None
        if active is None and trace_id is None:
            try:
                digits: str | None = next_trace_id()
            except IndexError:
                digits = new_trace_id()
            trace = digits
        else:
            trace, span_id, digits = self._place_in_trace(active, trace_id)
        if span_id is None:
            fields = self._blank.copy()
        else:
            fields = self._blank_in_span.copy()
            fields["span_id"] = span_id
        fields["timestamp"] = self._clock.iso(now_ns)
        fields["level"] = level.name
        fields["peer_service"] = peer
        fields["function_name"] = function
        fields["log_type"] = log_type
        fields["message"] = text
        fields["trace_id"] = trace
        try:
            fields["event_id"] = next_uuid()
        except IndexError:
            fields["event_id"] = new_uuid()
        fields["input_json"] = Fragment(input_text)
        fields["response_json"] = Fragment(response_text)
        context = request_fields()
        if context is not None:
            fields.update(context)
        if exception is not None:
            describe_exception(fields, exception, self._sanitizer)
        entry = Entry()
        entry.fields = fields
        entry.level = level
        entry.time_ns = now_ns
        entry.input_text = input_text
        entry.response_text = response_text
        entry.trace_digits = digits
        entry.exception = exception if isinstance(exception, BaseException) else None
        entry.sample_rate = entry.call_site = None
        entry.line_cache = None  # a constructor's call would cost twice as much
        return entry

    def _place_in_trace(
        self, active: ActiveSpan | None, trace_id: object
    ) -> tuple[str, str | None, str | None]:
        """Return an entry's trace id, its span's id, and the trace id's digits if it is valid."""
        text, digits = ("", None) if trace_id is None else self._arguments.trace_id(trace_id)
        if text:
            is_inside = active is not None and digits == active.trace_id
            return text, active.span_id if active is not None and is_inside else None, digits
        if active is None:
            fresh = new_trace_id()
            return fresh, None, fresh
        return active.trace_id, active.span_id, active.trace_id
