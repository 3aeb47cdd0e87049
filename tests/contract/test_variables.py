"""The tables of variables say what the settings declare."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from sovdev_logger._settings.variables import MODULES, declared_in

ROOT = Path(__file__).parents[2]


@pytest.fixture
def script() -> ModuleType:
    """Return ``scripts/variables.py`` as a module."""
    spec = importlib.util.spec_from_file_location("variables", ROOT / "scripts" / "variables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["README.md", "specification/environment.md"])
def test_the_tables_are_current(script: ModuleType, name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert script.current()[ROOT / name] == text, "run: make variables"


def test_a_table_has_each_variable_once(script: ModuleType) -> None:
    table = list(script.rows(with_values=True))
    declared = [variable.name for module in MODULES for variable in declared_in(module)]
    assert [row.split("`")[1] for row in table if row.startswith("| `")] == declared
    assert len(declared) == len(set(declared)) >= 75


def test_a_table_that_is_not_current_is_written_anew(script: ModuleType) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    stale = text.replace("| `LOG_FILE_BACKUP_COUNT` | `5` |", "| `LOG_FILE_BACKUP_COUNT` | `6` |")
    assert stale != text
    assert script.with_table(stale, with_values=False) == text
