"""Writes the tables of variables in README.md and specification/environment.md.

    make variables

Name, default and values come from the declarations in ``sovdev_logger._settings``, the meaning
from the text below each declaration.
"""

import ast
import inspect
from collections.abc import Iterator
from dataclasses import MISSING
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

from sovdev_logger._settings.reader import Variable
from sovdev_logger._settings.variables import MODULES, declared_in

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- made by scripts/variables.py -->\n", "<!-- end -->\n"

TITLES = {
    "service": "Console, files, service",
    "redaction": "[Redaction](specification/redaction.md)",
    "delivery": "[Delivery](specification/delivery.md)",
    "endpoint": "Servers",
    "sampling": "[Sampling](specification/sampling.md)",
    "relay": "[Relay](specification/relay.md)",
    "logwell": "[Logwell](specification/logwell.md)",
    "profile": "[Profiles](specification/profiles.md)",
    "otlp": "[OTLP](specification/telemetry.md)",
}


def with_table(text: str, *, with_values: bool, folder: str = "") -> str:
    """Return ``text`` with a current table between the marks.

    Args:
        text: What the file holds.
        with_values: Whether the table says which values a variable may have.
        folder: The file's folder, as links to files in it start.
    """
    head, _, rest = text.partition(BEGIN)
    tail = rest.partition(END)[2]
    table = "".join(f"{row}\n" for row in rows(with_values=with_values))
    return f"{head}{BEGIN}{table.replace(f']({folder}', '](')}{END}{tail}"


def rows(*, with_values: bool) -> Iterator[str]:
    """Yield the lines of the table."""
    values = " values |" if with_values else ""
    yield f"| variable | default |{values} meaning |"
    yield "|---|---|---|---|" if with_values else "|---|---|---|"
    for module in MODULES:
        yield f"| **{TITLES[module.__name__.rpartition('.')[2]]}** |{' |' * (2 + with_values)}"
        meaning = meanings(module)
        for variable in declared_in(module):
            values = f" {variable.kind.expected} |" if with_values else ""
            yield f"| `{variable.name}` | {default(variable)} |{values} {meaning[variable.name]} |"


def default(variable: Variable[Any]) -> str:
    """Return a variable's default as the table shows it."""
    value = variable.default
    return "unset" if value is None or value is MISSING else f"`{variable.kind.show(value)}`"


def meanings(module: ModuleType) -> dict[str, str]:
    """Return the text below each declaration of a module, by the variable's name."""
    tree = ast.parse(inspect.getsource(module))
    texts = {}
    for body in (tree.body, *(node.body for node in tree.body if isinstance(node, ast.ClassDef))):
        for statement, below in pairwise(body):
            match statement, below:
                case (
                    ast.AnnAssign(value=ast.Call(args=[ast.Constant(value=str(name)), *_])),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ):
                    texts[name] = " ".join(text.replace("``", "`").split())
    return texts


def write() -> None:
    """Write both tables."""
    for path, text in current().items():
        path.write_text(text, encoding="utf-8")


def current() -> dict[Path, str]:
    """Return what each file should hold."""
    readme, environment = ROOT / "README.md", ROOT / "specification" / "environment.md"
    return {
        readme: with_table(readme.read_text(encoding="utf-8"), with_values=False),
        environment: with_table(
            environment.read_text(encoding="utf-8"), with_values=True, folder="specification/"
        ),
    }


if __name__ == "__main__":
    write()
