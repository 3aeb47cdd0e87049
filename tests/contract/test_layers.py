"""The direction of imports: a call flows one way, and no room calls back up."""

import ast
from pathlib import Path

import sovdev_logger

PACKAGE = Path(sovdev_logger.__file__).parent

# From the bottom up. A module imports only from its own layer or from those before it.
LAYERS: list[set[str]] = [
    {"_runtime", "_safety"},
    {"_entry"},
    {"_settings"},
    {"_delivery"},
    {"_outputs", "_sampling", "_telemetry"},
    {"_service"},
    {"_api"},
    {"logwell", "sampling"},
    {"integrations"},
    {"_profiles", "testing"},
    {"_pytest_plugin"},
    {""},
]


def layer_of(room: str) -> int:
    """Return the number of the layer that a top-level module or package is in."""
    found = [number for number, rooms in enumerate(LAYERS) if room in rooms]
    assert found, f"{room} is in no layer: add it to LAYERS"
    return found[0]


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return "" if parts == ("__init__",) else parts[0]


def imports_of(path: Path) -> set[str]:
    """Return the rooms that a file imports, wherever in it the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        modules: list[str] = []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            modules = [node.module or ""]
            if node.module == "sovdev_logger":
                modules = [f"sovdev_logger.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        found |= {name.split(".")[1] for name in modules if name.startswith("sovdev_logger.")}
    return found


def test_no_import_points_up() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {imported}"
        for path in PACKAGE.rglob("*.py")
        for imported in imports_of(path)
        if layer_of(imported) > layer_of(room_of(path))
    ]
    assert wrong == []


def test_no_file_holds_two_rooms() -> None:
    long = {
        str(path.relative_to(PACKAGE)): lines
        for path in PACKAGE.rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 350
    }
    assert long == {}
