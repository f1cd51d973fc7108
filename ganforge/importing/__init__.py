"""A run of published weights, saved as the checkpoint of step 0."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ganforge.api.context import BEGINNING
from ganforge.api.importers import Imported, Recognised
from ganforge.core.files import sha256_of
from ganforge.core.machine import now, versions
from ganforge.core.randomness import seed_all
from ganforge.errors import UsageError
from ganforge.importing.published import ROLE, SHOWN, read_published
from ganforge.plugins.registry import Part, Registry
from ganforge.ranks.device import Precision, untried
from ganforge.recipe import open_recipe
from ganforge.recipe.model import Recipe
from ganforge.recipe.yaml_writing import dump
from ganforge.rehearsal.assembly import assemble
from ganforge.rehearsal.known_plans import planned
from ganforge.runs.checkpoint.files import save_checkpoint
from ganforge.runs.checkpoint.saving import capture
from ganforge.runs.run_folder import RunFolder, new_run_folder
from ganforge.step.cast import Cast
from ganforge.training.trainer import Trainer

CPU = torch.device("cpu")


@dataclass(frozen=True)
class ImportedRun:
    """The run that was made of published weights."""

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
        overrides: of the recipe, such as `data.root=my_pictures`.
        name: of the run; by default that of the single file, or of its folder.

    Raises:
        UsageError: a file is refused or not understood, or its weights do not fit the network.
        RecipeError: the overrides do not fit the recipe.
    """
    published = read_published(paths, registry)
    imported: Imported = importer.factory(published.weights, published.recognise)
    published.check_all_used(imported, importer.name)
    settings = {f"networks.{name}": found.use for name, found in imported.networks.items()} | dict(imported.settings)
    entries = [f"{key}={json.dumps(value)}" for key, value in settings.items()]  # JSON is YAML
    recipe = open_recipe(imported.recipe, [*entries, *overrides], registry)
    trainer = _trainer(recipe, imported)
    folder = new_run_folder(out, name or _name(paths[0]) or importer.name)
    _save(
        recipe,
        trainer,
        folder,
        sources=[{"file": path.name, "sha256": sha256_of(path)} for path in published.files.values()],
        fresh=[name for name in recipe.networks if name not in imported.networks],
        versions=versions(list(distributions)),
    )
    return ImportedRun(
        folder.path,
        {name: _in_words(use.part.full_name, use.options) for name, use in recipe.networks.items()},
        tuple(imported.networks),
        {published.files[key]: why for key, why in imported.left_out.items()},
    )


def _save(recipe: Recipe, trainer: Trainer, folder: RunFolder, **noted: Any) -> None:
    """Write what a run leaves that was interrupted before its first step."""
    folder.recipe.write_text(dump(recipe.node), encoding="utf-8")
    seed_all(recipe.run.seed)  # as a run begins
    captured = capture(trainer)
    assert captured is not None  # no other rank has it
    checkpoint = save_checkpoint(folder.checkpoints, 0, captured)
    folder.note(
        recipe=folder.path.parent.name, status="imported", started=now(), step=0, checkpoint=checkpoint.name, **noted
    )


def _trainer(recipe: Recipe, imported: Imported) -> Trainer:
    """The recipe before its first step, with the imported weights."""
    planned(recipe)  # tells what does not fit
    precision = Precision(untried(recipe.run.precision), CPU)
    cast = assemble(recipe, precision)
    for name, found in imported.networks.items():
        _load(cast, name, found)
    return Trainer(recipe, cast, precision, BEGINNING)


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


def _name(path: Path) -> str:
    """Public checkpoints are `horse2zebra.pth`, or `horse2zebra/latest_net_G_A.pth`."""
    return path.resolve().parent.name if ROLE.search(path.stem) else path.stem


def _in_words(part: str, options: Mapping[str, Any]) -> str:
    given = ", ".join(f"{name} {value}" for name, value in options.items() if name != "type")
    return f"{part} ({given})" if given else part
