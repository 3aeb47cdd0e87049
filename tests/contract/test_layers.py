"""The direction of imports: a call flows one way, and no room calls back up."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import sovdev_logger

PACKAGE = Path(sovdev_logger.__file__).parent
CHECKOUT = Path(__file__).parents[2]

# From the bottom up. A module imports only from its own room or from layers before its own.
LAYERS: list[set[str]] = [
    {"_safety"},
    {"_runtime"},
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
PUBLIC = {"", "integrations", "logwell", "sampling", "testing"}
MAX_NAMES_AT_THE_TOP = 18
MAX_LINES = 350

ROOM_ROW = re.compile(r"^\| `([\w/]+?)(?:/|\.py)` \|", re.MULTILINE)
NAMED_FILE = re.compile(r"((?:\w+/)+[\w-]+\.(?:py|md|c))\b")


def modules() -> Iterator[Path]:
    return PACKAGE.rglob("*.py")


def layer_of(room: str) -> int:
    """Return the number of the layer that a top-level module or package is in."""
    numbers = [number for number, rooms in enumerate(LAYERS) if room in rooms]
    assert numbers, f"{room} is in no layer: add it to LAYERS"
    return numbers[0]


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return "" if parts == ("__init__",) else parts[0]


def rooms() -> set[str]:
    return {room_of(path) for path in modules()}


def module_name(path: Path) -> str:
    name = ".".join(("sovdev_logger", *path.relative_to(PACKAGE).with_suffix("").parts))
    return name.removesuffix(".__init__")


def imports_of(path: Path, *, when_loaded: bool = False) -> set[str]:
    """Return what a file imports, as full names, wherever the import stands.

    Args:
        when_loaded: Only imports that run when the module is loaded.
    """
    names = set()
    for node in loaded_nodes(path) if when_loaded else ast.walk(parsed(path)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name for name in names if name.startswith("sovdev_logger.")}


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def loaded_nodes(path: Path) -> Iterator[ast.AST]:
    for node in parsed(path).body:
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield from ast.walk(node) if isinstance(node, ast.Try | ast.If) else [node]


def test_no_import_points_up_or_to_a_sibling() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {imported}"
        for path in modules()
        for imported in {name.split(".")[1] for name in imports_of(path)} & rooms()
        if imported != room_of(path) and layer_of(imported) >= layer_of(room_of(path))
    ]
    assert wrong == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    known = {module_name(path) for path in modules()}
    edges = {
        module_name(path): imports_of(path, when_loaded=True) & known - {module_name(path)}
        for path in modules()
    }
    while leaves := {name for name, imported in edges.items() if not imported}:
        edges = {name: imported - leaves for name, imported in edges.items() if name not in leaves}
    assert edges == {}


def test_a_path_without_an_underscore_is_public() -> None:
    assert {room for room in rooms() if not room.startswith("_")} == PUBLIC


def test_few_names_stand_at_the_top() -> None:
    names = {path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    assert len(names) <= MAX_NAMES_AT_THE_TOP, sorted(names)


def test_no_file_holds_two_rooms() -> None:
    long = {
        str(path.relative_to(PACKAGE)): lines
        for path in modules()
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MAX_LINES
    }
    assert long == {}


def test_the_map_for_contributors_is_true() -> None:
    text = (CHECKOUT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    packages = {str(path.parent.relative_to(PACKAGE)) for path in PACKAGE.rglob("*/__init__.py")}
    single_files = {path.stem for path in PACKAGE.glob("*.py")}
    assert set(ROOM_ROW.findall(text)) == packages | single_files
    folders = [PACKAGE, CHECKOUT]
    missing = [
        name
        for name in NAMED_FILE.findall(text)
        if not any((folder / name).exists() for folder in folders)
    ]
    assert missing == []
