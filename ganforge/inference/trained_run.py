"""What a run has learnt, read from one of its checkpoints: for whatever comes after training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ganforge.core.torch_internals.modules import versioned
from ganforge.errors import EnvironmentFault, UsageError, last_line
from ganforge.plugins.registry import Registry
from ganforge.ranks.device import Precision, choose_device
from ganforge.recipe import open_recipe
from ganforge.recipe.model import Recipe
from ganforge.rehearsal.assembly import assemble
from ganforge.rehearsal.dry_run import DryRun
from ganforge.rehearsal.known_plans import planned
from ganforge.runs.checkpoint.files import checkpoints, load_checkpoint, step_of
from ganforge.step.cast import Cast
from ganforge.step.levers import Levers
from ganforge.step.network_calls import Calls
from ganforge.step.program import Program
from ganforge.training.levers.settling import inference_precision


class NoCheckpoint(UsageError):
    """A run has no checkpoint yet."""


@dataclass(frozen=True)
class Trained:
    """A recipe with the weights of a checkpoint, in evaluation mode."""

    recipe: Recipe
    plan: DryRun
    cast: Cast
    precision: Precision
    folder: Path
    """The run's folder."""
    checkpoint: Path
    averaged: bool
    """Whether networks that have a moving average (EMA) are given by it."""
    has_average: bool

    @property
    def step(self) -> int:
        """Steps taken until the checkpoint."""
        return step_of(self.checkpoint)

    @property
    def weights(self) -> str:
        """Which weights these are, in words."""
        kind = "averaged weights" if self.averaged else "raw weights" if self.has_average else "weights"
        return f"{kind} of {self.checkpoint.name}"

    def program(self, compiled: bool = False) -> Program:
        """Its signals, ready to be computed; `compiled` generates code for each size of picture."""
        levers = Levers(compiled=frozenset(self.recipe.networks) if compiled else frozenset())
        return Program(self.recipe, self.cast, Calls(self.precision.forward(), levers))


def open_trained(
    run: Path,
    registry: Registry,
    *,
    overrides: Sequence[str] = (),
    device: str = "auto",
    averaged: bool = True,
    precision: str = "auto",
) -> Trained:
    """Load a run's newest checkpoint, or a given one.

    Args:
        run: the run's folder, or a checkpoint's.
        overrides: of its recipe, such as `data.root=elsewhere`; the networks must stay as they are.
        averaged: use the moving average (EMA) where there is one.
        precision: what the networks compute in, as `run.precision`; `auto` is what they were trained in, where this
            device is fast in it, else fp32.

    Raises:
        NoCheckpoint: there is none.
        EnvironmentFault: the checkpoint is damaged, or of other networks.
    """
    folder, checkpoint = _checkpoint(run)
    recipe = open_recipe(str(folder), overrides, registry)
    plan = planned(recipe, to_train=False)
    where = choose_device(device)
    how = Precision(inference_precision(precision, recipe, plan, where), where)
    how.set_up()
    cast = assemble(recipe, how)
    loaded = load_checkpoint(checkpoint)
    use_average = averaged and bool(loaded.ema)
    try:
        state = loaded.networks | (loaded.ema if use_average else {})
        cast.networks.load_state_dict(versioned(state, loaded.versions.get("networks", {})))
    except Exception as error:  # what a network does with its own state
        raise EnvironmentFault(
            f"the networks of {checkpoint} are not those of the recipe: {last_line(error)}",
            "leave networks as they were trained, and install the versions that run.json names",
        ) from error
    cast.networks.eval()
    return Trained(recipe, plan, cast, how, folder, checkpoint, use_average, bool(loaded.ema))


def _checkpoint(run: Path) -> tuple[Path, Path]:
    """The run's folder, and the checkpoint."""
    if (run / "manifest.json").is_file():
        return run.resolve().parent.parent, run
    found = checkpoints(run / "checkpoints")
    if not found:
        raise NoCheckpoint(f"{run} has no checkpoint; give a run's folder, such as runs/my_recipe/0001, or one in it")
    return run, found[-1]
