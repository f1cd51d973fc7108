"""A new plugin from the templates: real code, in which only the name changes."""

from __future__ import annotations

import json
import keyword
import re
import sys
from dataclasses import dataclass
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ganforge.errors import EnvironmentFault, UsageError

TEMPLATES = Path(__file__).parents[1] / "templates"
PARTS = {
    "losses": "charbonnier",
    "networks": "dilated_generator",
    "ops": "brightness",
    "datasets": "stripes",
    "augmentations": "vignette",
    "callbacks": "table",
}
NEEDED = ("ganforge", "ganforge-classics", "ganforge-cyclegan")
"""What a new plugin's tests run with."""


@dataclass(frozen=True)
class NewPlugin:
    """What was made: the files, relative to the folder, each with what it is."""

    folder: Path
    package: str
    files: dict[Path, str]


def make_plugin(name: str, kind: str, into: Path) -> NewPlugin:
    """Write a distribution `name` with one part of this kind, its tests and a recipe into the folder `into/name`.

    Raises:
        UsageError: the name cannot be that of a package, or is taken, or the folder exists.
        EnvironmentFault: it cannot be written.
    """
    package = _package(name)
    folder = into / name
    if folder.exists():
        raise UsageError(f"{folder} exists; choose another name, or another folder with --into")
    sources = {
        Path("pyproject.toml"): (
            "plugin/pyproject.toml",
            "the distribution, and the entry point that makes it a plugin",
        ),
        Path("README.md"): ("plugin/README.md", ""),
        Path(".gitignore"): ("plugin/gitignore", ""),
        Path(package, "__init__.py"): (f"{kind}/init.py", "the hooks that register what it brings"),
        Path(package, f"{kind}.py"): (f"{kind}/part.py", f"the part: {package}.{PARTS[kind]}"),
        Path(package, "recipes", f"{package}.yaml"): (f"{kind}/recipe.yaml", "a recipe that uses it"),
        Path("tests", f"test_{kind}.py"): (f"{kind}/test.py", "its tests"),
    }
    words = {"my-plugin": name, "my_plugin": package, "my_part": PARTS[kind], "my_kind": kind}
    try:
        for path, (template, _) in sources.items():
            text = (TEMPLATES / template).read_text(encoding="utf-8")
            for word, meant in words.items():
                text = text.replace(word, meant)
            if path.name == "pyproject.toml":
                text += _checkouts()
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
        (folder / package / "py.typed").touch()
    except OSError as error:
        raise EnvironmentFault(f"cannot write {error.filename}: {error.strerror}") from error
    return NewPlugin(folder, package, {path: what for path, (_, what) in sources.items() if what})


def _package(name: str) -> str:
    """The package of a distribution."""
    package = name.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", package) or keyword.iskeyword(package):
        raise UsageError(f"'{name}' cannot be a package's name; use lower-case letters, digits and hyphens: my-losses")
    if package in sys.stdlib_module_names or PathFinder.find_spec(package) is not None:
        raise UsageError(f"there is a Python module '{package}' already; choose another name")
    return package


def _checkouts() -> str:
    """Where this ganforge runs from a checkout, a new project must find it there: no index has it."""
    lines = []
    for name in NEEDED:
        try:
            origin = json.loads(distribution(name).read_text("direct_url.json") or "{}")
        except PackageNotFoundError:
            continue
        if origin.get("dir_info", {}).get("editable"):
            path = Path(unquote(urlsplit(origin["url"]).path)).as_posix()
            lines.append(f'{name} = {{ path = "{path}", editable = true }}\n')
    if not lines:
        return ""
    head = "\n# This ganforge is a checkout; drop these lines to take it from an index.\n[tool.uv.sources]\n"
    return head + "".join(lines)
