"""Which levers to pull: what the recipe says, and where it says `auto`, what helps on the device."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ganforge.errors import Problem, RecipeError
from ganforge.ranks.division import Division
from ganforge.recipe.model import Recipe, RunSettings
from ganforge.rehearsal.dry_run import DryRun
from ganforge.step.levers import TABLE, Levers
from ganforge.step.network_calls import missing_compiler


def settle(settings: RunSettings, device: torch.device, flops: float, before: Mapping[str, bool]) -> dict[str, bool]:
    """Each lever, true or false, before anything was tried.

    Args:
        before: what an interrupted run had settled: it goes on with the same, or its last bits would differ.
    """
    gpu = device.type == "cuda"
    settled: dict[str, bool] = {}
    for lever in TABLE:
        if lever.auto is not None:
            wanted = getattr(settings, lever.key)
            settled[lever.key] = before.get(lever.key, lever.auto(gpu, flops)) if wanted == "auto" else wanted
    return settled


def choose_levers(
    recipe: Recipe, plan: DryRun, device: torch.device, settled: Mapping[str, bool], division: Division | None = None
) -> Levers:
    """The levers of a run, where they are settled.

    Raises:
        RecipeError: `run.recompute` or `run.shard` names what cannot be recomputed or kept in parts.
    """
    division = division or Division(recipe.loader.batch_size)
    trained = frozenset(name for player in recipe.players.values() for name in player.networks)
    recomputed, sharded = _recomputed(recipe, plan, trained), _sharded(recipe, trained)
    refused = _Refused(recipe, device, division, sharded if division.ranks > 1 else frozenset())
    if sharded and division.ranks == 1:
        refused.notes.append("nothing is in parts: there is one rank")
    compiling = settled["compile"] and refused.compiling()
    return Levers(
        merged=plan.mergeable if settled["merge"] else frozenset(),
        quiet=plan.quiet,
        compiled=trained - refused.sharded if compiling else frozenset(),
        layouts=settled.get("layouts", True),
        recomputed=recomputed,
        fused=frozenset(_fusible(recipe)) if settled["fused"] else frozenset(),
        channels_last=settled["channels_last"] and refused.channels_last(),
        graphs=settled["cuda_graphs"] and refused.graphs(recomputed - plan.quiet),
        overlap=settled["overlap"] and division.ranks > 1,
        sharded=refused.sharded,
        notes=tuple(refused.notes),
    )


class _Refused:
    """Which levers cannot be pulled though they should be, with a note of the reason."""

    def __init__(self, recipe: Recipe, device: torch.device, division: Division, sharded: frozenset[str]) -> None:
        self.recipe, self.device, self.division, self.sharded = recipe, device, division, sharded
        self.notes: list[str] = []

    def _pulled(self, reason: str | None) -> bool:
        if reason:
            self.notes.append(reason)
        return not reason

    def compiling(self) -> bool:
        """Whether networks are compiled: those in parts are not."""
        reason = missing_compiler(self.device.type)
        # Of an instance norm behind a bf16 convolution they are now and then NaN (torch 2.15).
        if not reason and self.device.type == "cpu" and self.recipe.run.precision in ("bf16", "fp16"):
            reason = f"on a CPU, {self.recipe.run.precision} gradients would be wrong"
        pulled = self._pulled(reason and f"nothing is compiled: {reason}")
        if pulled and self.sharded:
            self.notes.append(f"not compiled: {' '.join(sorted(self.sharded))}, in parts")
        return pulled

    def channels_last(self) -> bool:
        """Whether images have their channels innermost."""
        if self.recipe.loader.batch_size == 1 and _misreads_channels_last(self.device):
            reason = f"on this {self.device.type}, gradients of norms at batch 1 would be wrong"
        else:
            reason = "weights in parts cannot be" if self.sharded else ""
        return self._pulled(reason and f"not channels last: {reason}")

    def graphs(self, drawing: frozenset[str]) -> bool:
        """Whether passes are replayed; `drawing` are networks that would draw their random numbers twice."""
        if self.device.type != "cuda":
            return False
        reason = _not_replayable(self.recipe, drawing, self.division)
        if not reason and self.sharded:
            reason = "weights in parts are brought together in each pass"
        return self._pulled(reason and f"no CUDA graphs: {reason}")


@torch.enable_grad()
def _misreads_channels_last(device: torch.device) -> bool:
    """Whether torch's instance norm takes a gradient with channels innermost for another one.

    For a single sample the CPU's does so, in every precision and without a word (torch 2.15).
    """
    images = torch.linspace(0, 3, 2 * 3 * 3, device=device).cos().view(1, 2, 3, 3)
    gradient = images.square()

    def backward(gradient: Tensor) -> Tensor:
        leaf = images.clone().requires_grad_()
        return torch.autograd.grad(F.instance_norm(leaf), leaf, gradient)[0]

    right, other = backward(gradient), backward(gradient.contiguous(memory_format=torch.channels_last))
    return not torch.allclose(right, other, rtol=1e-3, atol=1e-4)


def _not_replayable(recipe: Recipe, drawing: frozenset[str], division: Division) -> str | None:
    """Why no pass of a recipe can be replayed, where that is known beforehand."""
    if len(division.mine) > 1:
        return "this rank computes several lanes, each with its own replay buffers and random numbers"
    if recipe.run.on_bad_loss == "skip":
        return "run.on_bad_loss=skip looks at each loss"
    if recipe.run.precision == "fp16":
        return "fp16 scales gradients by what it finds"
    if drawing:
        return f"{' and '.join(sorted(drawing))} would have to draw the same random numbers twice"
    return None


def _recomputed(recipe: Recipe, plan: DryRun, trained: frozenset[str]) -> frozenset[str]:
    wanted = recipe.run.recompute
    if isinstance(wanted, bool):
        return trained & plan.repeatable if wanted else frozenset()
    node = recipe.node.at(("run", "recompute"))
    problems = list(_unknown(recipe, "recompute", wanted, trained))
    for number, name in enumerate(wanted):
        mark = node.at((number,)).mark
        if name in trained and name not in plan.repeatable:
            message = f"'{name}' cannot be recomputed: each forward leaves a trace"
            cure = "running statistics, the vectors of a spectral norm, or numbers drawn on the host"
            problems.append(Problem(message, mark, cure))
    if problems:
        raise RecipeError(problems)
    return frozenset(wanted)


def _sharded(recipe: Recipe, trained: frozenset[str]) -> frozenset[str]:
    wanted = recipe.run.shard
    names = trained if wanted is True else frozenset(wanted or ())
    problems = [] if isinstance(wanted, bool) else list(_unknown(recipe, "shard", wanted, trained))
    if names and recipe.run.precision == "fp16":
        message = "run.shard: fp16 scales gradients by what it finds in all of them, and no rank has them all"
        problems.append(Problem(message, recipe.node.at(("run", "shard")).mark, "take run.precision=bf16"))
    if problems:
        raise RecipeError(problems)
    return names


def _unknown(recipe: Recipe, key: str, names: Sequence[str], trained: frozenset[str]) -> Iterator[Problem]:
    """Names that `run.<key>` lists and no player trains."""
    for number, name in enumerate(names):
        if name not in trained:
            mark = recipe.node.at(("run", key)).at((number,)).mark
            cure = f"the players' networks are: {', '.join(sorted(trained))}"
            yield Problem(f"run.{key}: no player trains a network '{name}'", mark, cure)


def _fusible(recipe: Recipe) -> Iterator[str]:
    """Players whose optimizer can update all weights in one kernel, and was not told otherwise."""
    for player in recipe.players.values():
        use = player.optimizer
        if "fused" in inspect.signature(use.part.factory).parameters and not {"fused", "foreach"} & set(use.options):
            yield player.name
