"""What commands are given: runs, checkpoints and bundles, by where they lie; what is found is a folder or a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ganforge.sharing.bundle import is_bundle, unpack
from ganforge.sharing.bundle.code import check_plugins
from ganforge.sharing.records import as_checkpoint, recipe_at

if TYPE_CHECKING:
    from ganforge.plugins.registry import Registry

LONGEST_NAME = 255
"""The longest name that a file may have."""


def recipe_in(given: str) -> str:
    """What `open_recipe` finds the recipe by. Of a checkpoint it is the one that held when its run came there; of a
    bundle, where that was unpacked; anything else is left as it is.

    Raises:
        EnvironmentFault: the bundle is damaged.
    """
    path = Path(given)
    if len(path.name) > LONGEST_NAME:
        return given
    if found := as_checkpoint(path):
        return str(recipe_at(*found))
    return str(unpack(path).folder) if is_bundle(path) else given


def run_in(given: Path, registry: Registry) -> Path:
    """The folder of a run, or of a checkpoint; of a bundle, where it was unpacked.

    Raises:
        UsageError: plugins that the bundle needs are missing.
        EnvironmentFault: the bundle is damaged.
    """
    if not is_bundle(given):
        return given
    unpacked = unpack(given)
    check_plugins(given, unpacked.contents, registry)
    return unpacked.folder
