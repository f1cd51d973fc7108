"""Loading plugins one by one, so that a broken one costs only itself."""

from __future__ import annotations

import importlib.util
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from ganforge import hookspecs
from ganforge.errors import UsageError
from ganforge.registry import KINDS, Part, Registry

GROUP = "ganforge"


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
    """
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    plugins = Plugins(Registry(), [], manager)
    for plugin, entry in _installed():
        if not plugin.reason:
            _load(plugins, plugin, entry.load)
        plugins.found.append(plugin)
    for path in files:
        plugin = Plugin(path.stem, str(path))
        _load(plugins, plugin, lambda path=path: _import_file(path))
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
            if len(owners) > 1:
                # pluggy would silently keep one of them: which, depends on the order of installation.
                plugin.reason = f"{' and '.join(owners)} both call their plugin '{name}'; uninstall one of them"
            yield plugin, entry


def _import_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(f"no Python file at {path}")
    module = importlib.util.module_from_spec(spec)
    # Annotations are resolved, and workers unpickle, through sys.modules.
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    return module


def _load(plugins: Plugins, plugin: Plugin, importer: Any) -> None:
    manager = plugins.manager
    parts: list[Part] = []
    try:
        module = importer()
        manager.register(module, plugin.name)
        _refuse_misspelt_hooks(manager, module)
        plugin.hooks = [caller.name for caller in manager.get_hookcallers(module) or ()]
        for part in _collect(manager, plugin, module):
            plugins.registry.add(part)
            parts.append(part)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may even call sys.exit
        if manager.has_plugin(plugin.name):
            manager.unregister(name=plugin.name)
        for part in parts:
            del plugins.registry.parts[part.kind, part.full_name]
        parts = []
        plugin.reason = f"{type(error).__name__}: {error}".splitlines()[0]
        plugin.traceback = traceback.format_exc()
    plugin.parts = [f"{part.kind}: {part.name}" for part in parts]


def _refuse_misspelt_hooks(manager: pluggy.PluginManager, module: Any) -> None:
    hooks = {name for name in vars(hookspecs) if name.startswith("register_")}
    for caller in manager.get_hookcallers(module) or ():
        if caller.name not in hooks:
            raise UsageError(f"there is no hook '{caller.name}'; hooks: {', '.join(sorted(hooks))}")
    if not manager.get_hookcallers(module):
        raise UsageError("it implements no hook; mark functions such as register_losses with @ganforge.hookimpl")


def _collect(manager: pluggy.PluginManager, plugin: Plugin, module: Any) -> Iterator[Part]:
    others = [other for other in manager.get_plugins() if other is not module]
    for kind in KINDS:
        parts: list[Part] = []

        def register(name: str, factory: Any, kind: str = kind, parts: list[Part] = parts) -> None:
            parts.append(Part(kind, name, plugin.name, factory))

        manager.subset_hook_caller(f"register_{kind}", others)(register=register)
        yield from parts
