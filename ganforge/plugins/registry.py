"""The parts that plugins have registered, and how a recipe's names find them."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ganforge.api.context import Context, Pixels, Progress
from ganforge.docstrings import arguments, prose
from ganforge.errors import UsageError, nearest
from ganforge.plugins.signature import CALLED, Signature, SignatureError, read_signature

BUILT_IN = "ganforge"
"""The plugin whose short names no other one can take: installing a plugin changes no recipe."""
KINDS_IN_RECIPES = (
    "networks",
    "losses",
    "ops",
    "datasets",
    "augmentations",
    "metrics",
    "optimizers",
    "schedules",
    "callbacks",
)
KINDS = (*KINDS_IN_RECIPES, "importers", "recipes")
# The keys beside a part's options that mean something to the engine.
RESERVED = {
    "losses": ("weight", "every"),
    "networks": ("frozen",),
    "datasets": ("batch_size", "workers", "on_bad_file", "augment"),
    "augmentations": ("probability", "fields"),
}
FILLED_IN: dict[str, tuple[type, ...]] = {
    "ops": (Context, random.Random),
    "augmentations": (random.Random, Pixels),
    "schedules": (Progress,),
}
SINGULAR = {kind: kind.removesuffix("s") for kind in KINDS} | {"losses": "loss"}


@dataclass(frozen=True)
class Part:
    """One registered part: what makes it, and what it takes."""

    kind: str
    name: str
    plugin: str
    factory: Callable[..., Any]

    @property
    def full_name(self) -> str:
        return f"{self.plugin}.{self.name}"

    @cached_property
    def signature(self) -> Signature:
        return read_signature(self.kind, self.factory)

    @property
    def doc(self) -> str:
        """The docstring without its sections; a class does not inherit one."""
        return prose(inspect.cleandoc(self.factory.__doc__ or ""))

    @property
    def summary(self) -> str:
        """The first paragraph of the docstring, on one line."""
        return " ".join(self.doc.split("\n\n")[0].split())

    @cached_property
    def explanations(self) -> dict[str, str]:
        """What the docstrings say of the parameters, each on one line."""
        methods = [name for name in ("__init__", CALLED.get(self.kind, "")) if hasattr(self.factory, name)]
        docs = [*(getattr(self.factory, name).__doc__ for name in methods), self.factory.__doc__]
        return {name: text for doc in docs for name, text in arguments(inspect.cleandoc(doc or "")).items()}

    def trait(self, name: str) -> tuple[str, ...]:
        """What `ganforge.traits` declared of the part."""
        return getattr(self.factory, name, ())

    @property
    def one_of(self) -> tuple[tuple[str, ...], ...]:
        """Groups of options of which a recipe must give one."""
        return getattr(self.factory, "one_of", ())


def _check_parameters(part: Part) -> None:
    """Refuse what a recipe could never give, or the engine would never fill in."""
    signature = part.signature
    taken = {p.name for p in (*signature.options, *signature.inputs)} & {"type", *RESERVED.get(part.kind, ())}
    if taken:
        name = min(taken)
        raise SignatureError(f"'{part.name}' has a parameter '{name}': recipes use that name themselves; rename it")
    inputs = [p.name for p in signature.inputs]
    for trait in ("wrt", "scores"):
        for name in part.trait(trait) if part.kind == "losses" else ():
            if name not in inputs:
                known = ", ".join(inputs)
                raise SignatureError(f"'{part.name}' declares {trait}=('{name}',): no input of it; it has: {known}")
    options = [p.name for p in signature.options if not p.required]
    for name in (name for group in part.one_of for name in group if name not in options):
        raise SignatureError(f"'{part.name}' declares one_of '{name}', which is no option of it that may be left out")
    if part.kind == "schedules" and Progress not in signature.injected.values():
        missing = f"'{part.name}' has no parameter of ganforge.Progress: a schedule is a function of one"
        raise SignatureError(f"{missing}; write def {part.name}(progress: Progress) -> float")
    for name, kind in signature.injected.items():
        if kind not in FILLED_IN.get(part.kind, ()):
            what = f"parameter '{name}' of '{part.name}' is a {kind.__name__}"
            raise SignatureError(f"{what}, which the engine does not fill in for {part.kind}")


class UnknownPart(UsageError):
    """No part, or more than one, answers to a name."""


@dataclass
class Registry:
    """All parts by kind and full name. A short name works while it is unique; those of built-in parts always do."""

    parts: dict[tuple[str, str], Part] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    """Plugins that could not be loaded, with the reason; quoted where a part is unknown."""

    def add(self, part: Part) -> None:
        """Register a part; reading its signature now lets a faulty plugin fail when it is loaded, not when it is used.

        Raises:
            SignatureError: its signature cannot be read.
            UsageError: the plugin has registered this name before.
        """
        key = (part.kind, part.full_name)
        if key in self.parts:
            raise UsageError(f"it registers the {SINGULAR[part.kind]} '{part.name}' twice")
        if part.kind in KINDS_IN_RECIPES:
            _check_parameters(part)
        self.parts[key] = part

    def of(self, kind: str) -> Iterator[Part]:
        """The parts of one kind, by name."""
        yield from sorted((p for p in self.parts.values() if p.kind == kind), key=lambda p: (p.name, p.plugin))

    def find(self, kind: str, name: str) -> Part:
        """The part of this short or full name.

        Raises:
            UnknownPart: there is none, or the short name is ambiguous.
        """
        if (kind, name) in self.parts:
            return self.parts[kind, name]
        found = [part for part in self.of(kind) if part.name == name]
        built_in = [part for part in found if part.plugin == BUILT_IN]
        if len(found) == 1 or built_in:
            return (built_in or found)[0]
        if found:
            names = " or ".join(part.full_name for part in found)
            raise UnknownPart(f"'{name}' is registered by {len(found)} plugins", f"write {names}")
        near = self._near(kind, name)
        message = f"unknown {SINGULAR[kind]} '{name}'" + (f"; did you mean '{near}'?" if near else "")
        raise UnknownPart(message, "\n".join(self._cure(kind, name, bool(near))))

    def _near(self, kind: str, name: str) -> str | None:
        plugin, dot, part = name.rpartition(".")
        own = [each.name for each in self.of(kind) if each.plugin == plugin]
        if own:  # the plugin is right: with its name before them all parts would look alike
            return f"{plugin}.{near}" if (near := nearest(part, own)) else None
        return nearest(name, {each.full_name if dot else each.name for each in self.of(kind)})

    def _cure(self, kind: str, name: str, is_near: bool) -> Iterator[str]:
        yield from (f"plugin '{plugin}' could not be loaded: {why}" for plugin, why in self.broken.items())
        if is_near:
            return
        plugin = name.partition(".")[0] if "." in name else None
        other = next((k for k in KINDS if k != kind and any(name in (p.name, p.full_name) for p in self.of(k))), None)
        if other:
            article = "an" if other[0] in "aio" else "a"
            yield f"there is {article} {SINGULAR[other]} of that name"
        elif plugin and plugin not in {part.plugin for part in self.parts.values()} | set(self.broken):
            yield f"no plugin '{plugin}' is installed; its package may be called ganforge-{plugin}"
        else:
            yield f"`ganforge parts {kind}` lists what is installed"
