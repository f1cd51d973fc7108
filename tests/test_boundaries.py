"""Who may know whom: families import only public names, and the engine knows no family."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import ganforge

ROOT = Path(__file__).resolve().parents[1]
FAMILIES = sorted(path for path in (ROOT / "plugins").iterdir() if path.is_dir())
PACKAGES = [family / family.name.replace("-", "_") for family in FAMILIES]
PUBLIC_MODULES = {"ganforge", "ganforge.images", "ganforge.testing"}
LONGEST_FILE, LONGEST_FUNCTION = 350, 45
"""Lines."""
NAMED_TUPLES = {"_asdict", "_replace", "_fields", "_make"}
OWN = {"os._exit", "atexit._run_exitfuncs", "translator._tiling", "self.world._lost"}
"""Private names that are our own, or Python's."""
FLOORS = (
    # Imports run one way: from a later line to an earlier one. `ganforge/__init__.py` names what is public.
    "errors",
    "docstrings",
    "_version",
    "core",
    "images",
    "api",
    "failures",
    "plugins",
    "recipe",
    "ranks",
    "sharing",
    "step",
    "rehearsal",
    "training",
    "runs",
    "inference",
    "evaluation",
    "importing",
    "bench",
    "ganforge",
    "builtin",
    "testing",
    "pytest_plugin",
    "commands",
    "cli",
    "__main__",
)


def imported(path: Path) -> Iterator[tuple[str, str | None]]:
    """Each module that a file imports, with the name that is taken from it: in functions, and for types only, too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield from ((node.module or "", alias.name) for alias in node.names)


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in (ROOT / "ganforge").rglob("*.py") if "templates" not in path.parts}


@cache
def arrows() -> dict[str, set[str]]:
    """The modules of ganforge that each of them imports."""
    found: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        taken = (f"{source}.{name}" if f"{source}.{name}" in MODULES else source for source, name in imported(path))
        found[module] = {source for source in taken if source in MODULES}
    return found


def floor(module: str) -> int:
    return FLOORS.index(module.split(".")[1] if "." in module else module)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_a_family_imports_only_public_names(package: Path) -> None:
    allowed = {package.name, "torch", "pydantic"}
    files = list(package.rglob("*.py"))
    assert files
    for path in files:
        for module, name in imported(path):
            top = module.partition(".")[0]
            if top == "ganforge":
                assert module in PUBLIC_MODULES, f"{path.name} imports {module}"
                if module == "ganforge" and name is not None:
                    assert name in ganforge.__all__ or f"ganforge.{name}" in PUBLIC_MODULES, f"{path.name}: {name}"
            else:
                assert top in allowed or top in sys.stdlib_module_names, f"{path.name} imports {module}"


@pytest.mark.parametrize("family", FAMILIES, ids=lambda path: path.name)
def test_the_engine_names_no_family(family: Path) -> None:
    """Neither in code nor in comments: what the engine does for one family, it does for any."""
    name = family.name.removeprefix("ganforge-")
    spelt = re.compile(r"\bCUT\b|FastCUT" if name == "cut" else rf"(?i)\b\w*{name}\w*\b")
    files = [path for module, path in MODULES.items() if floor(module) < FLOORS.index("builtin")]
    allowed = {ROOT / "ganforge/plugins/scaffold.py"}  # a new plugin's tests
    for path in files:
        if path not in allowed:
            assert not spelt.findall(path.read_text()), path


def test_every_room_has_a_floor() -> None:
    rooms = {module.split(".")[1] for module in MODULES if "." in module}
    assert rooms == set(FLOORS) - {"ganforge"}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_run_one_way(module: str) -> None:
    upwards = {other for other in arrows()[module] if floor(other) > floor(module)}
    assert not upwards, f"{module} imports what stands above it"


def test_no_files_import_each_other() -> None:
    order = TopologicalSorter(arrows())
    try:
        order.prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("module", sorted(MODULES))
def test_rooms_are_small(module: str) -> None:
    text = MODULES[module].read_text()
    assert len(text.splitlines()) <= LONGEST_FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno + 1 <= LONGEST_FUNCTION, f"{module}.{node.name}"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_no_cure_is_written_into_a_message(module: str) -> None:
    """Errors carry what to do as a field: it is laid out in one place, and nobody reads texts to find it."""
    errors = ("GanforgeError", "UsageError", "EnvironmentFault", "BadFile", "TrainingFailed", "RecipeError", "PeerLost")
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in errors:
            message = ast.unparse(node.args[0]) if node.args else ""
            assert "\\n  " not in message, f"{module}:{node.lineno}"


def private(module: str) -> Iterator[str]:
    """What a module takes of others that they keep to themselves."""
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.ImportFrom) and any(part.startswith("_") for part in (node.module or "").split(".")):
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if "._" in alias.name)
        elif isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.endswith("__"):
            text = ast.unparse(node)
            if not text.startswith(("self._", "cls._", "aten._")) and node.attr not in NAMED_TUPLES:
                yield text


@pytest.mark.parametrize("module", sorted(MODULES))
def test_private_names_of_torch_stand_in_one_room(module: str) -> None:
    if not module.startswith("ganforge.core.torch_internals"):
        found = {name for name in private(module) if not name.startswith(("ganforge.", "__"))}
        assert found <= OWN
