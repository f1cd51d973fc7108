"""Plain files as plugins: what lies beside one can be imported, as it can where Python runs the file itself.

The file's folder goes to the end of `sys.path`, where it hides nothing that is installed, and stays there: for imports
in functions, and for worker processes, which are told the path.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from ganforge.errors import UsageError

_loaded: list[Path] = []
"""The files that were loaded."""
_read: set[Path] = set()
"""The loaded files, and what they import from beside them."""
_folders: list[Path] = []
"""The folders where the loaded files lie."""
_added: list[str] = []
"""Those of the folders that were put on `sys.path`."""


def forget() -> None:
    """Files that are loaded again are read again, with what lies beside them."""
    names = {file.name for file in _read}
    for name, module in list(sys.modules.items()) if names else ():
        file = getattr(module, "__file__", None)
        if file and os.path.basename(file) in names and Path(file).resolve() in _read:
            del sys.modules[name]
    sys.path[:] = _path()
    _loaded.clear()
    _read.clear()
    _folders.clear()
    _added.clear()


def load_file(path: Path) -> ModuleType:
    """Run a file as a module.

    Raises:
        UsageError: there is none, or what it imports lies beside another file.
    """
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise UsageError("there is no Python file of that name")
    folder = path.resolve().parent
    _refuse_mixing(path, folder)
    _loaded.append(path.resolve())
    _read.update((path.resolve(), *beside(path)))
    if folder not in _folders:
        _folders.append(folder)
        if not _has(sys.path, folder):
            sys.path.append(str(folder))
            _added.append(str(folder))
    loaded = sys.modules.get(path.stem)
    if loaded and loaded.__spec__ and loaded.__spec__.origin == str(path.resolve()):
        return loaded  # a file before it has imported this one
    module = importlib.util.module_from_spec(spec)
    # Annotations are resolved, and workers unpickle, through sys.modules.
    sys.modules.setdefault(path.stem, module)
    importlib.invalidate_caches()  # of what lay in the folder when somebody last looked
    for entry in [entry for entry in sys.path_importer_cache if not os.path.isabs(entry)]:
        del sys.path_importer_cache[entry]  # `.` is where the process is now, not where it was when it first looked
    # What Python keeps of a file that it compiled, it takes for another that was written within the same second.
    keeps, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        if error.name and not any(_files(folder, error.name)):
            error.msg += f"; write {error.name}.py beside {path.name}, or install it"
        raise
    finally:
        sys.dont_write_bytecode = keeps
    return module


def in_use() -> list[Path]:
    """The files that were loaded, and those beside them that they import."""
    return [file for path in _loaded for file in (path, *beside(path))]


def beside(path: Path) -> list[Path]:
    """The files that a plain file imports from its folder, and those that they import: sorted, without itself."""
    folder = path.resolve().parent
    found: set[Path] = set()
    todo = [path.resolve()]
    while todo:
        for name in _imports(todo.pop()):
            new = {*_files(folder, name)} - found if _is_beside(folder, name) else set()
            found |= new
            todo += new
    return sorted(found - {path.resolve()})


def hidden(path: Path) -> list[str]:
    """Names that a file imports, and gets from elsewhere though a file beside it has the same name."""
    folder = path.resolve().parent
    return [name for name in sorted(_imports(path)) if any(_files(folder, name)) and not _is_beside(folder, name)]


def _refuse_mixing(path: Path, folder: Path) -> None:
    others = [other for other in _folders if other != folder]
    for file in (path.resolve(), *beside(path)):
        for name in sorted(_imports(file)):
            theirs = [each for other in others if _is_beside(other, name) for each in _files(other, name)]
            if theirs:
                wrong = f"{file.name} imports '{name}', and would get {theirs[0]}, which lies beside another plugin"
                raise UsageError(f"{wrong}; give one of the two another name")


def _is_beside(folder: Path, name: str) -> bool:
    """Whether a top-level name is that of a file in this folder: what is installed goes first."""
    if not any(_files(folder, name)) or name in sys.builtin_module_names:
        return False
    path = _path()
    if _has(path[:1], folder):  # as with `python -m`, which runs in it
        return True
    path = [entry for entry in path if not _has([entry], folder)]
    return not any(finder.find_spec(name, path) for finder in sys.meta_path)


def _path() -> list[str]:
    return [entry for entry in sys.path if entry not in _added]


def _has(path: list[str], folder: Path) -> bool:
    return any(Path(entry).resolve() == folder for entry in path)


def _imports(file: Path) -> set[str]:
    """The top-level names that a file imports, in functions too."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):  # told where it is run
        return set()
    return {name.partition(".")[0] for node in ast.walk(tree) for name in _named(node)}


def _named(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module


def _files(folder: Path, name: str) -> Iterator[Path]:
    """A module's file, or all of a package's."""
    if (folder / f"{name}.py").is_file():
        yield folder / f"{name}.py"
    elif (folder / name).is_dir():
        yield from sorted((folder / name).rglob("*.py"))
