"""Published weights, read from files without trusting them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganforge.api.importers import Imported, Recognised
from ganforge.errors import UsageError
from ganforge.plugins.registry import Registry

ROLE = re.compile(r"(?:^|_)net_?([A-Z]\w*)$")
SHOWN = 3
"""How many of the keys that do not fit an error tells."""

Weights = dict[str, Tensor]


@dataclass
class Published:
    """The weights of published files, and which of them an importer has asked for."""

    files: dict[str, Path]
    weights: dict[str, Weights]
    registry: Registry
    asked: set[str] = field(default_factory=set)

    def recognise(self, key: str, *types: str) -> Recognised:
        """Find the network of a file, as `ganforge.Recognise` says."""
        self.asked.add(key)
        for name in types:
            part = self.registry.find("networks", name)
            if found := part.factory.recognise(self.weights[key]):  # type: ignore[attr-defined]
                options, weights = found
                return Recognised({"type": part.full_name, **options}, weights)
        first = ", ".join(list(self.weights[key])[:SHOWN])
        raise UsageError(f"{self.files[key]} is no {' and no '.join(types)}: its weights begin with {first}")

    def check_all_used(self, imported: Imported, importer: str) -> None:
        """Raise where a file would silently be left out."""
        for key, path in self.files.items():
            if key not in self.asked and key not in imported.left_out:
                raise UsageError(
                    f"{importer} knows no network '{key}', which {path} would be by its name",
                    "name it as the reference does, such as latest_net_G_A.pth; a single file may have any name",
                )


def read_published(paths: Sequence[Path], registry: Registry) -> Published:
    """Read files of weights, by key: `G_A` of `latest_net_G_A.pth`; `G` where a name says nothing.

    Raises:
        UsageError: a file is none, holds more than weights, or has the key of another.
    """
    files: dict[str, Path] = {}
    for path in paths:
        named = ROLE.search(path.stem)
        key = named[1] if named else "G"
        if key in files:
            raise UsageError(
                f"{files[key]} and {path} would both be '{key}'; name them as the reference does, latest_net_{key}.pth"
            )
        files[key] = path
    return Published(files, {key: read_weights(path) for key, path in files.items()}, registry)


def read_weights(path: Path) -> Weights:
    """The weights in a file of PyTorch, under names that today's torch gives them. Nothing in the file is run.

    Raises:
        UsageError: it is no such file, is damaged, or holds anything but tensors by name.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # about the pickle's protocol
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except Exception as error:  # whatever a file that is no checkpoint, or half of one, does to the reader
        raise UsageError(_refusal(path, error)) from error
    if not _are_weights(loaded):
        raise UsageError(f"{path} holds no weights by name, but a {type(loaded).__name__}; give a file of a state_dict")
    return _modernised(loaded)


def _refusal(path: Path, error: Exception) -> str:
    if named := re.search(r"GLOBAL (\S+)", str(error)):
        return (
            f"{path} is refused: it holds more than weights, namely {named[1]}, and loading that can run any code\n"
            "  give a file of a state_dict; torch.save(network.state_dict(), ...) writes one"
        )
    return f"{path} is no checkpoint of PyTorch, or a damaged one; download it again"


def _are_weights(loaded: Any) -> bool:
    return (
        isinstance(loaded, Mapping)
        and bool(loaded)
        and all(isinstance(name, str) and isinstance(value, Tensor) for name, value in loaded.items())
    )


def _modernised(weights: Mapping[str, Tensor]) -> Weights:
    """Without the prefix of `DataParallel`, and without the statistics that instance norms had before PyTorch 0.4."""
    plain = {name.removeprefix("module."): value for name, value in weights.items()}
    statistics = ("running_mean", "running_var", "num_batches_tracked")

    def is_left_over(name: str) -> bool:
        norm, _, last = name.rpartition(".")
        return last in statistics and f"{norm}.weight" not in plain  # a batch norm has a weight

    return {name: value for name, value in plain.items() if not is_left_over(name)}
