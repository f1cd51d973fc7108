"""Loading plugins one by one, so that a broken one costs only itself."""

from __future__ import annotations

import functools
import importlib.metadata
import inspect
import keyword
import os
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pluggy
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from ganforge._version import __version__
from ganforge.api import hooks as hookspecs
from ganforge.errors import EnvironmentFault, GanforgeError, UsageError, suggest
from ganforge.failures import homes
from ganforge.failures.words import said
from ganforge.plugins import plain_files
from ganforge.plugins.guard import undisturbed
from ganforge.plugins.plain_files import forget, hidden, load_file
from ganforge.plugins.registry import KINDS, SINGULAR, Part, Registry
from ganforge.plugins.signature import SignatureError

GROUP = "ganforge"
BUILT_IN_MODULE = "ganforge.builtin"
REPAIR = "install it anew: pip install --force-reinstall ganforge"
SLOW_S = 2
"""Loading a plugin for longer than this is worth a note: every command waits for it."""


@dataclass
class Plugin:
    """One plugin as it was found: loaded, or broken with the reason."""

    name: str
    distribution: str
    """The distribution that the plugin came in; the path of a plain file; empty for one that was only asked for."""
    version: str = ""
    """The version of the distribution; empty for a plain file."""
    reason: str = ""
    traceback: str = ""
    hooks: list[str] = field(default_factory=list)
    parts: dict[str, list[str]] = field(default_factory=dict)
    """Names by kind, and those of `commands`."""
    notes: list[str] = field(default_factory=list)
    """What is amiss though it need not keep the plugin from working."""

    @property
    def state(self) -> str:
        return "broken" if self.reason else "loaded"

    @property
    def origin(self) -> str:
        """The distribution and its version, or the file."""
        return f"{self.distribution} {self.version}".strip() or "not installed"


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
    plugins = _no_plugins()
    for entry, plugin in _installed():
        if not plugin.reason:
            _load(plugins, plugin, functools.partial(_import_entry, entry))
        plugins.found.append(plugin)
        if entry.value == BUILT_IN_MODULE and plugin.reason:
            raise EnvironmentFault(f"ganforge's own parts could not be loaded: {plugin.reason}", REPAIR)
    plugins.found += _missing()
    forget()
    for path in files:
        plugin = Plugin(path.stem, str(path))
        _load(plugins, plugin, functools.partial(load_file, path))
        plugins.found.append(plugin)
        plugin.notes += [f"its '{name}' is not the file beside it: installed ones go first" for name in hidden(path)]
        if plugin.reason:
            frames = plugin.traceback.replace("Traceback (most recent call last):\n", "")
            raise UsageError(f"plugin {path}: {plugin.reason}\n{frames}".rstrip())
    plugins.registry.broken = {plugin.name: plugin.reason for plugin in plugins.broken}
    return plugins


def load_module(name: str, module: ModuleType) -> Plugins:
    """Load one module and nothing else, as an installed plugin of this name would be."""
    plugins = _no_plugins()
    plugins.found.append(Plugin(name, ""))
    _load(plugins, plugins.found[0], lambda: module)
    return plugins


def _no_plugins() -> Plugins:
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    return Plugins(Registry(), [], manager)


def _wanted() -> set[str] | None:
    """The plugins that `GANFORGE_PLUGINS` names; None where it is not set: all of them."""
    names = os.environ.get("GANFORGE_PLUGINS")
    return None if names is None else {name.strip() for name in names.split(",") if name.strip()}


def _installed() -> Iterator[tuple[EntryPoint, Plugin]]:
    """The entry points that are wanted, the built-in one first, and of their plugins what is known before loading."""
    wanted = _wanted()
    version = functools.cache(_version)  # reading that of a large distribution takes milliseconds, and all ask for it
    owners: dict[str, list[tuple[EntryPoint, Plugin]]] = {}
    for entry in entry_points(group=GROUP):
        if wanted is None or entry.name in wanted or entry.value == BUILT_IN_MODULE:
            owners.setdefault(entry.name, []).append((entry, _before_loading(entry, version)))
    for name in sorted(owners, key=lambda name: (name != GROUP, name)):
        if len(owners[name]) > 1 and name != GROUP:
            # pluggy would silently keep one of them: which, depends on the order of installation.
            same = " and ".join(sorted(plugin.origin for _, plugin in owners[name]))
            for _, plugin in owners[name]:
                plugin.reason = f"{same} both call their plugin '{name}'; uninstall one of them"
        yield from sorted(owners[name], key=lambda owner: (owner[0].value != BUILT_IN_MODULE, owner[1].distribution))


def _before_loading(entry: EntryPoint, version: Callable[[str], str | None]) -> Plugin:
    if entry.dist is None:
        return Plugin(entry.name, entry.value)
    unmet = _unmet(entry.dist, version)
    reason = unmet.pop(GROUP, "")
    described = entry.dist.metadata  # which is read anew whenever it is asked for
    return Plugin(entry.name, described["Name"], described["Version"], reason, notes=list(unmet.values()))


def _missing() -> Iterator[Plugin]:
    """The plugins that `GANFORGE_PLUGINS` names, and that nothing brings."""
    wanted = _wanted() or set()
    known = {entry.name for entry in entry_points(group=GROUP)} if wanted else set()
    for name in sorted(wanted - known):
        reason = f"GANFORGE_PLUGINS names it, and no installed distribution brings it; {suggest(name, known)}"
        yield Plugin(name, "", reason=reason)


def _unmet(distribution: Distribution, version: Callable[[str], str | None]) -> dict[str, str]:
    """The requirements of a distribution that are not met, by name: what is wrong, and the cure. As pip sees them:
    without extras, and a pre-release that is installed is as good as a release."""
    unmet: dict[str, str] = {}
    for text in distribution.requires or ():
        with suppress(InvalidRequirement):  # pip has told already
            wanted = Requirement(text)
            name = canonicalize_name(wanted.name)
            if wanted.marker and not wanted.marker.evaluate({"extra": ""}):
                continue
            there = __version__ if name == GROUP else version(name)
            if there is None:
                unmet[name] = f"it wants {name}{wanted.specifier}, which is not installed: pip install '{wanted}'"
            elif failed := [s for s in wanted.specifier if not s.contains(there, prereleases=True)]:
                is_outgrown = any(s.operator in ("<", "<=") for s in failed)
                cure = distribution.name if is_outgrown else f"'{name}{wanted.specifier}'"
                unmet[name] = f"it wants {name}{wanted.specifier}, and this is {there}: pip install --upgrade {cure}"
    return unmet


def _version(distribution: str) -> str | None:
    with suppress(PackageNotFoundError):
        return importlib.metadata.version(distribution)
    return None


def _import_entry(entry: EntryPoint) -> Any:
    try:
        return entry.load()
    except ModuleNotFoundError as error:
        if error.name and f"{entry.module}.".startswith(f"{error.name}."):
            raise UsageError(f"its entry point names the module '{entry.module}', which is not installed") from error
        raise


def _load(plugins: Plugins, plugin: Plugin, importer: Callable[[], Any]) -> None:
    started = time.perf_counter()
    with undisturbed() as changed:
        _register(plugins, plugin, importer)
    seconds = time.perf_counter() - started
    if plugin.name != GROUP and seconds > SLOW_S:
        plugin.notes.append(f"every command waits for it: loading it took {seconds:.1f} s")
    if changed:
        plugin.notes.append(f"when it was loaded it changed {', '.join(changed)}: put back, for that would change runs")


def _register(plugins: Plugins, plugin: Plugin, importer: Callable[[], Any]) -> None:
    manager = plugins.manager
    parts: list[Part] = []
    try:
        if manager.has_plugin(plugin.name):
            raise UsageError(f"another plugin is called '{plugin.name}'; give this one a name of its own")
        module = importer()
        if plugin.name != GROUP:
            homes.settle(plugin.name, plugin.origin, module, from_file=not plugin.version)
        plugin.hooks = _check_hooks(manager, module)
        manager.register(module, plugin.name)
        for part in _collect(manager, plugin, module):
            try:
                plugins.registry.add(part)
            except SignatureError as error:
                error.add_note(homes.defined(part))
                raise
            parts.append(part)
            if plugin.name != GROUP:
                homes.acquaint(part)
        names = {kind: [part.name for part in parts if part.kind == kind] for kind in KINDS}
        plugin.parts = {kind: found for kind, found in names.items() if found} | _commands(manager, module)
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
    return said(error).splitlines()[0].rstrip(": ")


def _own_frames(error: BaseException) -> str:
    """The traceback through the plugin's code; nothing where the reason says all."""
    if isinstance(error, GanforgeError | SignatureError):
        return "".join(f"  {note}" for note in getattr(error, "__notes__", ()) if note)
    report = traceback.TracebackException.from_exception(error)
    ours = (__file__, plain_files.__file__, importlib.metadata.__file__, importlib.__file__)
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
        takes, given = (", ".join(inspect.signature(f).parameters) for f in (specs[name], function))
        if given != takes:
            raise UsageError(f"the hook '{name}' takes ({takes}), not ({given}): write def {name}({takes})")
    for name in specs:
        if name not in marked and inspect.isfunction(getattr(module, name, None)):
            raise UsageError(f"'{name}' is not marked as a hook: write @hookimpl above it")
    if not marked:
        raise UsageError("it implements no hook: mark functions such as register_losses with @ganforge.hookimpl")
    return list(marked)


def _collect(manager: pluggy.PluginManager, plugin: Plugin, module: Any) -> Iterator[Part]:
    for kind in KINDS:
        parts: list[Part] = []

        def register(name: str, factory: Any, kind: str = kind, parts: list[Part] = parts) -> None:
            _check_part(kind, name, factory)
            parts.append(Part(kind, name, plugin.name, factory))

        _call(manager, module, f"register_{kind}", register=register)
        yield from parts


def _call(manager: pluggy.PluginManager, module: Any, hook: str, **arguments: Any) -> None:
    others = [other for other in manager.get_plugins() if other is not module]
    manager.subset_hook_caller(hook, others)(**arguments)


def _check_part(kind: str, name: Any, factory: Any) -> None:
    """Refuse what no recipe could name.

    Raises:
        UsageError: the name is none that expressions can call, or the recipe is not there.
    """
    if kind == "recipes":
        if not Path(factory).is_file():
            raise UsageError(f"its recipe '{name}' is not there: {factory}")
    elif not (isinstance(name, str) and name.isidentifier()) or keyword.iskeyword(name):
        raise UsageError(f"it registers the {SINGULAR[kind]} '{name}', which is no name that a recipe could call")
    elif not (inspect.isclass(factory) or inspect.isroutine(factory)):
        what = f"a {type(factory).__name__}" if factory is not None else "nothing (None)"
        cure = "register a function or a class: write def"
        raise UsageError(f"it registers the {SINGULAR[kind]} '{name}', which is {what}; {cure}")


def _commands(manager: pluggy.PluginManager, module: Any) -> dict[str, list[str]]:
    """A plugin's commands. Its hook is tried on a group of its own: should it fail, it fails here."""
    group = click.Group()
    _call(manager, module, "register_commands", cli=group)
    return {"commands": list(group.commands)} if group.commands else {}
