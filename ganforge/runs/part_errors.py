"""What a user is told when training goes wrong, be it a part or the machine; and overrides to go on with."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from ganforge.errors import BadFile, EnvironmentFault, GanforgeError, TrainingFailed
from ganforge.failures.blame import fault_of
from ganforge.failures.exhaustion import exhausted
from ganforge.failures.words import words
from ganforge.recipe.model import Recipe
from ganforge.training.workers import WorkerLost


def explained(error: BaseException, step: int, record: Path, saved: int | None = None) -> GanforgeError:
    """Which part raised, and which line of its code; `record` is the file that has the whole traceback."""
    if "does not currently support double backward" in words(error):
        return TrainingFailed(
            f"step {step}: a loss differentiates twice through a compiled network",
            'let it declare what it differentiates with respect to, @traits(wrt=("latents",)): then the network\n'
            "is called uncompiled; or set run.compile=false",
        )
    if isinstance(error, WorkerLost):
        kept = "nothing was saved yet" if saved is None else f"step {saved} is saved: --resume goes on from there"
        return TrainingFailed(f"step {step}: {error}", kept)
    fault = fault_of(error)
    if told := exhausted(error):
        where = [fault.where] if fault.own else []
        return TrainingFailed(f"step {step}: {told.message}", "\n".join([told.cure, *fault.what, *where]))
    if isinstance(error, OSError) and error.errno is not None:  # the system's own, and no part's invention
        return EnvironmentFault(f"step {step}: {fault.said}", "\n".join(fault.what))
    failed = TrainingFailed(f"step {step}: {fault.headline}", "\n".join(fault.lines))
    failed.record = record
    return failed


def bad_file_met(error: BadFile, step: int, folder: Path) -> BadFile:
    """A file that cannot be read, met in the midst of a training: what works from here on.

    To take it out is nothing that works: with another number of samples, every later batch would be another.
    """
    return BadFile(
        f"step {step}: {error.message}",
        f"put a good file in its place, and go on: ganforge run {folder} --resume\n"
        f"or go on without it: ganforge run {folder} --resume data.on_bad_file=skip\n"
        "taken out, the run could not be resumed: all batches would change",
    )


def scaled_rates(recipe: Recipe, players: Collection[str], factor: float) -> list[str]:
    """Overrides that scale the learning rates of players; of those that are schedules nothing is said."""
    found = []
    for name in players:
        player = recipe.players[name]
        options = player.optimizer.part.signature.options
        default = next((option.default for option in options if option.name == "lr"), None)
        rate = player.optimizer.options.get("lr", default)
        if ("optimizer", "lr") not in player.moving and isinstance(rate, int | float) and rate > 0:
            found.append(f"players.{name}.optimizer.lr={rate * factor:.3g}")
    return found


def after_bad_loss(recipe: Recipe) -> list[str]:
    """Overrides to try after a loss, or a gradient, that is not finite."""
    return scaled_rates(recipe, recipe.players, 0.5) or ["run.precision=fp32"]
