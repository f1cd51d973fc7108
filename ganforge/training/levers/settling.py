"""How a run computes where its recipe leaves that to the machine: its precision, and its levers."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ganforge.core.kept import find, keep, this_machine
from ganforge.ranks.division import Division
from ganforge.recipe.merge import override
from ganforge.recipe.model import Recipe
from ganforge.rehearsal.dry_run import DryRun
from ganforge.rehearsal.layers import CLEARLY, Layer, Ratio, bf16_against_fp32, heaviest
from ganforge.step.levers import LEFT_TO_THE_MACHINE
from ganforge.training.levers.choosing import settle
from ganforge.training.levers.contender import Way
from ganforge.training.levers.trials import FLOPS, STAYS, Tell, Tried, Trying, guessed_seconds, in_words

AUTO = "auto"
LONG_ENOUGH_S = 20.0
"""A run that may take so long is worth the second that measuring its layers takes."""
MANY = 30
"""Samples that trained networks are expected to compute: for fewer it is not worth measuring."""


@dataclass(frozen=True)
class Settled:
    """What was settled, and why."""

    precision: str
    levers: Mapping[str, bool]
    why: str = ""
    """Why this precision, in words; nothing where the recipe says it."""
    ratio: Ratio | None = None
    """How many times as fast the layers are in bfloat16 as in float32, where that was measured."""
    tried: tuple[Tried, ...] = ()
    """What trials of whole steps found, here and now or before."""

    def record(self) -> dict[str, Any]:
        """What `run.json` says of it, without a key for what is not known."""
        measured = dataclasses.asdict(self.ratio) if self.ratio else None
        tried = [dataclasses.asdict(tried) for tried in self.tried]
        found = {"precision": self.precision, "why": self.why, "bf16_layers_against_fp32": measured, "tried": tried}
        return {**{key: value for key, value in found.items() if value}, "levers": dict(self.levers)}

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Settled:
        """What was settled, read back from what `record` gave."""
        measured = record.get("bf16_layers_against_fp32")
        return cls(
            record["precision"],
            record["levers"],
            record.get("why", ""),
            Ratio(**measured) if measured else None,
            tuple(Tried(**entry) for entry in record.get("tried", [])),
        )

    @property
    def trials(self) -> list[str]:
        """What was tried, a line each."""
        return [str(tried) for tried in self.tried]


def settled(
    recipe: Recipe,
    plan: DryRun,
    device: torch.device,
    division: Division,
    steps: int,
    before: Mapping[str, bool],
    tell: Tell = lambda _: None,
) -> Settled:
    """Decide what `auto` is, for a run of so many steps.

    Args:
        before: levers of a run that goes on, or is reproduced: it keeps them, or its last bits would differ.
    """
    batches = division.accumulate * len(division.mine)
    leaves_open = recipe.run.precision == AUTO
    precision, why, ratio = str(recipe.run.precision), "", None
    if leaves_open:
        precision, why, ratio = precision_for(device, plan.layers, guessed_seconds(plan, steps, batches))
    told = dataclasses.replace(recipe, run=recipe.run.model_copy(update={"precision": precision}))
    flops = float(sum(plan.flops.values())) * division.accumulate * division.lanes * steps
    levers = {**settle(told.run, device, flops, before), "layouts": before.get("layouts", True)}
    stays_open = any(getattr(recipe.run, name) == AUTO and name not in before for name in LEFT_TO_THE_MACHINE)
    if device.type != "cpu" or division.ranks > 1 or not stays_open:
        return Settled(precision, levers, why, ratio)
    start = Way(precision, levers)
    about = {**_question(recipe, plan, division, start), "machine": this_machine(device)}
    found = find("levers", about)
    known = tuple(Tried(**entry) for entry in found["tried"]) if found else ()
    trying = Trying(told, plan, device, division, steps, start, leaves_open, known, tell)
    best = trying.best()
    if trying.tried:
        known = (*known, *trying.tried)
        keep("levers", about, {"tried": [dataclasses.asdict(tried) for tried in known]})
    if best.precision != precision:
        turn = next(tried for tried in known if tried.taken and "precision" in tried.change)
        why = f"{in_words(turn.change)} makes whole steps {turn.times:.2f} times as fast as {precision}"
    return Settled(best.precision, best.levers, why, ratio, known)


def precision_for(
    device: torch.device, layers: tuple[Layer, ...], seconds: float, learning: bool = True
) -> tuple[str, str, Ratio | None]:
    """What `precision: auto` is: `bf16` where the device is clearly faster in it, else `fp32`.

    Args:
        seconds: what the whole may take, roughly: for little it is not worth measuring.

    Returns:
        the precision, why, and how many times as fast the layers are in bfloat16, where that was measured.
    """
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bf16", "this GPU has units for it", None
        return "fp32", "this GPU has no units for bf16; run.precision=fp16 may be faster, with scaled gradients", None
    if device.type != "cpu":
        return "fp32", f"nothing else is tried on {device.type}", None
    heavy = heaviest(layers, learning)
    about = {"layers": [dataclasses.asdict(layer) for layer in heavy], "machine": this_machine(device)}
    found = find("layers", about)
    if found is None:
        if seconds < LONG_ENOUGH_S or not heavy:
            return "fp32", "too little work to try bf16", None
        measured = bf16_against_fp32(heavy)
        if measured is None:
            return "fp32", "its layers cannot be measured in bf16", None
        found = dataclasses.asdict(measured)
        keep("layers", about, found)
    ratio = Ratio(**found)
    if ratio.median >= CLEARLY:
        return "bf16", f"its layers are {ratio.median:.2g} times as fast in it here as in fp32", ratio
    if ratio.median >= STAYS:
        return "fp32", f"its layers are only {ratio.median:.2f} times as fast in bf16 here", ratio
    slower = f"{1 / ratio.median:.2g} times slower" if ratio.median < 1 / STAYS else "no faster"
    return "fp32", f"its layers are {slower} in bf16 here", ratio


def with_precision(recipe: Recipe, precision: str) -> Recipe:
    """The recipe with this precision in place of its own."""
    if recipe.run.precision == precision:
        return recipe
    node = override(recipe.node, f"run.precision={precision}")
    return dataclasses.replace(recipe, node=node, run=recipe.run.model_copy(update={"precision": precision}))


def _question(recipe: Recipe, plan: DryRun, division: Division, start: Way) -> dict[str, Any]:
    """What the speed of a step depends on."""
    settings = ("deterministic", "recompute", "on_bad_loss", *LEFT_TO_THE_MACHINE)
    work = repr((plan.layers, plan.operations, plan.parameters, plan.forwards))
    return {
        "work": hashlib.sha256(work.encode()).hexdigest(),
        "parameters": plan.parameters,
        "optimizers": {name: player.optimizer.part.full_name for name, player in recipe.players.items()},
        "batch": [division.batch, division.accumulate, len(division.mine)],
        "settings": {name: getattr(recipe.run, name) for name in settings},
        "start": [start.precision, dict(start.levers)],
    }


def inference_precision(asked: str, recipe: Recipe, plan: DryRun, device: torch.device) -> str:
    """What trained networks compute in: as they were trained, but bf16 and fp16 only where the device is fast in it."""
    if asked != AUTO:
        return asked
    trained_in = recipe.run.precision
    if trained_in not in ("bf16", "fp16"):
        return "fp32" if trained_in == AUTO else trained_in  # an earlier ganforge's recipe said nothing, and meant it
    if device.type == "cuda" and trained_in == "fp16":
        return trained_in
    forward = sum(layer.flops * layer.times for layer in plan.layers if not layer.backward)
    seconds = MANY * forward / recipe.loader.batch_size / FLOPS
    return precision_for(device, plan.layers, seconds, learning=False)[0]
