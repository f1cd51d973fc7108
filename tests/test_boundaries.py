"""Who may know whom: families import only public names, and the engine knows no family."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ganforge

ROOT = Path(__file__).resolve().parents[1]
FAMILIES = sorted(path for path in (ROOT / "plugins").iterdir() if path.is_dir())
PACKAGES = [family / family.name.replace("-", "_") for family in FAMILIES]
PUBLIC_MODULES = {"ganforge", "ganforge.images", "ganforge.testing"}
RANKS = {
    # Imports run one way: from a later row to an earlier one.
    "errors": 0,
    "blame": 1,
    "exhaustion": 2,
    "telling": 3,
    "faults": 1,
    "hookspecs": 1,
    "depths": 1,
    "images": 1,
    "listing": 1,
    "parts": 1,
    "docstrings": 1,
    "guard": 1,
    "signature": 2,
    "registry": 3,
    "plugins": 4,
    "recipe": 4,
    "sharing": 4,
    "engine": 5,
    "builtin": 6,
    "testing": 6,
    "scaffold": 6,
    "pytest_plugin": 7,
    "commands": 7,
    "cli": 8,
}


def imported(path: Path, top_level_only: bool = False) -> Iterator[tuple[str, str | None]]:
    """Each module that a file imports, with the name that is taken from it."""
    tree = ast.parse(path.read_text())
    nodes = _at_import(tree.body) if top_level_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield from ((node.module or "", alias.name) for alias in node.names)


def _at_import(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """What runs when a module is imported: not what stands in functions, nor what only type checkers read."""
    for node in body:
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.If | ast.Try):
            yield from _at_import(node.body)
        else:
            yield node


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
    files = [
        *(ROOT / "ganforge/engine").rglob("*.py"),
        *(ROOT / "ganforge/recipe").rglob("*.py"),
        *(ROOT / "ganforge").glob("*.py"),
    ]
    allowed = {ROOT / "ganforge/cli.py", ROOT / "ganforge/scaffold.py"}  # an example in the help; a new plugin's tests
    for path in files:
        if path not in allowed:
            assert not spelt.findall(path.read_text()), path


@pytest.mark.parametrize("path", sorted((ROOT / "ganforge").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_one_way(path: Path) -> None:
    parts = path.relative_to(ROOT / "ganforge").with_suffix("").parts
    if parts[0] in {"templates", "__init__", "__main__"}:
        return
    own = RANKS[parts[0]]
    for module, _ in imported(path, top_level_only=True):
        words = module.split(".")
        if words[0] == "ganforge" and len(words) > 1:
            assert RANKS[words[1]] <= own, f"{path.name} imports {module}"
