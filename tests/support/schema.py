"""The published schema of an entry, as a check of one line."""

import json
from functools import cache
from pathlib import Path

from jsonschema import Draft202012Validator

from support.service import strict_json

SCHEMA_PATH = Path(__file__).parents[2] / "specification" / "log-entry.schema.json"


@cache
def validator() -> Draft202012Validator:
    """Return the validator; the schema itself is checked too."""
    schema = json.loads(SCHEMA_PATH.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def faults_of(line: bytes) -> list[str]:
    """Return what is wrong with one line of the file, nothing if it is right."""
    if not line.endswith(b"\n") or line.count(b"\n") != 1:
        return [f"not exactly one line: {line!r}"]
    entry = strict_json(line.decode("utf-8"))
    return [f"{fault.json_path}: {fault.message}" for fault in validator().iter_errors(entry)]
