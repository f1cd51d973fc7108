"""What a run is made of, built in the order in which faults should be told: the cheapest to find first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ganforge.api.callbacks import Direction
from ganforge.api.context import Progress
from ganforge.api.datasets import Samples
from ganforge.core.machine import machine
from ganforge.failures.blame import blame
from ganforge.ranks import World
from ganforge.ranks.agreeing import agree, agree_on_data
from ganforge.ranks.device import Precision, choose_device
from ganforge.ranks.division import Division, divide, divided, length
from ganforge.ranks.sync_batch_norm import synchronise
from ganforge.recipe.model import Recipe
from ganforge.rehearsal.assembly import assemble
from ganforge.rehearsal.directions import directions
from ganforge.rehearsal.dry_run import DryRun
from ganforge.rehearsal.known_plans import planned
from ganforge.rehearsal.sample_checks import looked_at, promise_of
from ganforge.runs.run_folder import RunFolder
from ganforge.step.cast import prepare
from ganforge.step.levers import Levers
from ganforge.training.data import augmented, prepare_data, training_samples, validation_samples
from ganforge.training.levers.choosing import choose_levers
from ganforge.training.levers.settling import Settled, settled, with_precision
from ganforge.training.levers.trials import Tell
from ganforge.training.loader import Loader, count_steps
from ganforge.training.recording import CudaGraphs
from ganforge.training.trainer import Trainer
from ganforge.training.validation import Validation


@dataclass(frozen=True)
class SetUp:
    """All that trains, and that shows how it goes."""

    recipe: Recipe
    """The recipe, with the precision that was chosen."""
    plan: DryRun
    device: torch.device
    division: Division
    choice: Settled
    levers: Levers
    loader: Loader
    trainer: Trainer
    directions: tuple[Direction, ...]
    validation: Validation


def set_up(recipe: Recipe, folder: RunFolder, plan: DryRun | None, world: World, tell: Tell) -> SetUp:
    """Build all that a run needs; nothing is written.

    Args:
        folder: what its record says of lanes, levers and the machine holds on.
    """
    division = divide(recipe, world.size, world.rank, folder.record.get("lanes"))
    recipe = divided(recipe, division)
    world.in_turn(lambda: prepare(recipe))
    plan = plan or planned(recipe)
    device = choose_device(recipe.run.device, world)
    agree(world, {"device": {"type": device.type}})
    world.in_turn(lambda: prepare_data(recipe))
    samples = training_samples(recipe)
    with blame("the training samples cannot be counted", recipe.data):
        agree_on_data(world, recipe.dataset, len(samples))
        steps_per_epoch = count_steps(samples, division)
    beginning = Progress(0, steps_per_epoch, length(recipe, steps_per_epoch))
    before = _levers_before(folder, device)

    def choose() -> dict[str, Any]:
        return settled(recipe, plan, device, division, beginning.total_steps, before, tell).record()

    choice = Settled.read(world.from_first(world.first_alone(choose)))  # the first rank tries, and all do as it found
    recipe = with_precision(recipe, choice.precision)
    levers = choose_levers(recipe, plan, device, choice.levers, division)
    precision = Precision(recipe.run.precision, device, levers.channels_last)
    precision.set_up(recipe.run.deterministic)
    shown, seed = augmented(recipe, samples), recipe.run.seed
    loader = Loader(shown, division, recipe.loader.workers, seed, precision, promise_of(recipe), recipe.data)
    trainer = _trainer(recipe, precision, beginning, levers, division, world)
    found = tuple(directions(recipe, plan.shapes))
    validation = _validation(recipe, precision, trainer, samples, found)
    trainer.lanes.seed()
    return SetUp(recipe, plan, device, division, choice, levers, loader, trainer, found, validation)


def _levers_before(folder: RunFolder, device: torch.device) -> Mapping[str, bool]:
    """What an interrupted run had settled, if it computed here: on another device other levers help."""
    then, now = folder.record.get("machine", {}), machine(device)
    here = all(then.get(key, now[key]) == now[key] for key in ("device", "processor")) and "device" in then
    return folder.record.get("levers", {}) if here else {}


def _trainer(
    recipe: Recipe, precision: Precision, beginning: Progress, levers: Levers, division: Division, world: World
) -> Trainer:
    cast = assemble(recipe, precision)
    if recipe.run.sync_batch_norm and world.size > 1:
        for network in cast.networks.values():
            synchronise(network)
    for module in cast.modules:  # some draw without the seed, or round otherwise on another host
        world.copy_first([*module.parameters(), *module.buffers()])
    trainer = Trainer(recipe, cast, precision, beginning, levers, division, world)
    if levers.graphs:
        trainer.record(CudaGraphs())
    return trainer


def _validation(
    recipe: Recipe, precision: Precision, trainer: Trainer, samples: Samples, found: tuple[Direction, ...]
) -> Validation:
    with blame("the validation samples are not as they should be", recipe.data):
        held_out = looked_at(validation_samples(recipe), promise_of(recipe, validation=True))
    return Validation(
        trainer.program,
        precision,
        samples if held_out is None else held_out,
        found,
        trainer.averages,
        lambda: trainer.sharding.twins,
        lambda: trainer.progress,
    )
