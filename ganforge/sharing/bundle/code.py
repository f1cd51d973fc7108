"""Whose code a recipe runs, with a hash of it: two installations of one version need not be the same; and what of it
is not here as it was where a bundle was packed."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from ganforge.core.files import sha256_of
from ganforge.errors import UsageError
from ganforge.plugins.plain_files import beside
from ganforge.sharing.bundle.contents import Code, Contents

if TYPE_CHECKING:
    from ganforge.plugins.loading import Plugins
    from ganforge.plugins.registry import Part, Registry
    from ganforge.recipe.model import Recipe

ENGINE = "ganforge"


def code_of(recipe: Recipe, plugins: Plugins) -> dict[str, dict[str, str]]:
    """The engine and the plugins whose parts the recipe names, as `Code` has them, by plugin.

    The hash of a package is that of the lines `<SHA-256 of the file>  <its path>`, in the order of their paths; that of
    a plain file is its own, or where it imports files beside it, that of such lines of all of them.
    """
    used = {ENGINE, *used_plugins(recipe)}
    found = {}
    for plugin in sorted(plugins.found, key=lambda plugin: plugin.name):
        if plugin.name in used and not plugin.reason:
            if plugin.version:
                digest = _hash_of_package(cast("ModuleType", plugins.manager.get_plugin(plugin.name)))
                about = {"distribution": plugin.distribution, "version": plugin.version}
                found[plugin.name] = {**about, "sha256": digest}
            else:
                found[plugin.name] = _of_plain_file(Path(plugin.distribution))
    return found


def used_plugins(recipe: Recipe) -> set[str]:
    """The plugins whose parts a recipe names, its expressions among it."""
    return {part.plugin for part in used_parts(recipe)}


def used_parts(recipe: Recipe) -> Iterator[Part]:
    """The parts that a recipe names, its expressions among it, some several times."""
    from ganforge.plugins.registry import Part
    from ganforge.recipe.expressions import Call, Expression

    def parts(value: Any) -> Iterator[Part]:
        if isinstance(value, Expression):
            calls = (piece.function for piece in value.walk() if isinstance(piece, Call))
            yield from (recipe.functions[name] for name in calls if name in recipe.functions)
        elif isinstance(value, Part):
            yield value
        elif isinstance(value, Mapping):
            yield from (part for item in value.values() for part in parts(item))
        elif isinstance(value, list | tuple):
            yield from (part for item in value for part in parts(item))
        elif is_dataclass(value):
            yield from (part for each in fields(value) for part in parts(getattr(value, each.name)))

    # Not what was read, which repeats all, and not every function that expressions might have called.
    sections = (each.name for each in fields(recipe) if each.name not in ("node", "functions", "dataset", "warnings"))
    for section in sections:
        yield from parts(getattr(recipe, section))


def _of_plain_file(path: Path) -> dict[str, str]:
    others = beside(path)
    if not others:
        return {"file": path.name, "sha256": sha256_of(path)}
    folder = path.resolve().parent
    names = dict.fromkeys(other.relative_to(folder).parts[0] for other in others)
    digest = _hash_of_files(folder, [path.resolve(), *others])
    return {"file": path.name, "beside": " ".join(names)[:200], "sha256": digest}


def _hash_of_package(module: ModuleType) -> str:
    """The hash of the whole package that the plugin's module is in: its parts may come from anywhere in it."""
    top = sys.modules.get(module.__name__.partition(".")[0], module)
    home = Path(str(top.__file__ or module.__file__))  # a namespace package has no file
    if home.name != "__init__.py":
        return sha256_of(home)
    return _hash_of_files(home.parent, _files(home.parent))


def _hash_of_files(folder: Path, files: Iterable[Path]) -> str:
    lines = [f"{sha256_of(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _files(folder: Path) -> list[Path]:
    """The files of a folder, without what Python and systems leave behind."""
    found = [path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".pyc", ".pyo")]
    kept = [path for path in found if not any(n.startswith(".") for n in path.relative_to(folder).parts)]
    return sorted(kept, key=lambda path: path.relative_to(folder).as_posix())


def check_plugins(bundle: Path, contents: Contents, registry: Registry) -> None:
    """See whether the plugins are here whose parts the recipe names.

    Raises:
        UsageError: some are not; with what to install.
    """
    here = {part.plugin for part in registry.parts.values()}
    lacking = {name: code for name, code in contents.plugins.items() if name not in here}
    if lacking:
        lines = [f"{name}: {_cure(name, code, registry.broken)}" for name, code in lacking.items()]
        raise UsageError(f"{bundle} needs plugins that are not here:", "\n".join(lines))


def code_differences(contents: Contents, here: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Where the code of plugins is not what made the bundle, in words with the cure.

    Args:
        contents: of the bundle.
        here: the code as it is here, as `code_of` gives it.
    """
    for name, code in contents.plugins.items():
        now = Code(**here[name]) if name in here else None
        if now is None or now.sha256 == code.sha256:
            continue
        if now.version != code.version and code.version:
            yield (
                f"the bundle was made with {code.origin}, and here is {now.origin}\n"
                f"  pip install '{code.distribution}=={code.version}' gives the same"
            )
        elif code.file:
            yield f"{now.origin} is another than the {code.origin} that the bundle was made with\n  ask for that one"
        else:
            yield (
                f"the code of {now.origin} here is not that of the same version which made the bundle\n"
                f"  one of the two was changed after its release: pip install --force-reinstall "
                f"'{code.distribution}=={code.version}', or ask which commit it was"
            )


def version_differences(before: Mapping[str, str], here: Mapping[str, str]) -> Iterator[str]:
    """Other versions of what computes beside plugins: torch, torchvision."""
    for name in ("torch", "torchvision"):
        if name in before and before[name] != here.get(name):
            release = before[name].partition("+")[0]
            there = here.get(name, "none")
            cure = f"pip install '{name}=={release}' gives the same"
            yield f"the bundle was made with {name} {before[name]}, and here is {there}\n  {cure}"


def _cure(name: str, code: Code, broken: Mapping[str, str]) -> str:
    if name in broken:
        return f"it is installed, but could not be loaded: {broken[name]}"
    if code.file:
        return f"the plain file {code.origin}; bundles carry no code: ask for it, and give it with -p {code.file}"
    return f"pip install '{code.distribution}=={code.version}'"
