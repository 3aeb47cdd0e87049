"""Converts any mapping to attributes that a span can hold."""

import json
from typing import cast

from opentelemetry.util.types import AttributeValue

from sovdev_logger._safety.json_encoding import dumps
from sovdev_logger._safety.sanitizer import Sanitizer

_MAX_INT64 = 2**63 - 1


def span_attributes(attributes: object, sanitizer: Sanitizer) -> dict[str, AttributeValue]:
    """Return safe, redacted span attributes; a value that is not a mapping is kept as ``value``.

    Scalars and lists of one kind of scalar stay as they are, None is dropped, and anything else
    becomes JSON text.
    """
    if attributes is None:
        return {}
    _, text, _ = sanitizer.texts("", attributes, None)
    plain = json.loads(text)
    if not isinstance(plain, dict):
        plain = {"value": plain}
    return {key: _attribute(value) for key, value in plain.items() if key and value is not None}


def _attribute(value: object) -> AttributeValue:
    if _is_scalar(value) or _is_list_of_one_scalar(value):
        return cast("AttributeValue", value)
    return dumps(value).decode()


def _is_scalar(value: object) -> bool:
    if isinstance(value, int):
        return -_MAX_INT64 <= value <= _MAX_INT64
    return isinstance(value, (str, float))


def _is_list_of_one_scalar(value: object) -> bool:
    if not isinstance(value, list):
        return False
    return len({type(item) for item in value}) <= 1 and all(_is_scalar(item) for item in value)
