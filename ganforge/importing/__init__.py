"""A run of published weights: read from files without trusting them, and saved as the checkpoint of step 0."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ganforge.api.context import Progress
from ganforge.api.importers import Imported, Recognised
from ganforge.core.machine import now, versions
from ganforge.core.randomness import seed_all
from ganforge.errors import UsageError
from ganforge.plugins.registry import Part, Registry, UnknownPart
from ganforge.ranks.device import Precision, untried
from ganforge.recipe import open_recipe
from ganforge.recipe.model import Recipe
from ganforge.recipe.yaml_writing import dump
from ganforge.rehearsal.known_plans import planned
from ganforge.rehearsal.lazy import create_lazy_parameters
from ganforge.runs.checkpoint.files import save_checkpoint
from ganforge.runs.checkpoint.saving import capture
from ganforge.runs.run_folder import new_run_folder
from ganforge.step.cast import Cast, build_cast
from ganforge.training.trainer import Trainer

ROLE = re.compile(r"(?:^|_)net_?([A-Z]\w*)$")
CPU = torch.device("cpu")
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
        """As `ganforge.Recognise` says."""
        self.asked.add(key)
        for name in types:
            part = self._network(name)
            if found := part.factory.recognise(self.weights[key]):  # type: ignore[attr-defined]
                options, weights = found
                return Recognised({"type": part.full_name, **options}, weights)
        first = ", ".join(list(self.weights[key])[:SHOWN])
        raise UsageError(f"{self.files[key]} is no {' and no '.join(types)}: its weights begin with {first}")

    def _network(self, name: str) -> Part:
        try:
            return self.registry.find("networks", name)
        except UnknownPart as unknown:
            raise UsageError("\n  ".join(unknown.args)) from unknown

    def check_all_used(self, imported: Imported, importer: str) -> None:
        """Raise where a file would silently be left out."""
        for key, path in self.files.items():
            if key not in self.asked and key not in imported.left_out:
                raise UsageError(
                    f"{importer} knows no network '{key}', which {path} would be by its name\n"
                    "  name it as the reference does, such as latest_net_G_A.pth; a single file may have any name"
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


@dataclass(frozen=True)
class ImportedRun:
    """What was made."""

    folder: Path
    networks: dict[str, str]
    """Each network of the recipe: its part and options, in words."""
    sources: tuple[str, ...]
    """The networks whose weights were imported."""
    left_out: dict[Path, str]
    """Files that the recipe has no use for, with the reason."""


def import_run(
    importer: Part,
    paths: Sequence[Path],
    registry: Registry,
    *,
    overrides: Sequence[str] = (),
    out: Path = Path("runs"),
    name: str = "",
    distributions: Sequence[str] = (),
) -> ImportedRun:
    """Make a run that begins with published weights, as if it had been interrupted before its first step.

    Args:
        importer: what knows the family of the weights.
        paths: the files.
        registry: where parts are found.
        overrides: of the recipe, such as `data.root=my_pictures`.
        out: where run folders go.
        name: of the run; by default that of the single file, or of its folder.
        distributions: whose versions the run notes.

    Raises:
        UsageError: a file is refused or not understood, or its weights do not fit the network.
        RecipeError: the overrides do not fit the recipe.
    """
    published = read_published(paths, registry)
    imported: Imported = importer.factory(published.weights, published.recognise)
    published.check_all_used(imported, importer.name)
    recipe = open_recipe(imported.recipe, [*_settings(imported), *overrides], registry)
    trainer = _trainer(recipe, imported)
    folder = new_run_folder(out, name or _name(paths[0]) or importer.name)
    folder.recipe.write_text(dump(recipe.node), encoding="utf-8")
    seed_all(recipe.run.seed)  # as a run begins
    captured = capture(trainer)
    assert captured is not None  # no other rank has it
    checkpoint = save_checkpoint(folder.checkpoints, 0, captured)
    folder.note(
        recipe=folder.path.parent.name,
        status="imported",
        started=now(),
        step=0,
        checkpoint=checkpoint.name,
        sources=[{"file": path.name, "sha256": _sha256(path)} for path in published.files.values()],
        fresh=[name for name in recipe.networks if name not in imported.networks],
        versions=versions(list(distributions)),
    )
    return ImportedRun(
        folder.path,
        {name: _in_words(use.part.full_name, use.options) for name, use in recipe.networks.items()},
        tuple(imported.networks),
        {published.files[key]: why for key, why in imported.left_out.items()},
    )


def _settings(imported: Imported) -> Iterator[str]:
    """As overrides of the command line: JSON is YAML."""
    networks = {f"networks.{name}": found.use for name, found in imported.networks.items()}
    for key, value in {**networks, **imported.settings}.items():
        yield f"{key}={json.dumps(value)}"


def _trainer(recipe: Recipe, imported: Imported) -> Trainer:
    """The recipe before its first step, with the imported weights."""
    plan = planned(recipe)
    precision = Precision(untried(recipe.run.precision), CPU)
    cast = build_cast(recipe, precision.place)
    if plan.lazy:
        create_lazy_parameters(recipe, cast, precision)
    for name, found in imported.networks.items():
        _load(cast, name, found)
    return Trainer(recipe, cast, precision, Progress(0, 1, 1))


def _load(cast: Cast, name: str, found: Recognised) -> None:
    network = cast.networks[name]
    if ruined := [key for key, tensor in found.weights.items() if not bool(torch.isfinite(tensor).all())]:
        raise UsageError(f"the weights for {name} are NaN or infinite in {ruined[0]}: their training had failed")
    try:
        network.load_state_dict(dict(found.weights))
    except RuntimeError as error:
        told = list(_misfits(network, found.weights)) or [str(error).splitlines()[-1].strip()]
        more = f"\n  and {len(told) - SHOWN} more" if len(told) > SHOWN else ""
        raise UsageError(
            f"the weights for {name} do not fit {_in_words(str(found.use['type']), found.use)}:\n"
            + "\n".join(f"  {line}" for line in told[:SHOWN])
            + more
        ) from error


def _misfits(network: nn.Module, weights: Mapping[str, Tensor]) -> Iterator[str]:
    """Each name that does not fit, in the order of the network, and those that it does not know."""
    own = network.state_dict()
    for name, tensor in own.items():
        if name not in weights:
            yield f"{name} is missing"
        elif weights[name].shape != tensor.shape:
            yield f"{name} is {list(weights[name].shape)}, the network's is {list(tensor.shape)}"
    yield from (f"{name} is not in the network" for name in weights if name not in own)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _name(path: Path) -> str:
    """Public checkpoints are `horse2zebra.pth`, or `horse2zebra/latest_net_G_A.pth`."""
    return path.resolve().parent.name if ROLE.search(path.stem) else path.stem


def _in_words(part: str, options: Mapping[str, Any]) -> str:
    given = ", ".join(f"{name} {value}" for name, value in options.items() if name != "type")
    return f"{part} ({given})" if given else part
