"""Loading plugins one by one, so that a broken one costs only itself."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import Distribution, EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy
from packaging.requirements import Requirement

from ganforge import __version__, hookspecs
from ganforge.errors import EnvironmentFault, GanforgeError, UsageError, suggest
from ganforge.registry import KINDS, Part, Registry
from ganforge.signature import SignatureError

GROUP = "ganforge"


REPAIR = "  install it anew: pip install --force-reinstall ganforge"


@dataclass
class Plugin:
    """One plugin as it was found: loaded, or broken with the reason."""

    name: str
    origin: str
    """The distribution and its version, or the file."""
    reason: str = ""
    traceback: str = ""
    hooks: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)

    @property
    def state(self) -> str:
        return "broken" if self.reason else "loaded"


@dataclass
class Plugins:
    """Everything that was loaded."""

    registry: Registry
    found: list[Plugin]
    manager: pluggy.PluginManager

    @property
    def broken(self) -> list[Plugin]:
        return [plugin for plugin in self.found if plugin.reason]


def load_plugins(files: Sequence[Path] = ()) -> Plugins:
    """Load the installed plugins and these plain files.

    `GANFORGE_PLUGINS=a,b` in the environment limits the installed ones; the built-in plugin always loads.

    Raises:
        UsageError: a file that was asked for could not be loaded. An installed plugin that fails is only listed.
        EnvironmentFault: the built-in plugin could not be loaded: without it no recipe can be read.
    """
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    plugins = Plugins(Registry(), [], manager)
    for plugin, entry in _installed():
        if not plugin.reason:
            _load(plugins, plugin, entry.load)
        plugins.found.append(plugin)
        if plugin.name == GROUP and plugin.reason:
            raise EnvironmentFault(f"ganforge's own parts could not be loaded: {plugin.reason}\n{REPAIR}")
    for path in files:
        plugin = Plugin(path.stem, str(path))
        _load(plugins, plugin, functools.partial(_import_file, path))
        plugins.found.append(plugin)
        if plugin.reason:
            raise UsageError(f"plugin {path}: {plugin.reason}\n{plugin.traceback}".rstrip())
    plugins.registry.broken = {plugin.name: plugin.reason for plugin in plugins.broken}
    return plugins


def _installed() -> Iterator[tuple[Plugin, EntryPoint]]:
    wanted = os.environ.get("GANFORGE_PLUGINS")
    allowed = {GROUP, *wanted.split(",")} if wanted is not None else None
    entries: dict[str, dict[str, EntryPoint]] = {}
    for entry in entry_points(group=GROUP):
        origin = f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value
        entries.setdefault(entry.name, {})[origin] = entry
    for name, owners in sorted(entries.items(), key=lambda item: (item[0] != GROUP, item[0])):
        if allowed is not None and name not in allowed:
            continue
        for origin, entry in owners.items():
            plugin = Plugin(name, origin)
            plugin.reason = _unmet(entry.dist)
            if len(owners) > 1:
                # pluggy would silently keep one of them: which, depends on the order of installation.
                plugin.reason = f"{' and '.join(owners)} both call their plugin '{name}'; uninstall one of them"
            yield plugin, entry


def _unmet(distribution: Distribution | None) -> str:
    """Why a distribution does not go with this ganforge; nothing where it does."""
    for text in (distribution.requires if distribution else None) or ():
        wanted = Requirement(text)
        if wanted.name.lower() != GROUP or (wanted.marker and not wanted.marker.evaluate()):
            continue
        if not wanted.specifier.contains(__version__, prereleases=True):
            cure = f"pip install --upgrade '{wanted.name}{wanted.specifier}'"
            return f"it wants ganforge {wanted.specifier}, and this is {__version__}: {cure}"
    return ""


def _import_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise UsageError("there is no Python file of that name")
    module = importlib.util.module_from_spec(spec)
    # Annotations are resolved, and workers unpickle, through sys.modules.
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    return module


def _load(plugins: Plugins, plugin: Plugin, importer: Callable[[], Any]) -> None:
    manager = plugins.manager
    parts: list[Part] = []
    try:
        if manager.has_plugin(plugin.name):
            raise UsageError(f"another plugin is called '{plugin.name}'; give this one a name of its own")
        module = importer()
        plugin.hooks = _check_hooks(manager, module)
        manager.register(module, plugin.name)
        for part in _collect(manager, plugin, module):
            plugins.registry.add(part)
            parts.append(part)
        plugin.parts = [f"{part.kind}: {part.name}" for part in parts]
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may even call sys.exit
        if plugin.hooks and manager.has_plugin(plugin.name):
            manager.unregister(name=plugin.name)
        for part in parts:
            del plugins.registry.parts[part.kind, part.full_name]
        plugin.hooks = []
        plugin.reason, plugin.traceback = _reason(error), _own_frames(error)


def _reason(error: BaseException) -> str:
    if isinstance(error, GanforgeError | SignatureError):
        return str(error)
    if isinstance(error, SystemExit):
        return f"it ends Python when it is imported (SystemExit: {error.code})"
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _own_frames(error: BaseException) -> str:
    """The traceback through the plugin's code; nothing where the reason says all."""
    if isinstance(error, GanforgeError | SignatureError):
        return ""
    report = traceback.TracebackException.from_exception(error)
    ours = (__file__, importlib.metadata.__file__, importlib.__file__)
    report.stack = traceback.StackSummary.from_list(
        [frame for frame in report.stack if frame.filename not in ours and "importlib._bootstrap" not in frame.filename]
    )
    return "".join(report.format())


def _check_hooks(manager: pluggy.PluginManager, module: Any) -> list[str]:
    """The hooks that a plugin implements. Pluggy would keep silent about a hook misspelt, or not marked.

    Raises:
        UsageError: the plugin implements none, or not as it should.
    """
    specs = {name: spec for name, spec in vars(hookspecs).items() if hasattr(spec, f"{GROUP}_spec")}
    marked = {n: getattr(module, n) for n in dir(module) if manager.parse_hookimpl_opts(module, n) is not None}
    for name, function in marked.items():
        if name not in specs:
            raise UsageError(f"there is no hook '{name}'; {suggest(name, specs)}")
        (takes,) = inspect.signature(specs[name]).parameters
        if wrong := [given for given in inspect.signature(function).parameters if given != takes]:
            raise UsageError(f"the hook '{name}' takes '{takes}', not '{wrong[0]}': write def {name}({takes})")
    for name in specs:
        if name not in marked and inspect.isfunction(getattr(module, name, None)):
            raise UsageError(f"'{name}' is not marked as a hook: write @hookimpl above it")
    if not marked:
        raise UsageError("it implements no hook: mark functions such as register_losses with @ganforge.hookimpl")
    return list(marked)


def _collect(manager: pluggy.PluginManager, plugin: Plugin, module: Any) -> Iterator[Part]:
    others = [other for other in manager.get_plugins() if other is not module]
    for kind in KINDS:
        parts: list[Part] = []

        def register(name: str, factory: Any, kind: str = kind, parts: list[Part] = parts) -> None:
            parts.append(Part(kind, name, plugin.name, factory))

        manager.subset_hook_caller(f"register_{kind}", others)(register=register)
        yield from parts
