"""Whether all ranks are about to compute the same: found before the first step, and told by name."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ganforge.api.datasets import Dataset
from ganforge.errors import UsageError
from ganforge.ranks.world import World
from ganforge.recipe.merge import flat

OWN = ("data.root", "data.cache", "data.cache_dir", "data.cache_gib", "data.workers")
"""Settings that each host may have its own of."""
SHOWN = 5


def agree(world: World, about: Mapping[str, Any]) -> None:
    """Compare what ranks are about to do, as JSON by sections, with what rank 0 is.

    Raises:
        UsageError: on all ranks, with which differs from rank 0, and in what.
    """
    if world.size == 1:
        return
    told = world.gather({"host": platform.node(), "about": about})
    differing = [
        f"rank {rank} on {other['host']}: {difference}"
        for rank, other in enumerate(told)
        for difference in _differences(told[0]["about"], other["about"])
    ]
    if differing:
        more = [f"and {len(differing) - SHOWN} more"] if len(differing) > SHOWN else []
        cure = "every host needs the same versions, recipe and data, and the same kind of device"
        raise UsageError(
            f"the ranks would not compute the same; this is how they differ from rank 0 on {told[0]['host']}:",
            "\n".join([*differing[:SHOWN], *more, cure]),
        )


def agree_on_data(world: World, dataset: Dataset, samples: int) -> None:
    """Compare the files that ranks read: their number, names and sizes.

    Raises:
        UsageError: as `agree` does.
    """
    if world.size == 1:
        return
    files = dict(sorted(_described(dataset.files())))
    digest = hashlib.sha256(json.dumps(files).encode()).hexdigest()
    named: list[str] = []
    if len(set(world.gather(digest))) > 1:
        first = world.from_first(files if world.leads else None)
        named = sorted(set().union(*world.gather(_changed(first, files))))
    sizes = {name: f"{files[name]} bytes" if name in files else "absent" for name in named}
    agree(world, {"data": {"samples": samples, "files": len(files), **sizes}})


def _described(paths: Sequence[Path]) -> Iterator[tuple[str, int]]:
    """Each file by its name below the folder of all of them, wherever that lies, and its size in bytes."""
    if paths:
        together = os.path.commonpath([path.absolute().parent for path in paths])
        for path in paths:
            yield path.absolute().relative_to(together).as_posix(), path.stat().st_size


def _changed(first: Mapping[str, int], here: Mapping[str, int]) -> list[str]:
    """The first files that are not as rank 0 has them."""
    return sorted(name for name in first.keys() | here.keys() if first.get(name) != here.get(name))[:SHOWN]


def _differences(first: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    ours, theirs = flat(first), flat(other)
    for key in sorted(ours.keys() | theirs.keys()):
        section, _, name = key.partition(".")
        if ours.get(key) != theirs.get(key) and name not in OWN:
            yield f"{section} {name}: {_short(theirs.get(key))} instead of {_short(ours.get(key))}"


def _short(value: Any) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:12]}..."
