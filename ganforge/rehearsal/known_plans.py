"""The dry run of a recipe, made once: it is kept in the user's cache while nothing has changed that it depends on.

A fault is never kept: what does not fit is rehearsed, and told, each time.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import platform
import re
import sys
import sysconfig
from collections import Counter, namedtuple
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from ganforge.core.kept import find, keep
from ganforge.core.machine import versions
from ganforge.core.torch_internals.postponing import postpone_compiler
from ganforge.plugins.plain_files import in_use
from ganforge.recipe.model import Recipe
from ganforge.rehearsal.dry_run import DryRun, dry_run
from ganforge.rehearsal.layers import Layer
from ganforge.sharing.bundle.code import used_parts

SECTIONS = ("networks", "ops", "schedules", "signals", "players", "phases", "metrics")
KIND = "plans"
_NOTHING_TO_PARTS = re.compile(
    r"_|PWD|OLDPWD|SHLVL|COLUMNS|LINES|DISPLAY|WINDOWID|(TERM|SSH|XDG|TMUX|VTE|DBUS)(_.*)?|.*_SESSION.*"
    r"|(TORCH|TRITON|CUBLAS|NCCL|OMP|KMP|MKL|PYTEST).*|MASTER_(ADDR|PORT)|GANFORGE_CACHE"
)
"""What differs from one terminal to the next, or from one launch of the ranks, and what torch sets for itself."""


def planned(recipe: Recipe, to_train: bool = True) -> DryRun:
    """What `dry_run` gives, from the cache if the recipe, the data's shapes and all code are what they were.

    Raises:
        RecipeError: as `dry_run`.
    """
    postpone_compiler()  # what follows asks it little
    about = _circumstances(recipe)
    if about is None:
        return dry_run(recipe, to_train)
    for trained in (True,) if to_train else (True, False):
        found = find(KIND, {**about, "to_train": trained})
        if found is not None:
            return _read(found)
    plan = dry_run(recipe, to_train)
    if (written := _written(plan)) is not None:
        keep(KIND, {**about, "to_train": to_train}, written)
    return plan


def _circumstances(recipe: Recipe) -> dict[str, Any] | None:
    """All that a dry run depends on; None where that cannot be said."""
    plain, dataset = recipe.node.plain(), recipe.dataset
    code = _code(recipe)
    if code is None:
        return None
    return {
        **{section: plain.get(section) for section in SECTIONS},
        "images": recipe.run.images,
        "batch": recipe.loader.batch_size,
        "data": [dict(dataset.shapes()), dict(dataset.validation_shapes())],
        "types": {name: str(kind) for name, kind in dataset.dtypes().items()},
        "augment": [plain["data"].get("augment"), *map(list, dataset.groups())],
        "ranges": {name: str(known) for name, known in dataset.ranges().items()},
        "code": code,
        "environment": _environment(),
        "versions": {**versions([]), "python": platform.python_version()},
    }


def _environment() -> str:
    """A hash of the environment variables that a part may read."""
    told = sorted(f"{name}={value}" for name, value in os.environ.items() if not _NOTHING_TO_PARTS.fullmatch(name))
    return hashlib.sha256("\n".join(told).encode(errors="surrogateescape")).hexdigest()


def _code(recipe: Recipe) -> list[str] | None:
    """The files of the packages whose parts the recipe names, and whatever else is loaded that nobody installed."""
    modules = {"ganforge"}
    for part in used_parts(recipe):
        factory = part.factory
        while isinstance(factory, partial):
            factory = factory.func
        name = str(getattr(factory, "__module__", ""))
        if not getattr(sys.modules.get(name), "__file__", None):  # typed in: nobody knows whether it has changed
            return None
        if not name.startswith("torch."):  # its version tells enough
            modules.update((name, name.partition(".")[0]))  # a namespace has no file of its own
    files = {path for name in modules for path in _files_of(getattr(sys.modules[name], "__file__", None))}
    # A module of another file may bear the name of a plain one.
    files.update((*_not_installed(), *map(str, in_use())))
    try:
        seen = [(path, os.stat(path)) for path in sorted(files)]
    except OSError:  # somebody writes there
        return None
    return [f"{path} {stat.st_size} {stat.st_mtime_ns}" for path, stat in seen]


def _files_of(file: str | None) -> Iterable[str]:
    """All Python files of a package, or the one file of a module: paths as objects would be slow."""
    if not file:
        return ()
    folder, name = os.path.split(file)
    if name != "__init__.py":
        return (file,)
    return (f"{place}{os.sep}{each}" for place, _, names in os.walk(folder) for each in names if each.endswith(".py"))


def _not_installed() -> Iterator[str]:
    """What was loaded from elsewhere than where Python and its packages are: plain files, and what they import."""
    places = sysconfig.get_paths()
    installed = tuple(f"{places[name]}{os.sep}" for name in ("stdlib", "purelib", "platlib"))
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or file.startswith(installed):  # of thousands of modules nearly all
            continue
        if name != "__main__" and name.partition(".")[0] != "ganforge" and os.path.isfile(file):
            yield file


def _written(plan: DryRun) -> dict[str, Any] | None:
    """The dry run as JSON; None where a signal is of a kind of its own, which would not come back."""
    plain = {field.name: getattr(plan, field.name) for field in dataclasses.fields(plan)}
    for name, value in plain.items():
        if isinstance(value, frozenset):
            plain[name] = sorted(value)
    try:
        plain["shapes"] = {name: _nested(shape) for name, shape in plan.shapes.items()}
    except TypeError:
        return None
    plain["layers"] = [dataclasses.asdict(layer) for layer in plan.layers]
    return plain


def _read(found: Mapping[str, Any]) -> DryRun:
    kept = dict(found)
    for name in ("quiet", "repeatable", "mergeable"):
        kept[name] = frozenset(kept[name])
    kept["shapes"] = {name: _unnested(shape) for name, shape in kept["shapes"].items()}
    kept["forwards"] = {phase: Counter(counts) for phase, counts in kept["forwards"].items()}
    kept["from_before"] = tuple(map(tuple, kept["from_before"]))
    kept["unchecked"] = tuple(kept["unchecked"])
    kept["layers"] = tuple(Layer(**{**entry, "arguments": tuple(entry["arguments"])}) for entry in kept["layers"])
    return DryRun(**kept)


def _nested(shape: Any) -> Any:
    """A shape, or tuples, lists and mappings of such, so that JSON keeps apart what they are.

    Raises:
        TypeError: something else is among them.
    """
    if shape is None or type(shape) is int:
        return shape
    if type(shape) is list:
        return [_nested(item) for item in shape]
    if type(shape) is tuple:
        return {"tuple": [_nested(item) for item in shape]}
    if isinstance(shape, tuple) and hasattr(shape, "_fields"):
        return {"named": [type(shape).__name__, *shape._fields], "tuple": [_nested(item) for item in shape]}
    if type(shape) is dict and all(isinstance(key, str) for key in shape):
        return {"mapping": {key: _nested(item) for key, item in shape.items()}}
    raise TypeError(f"a shape in a {type(shape).__name__}")


def _unnested(written: Any) -> Any:
    if isinstance(written, dict):
        if "mapping" in written:
            return {key: _unnested(item) for key, item in written["mapping"].items()}
        items = map(_unnested, written["tuple"])
        if "named" not in written:
            return tuple(items)
        name, *fields = written["named"]
        return namedtuple(name, fields)(*items)
    return list(map(_unnested, written)) if isinstance(written, list) else written
