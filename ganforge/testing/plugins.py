"""What does a plugin bring?"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ganforge.plugins.loading import load_module
from ganforge.testing.checking import CheckFailed


def parts_of(plugin: ModuleType) -> dict[str, dict[str, Any]]:
    """What a plugin registers, by kind and name: `{"losses": {"charbonnier": charbonnier}}`.

    Args:
        plugin: the module that its entry point names.

    Raises:
        CheckFailed: it would not load: a hook is misspelt, a signature cannot be read.
    """
    loaded = load_module(plugin.__name__.rpartition(".")[2], plugin)
    if loaded.broken:
        raise CheckFailed(f"{plugin.__name__}: {loaded.broken[0].reason}")
    found: dict[str, dict[str, Any]] = {}
    for part in loaded.registry.parts.values():
        found.setdefault(part.kind, {})[part.name] = part.factory
    return found
