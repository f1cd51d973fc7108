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
from ganforge.step.compiling import missing_compiler
from ganforge.step.levers import Levers

LEVERS = ("merge", "compile", "cuda_graphs", "channels_last", "fused", "overlap")
"""Those that `auto` decides."""

WORTH_COMPILING = 3e16
"""Floating-point operations of a whole training on a GPU from which some minutes of compiling are paid back."""


def settle(settings: RunSettings, device: torch.device, flops: float, before: Mapping[str, bool]) -> dict[str, bool]:
    """Each lever, true or false, before anything was tried.

    Args:
        settings: what the recipe says.
        device: where the run computes.
        flops: of the whole training.
        before: what an interrupted run had settled: it goes on with the same, or its last bits would differ.
    """
    gpu = device.type == "cuda"
    auto = {
        "merge": gpu,  # on a CPU this one and the next depend on the machine and the networks: trials tell
        "compile": gpu and flops >= WORTH_COMPILING,
        "cuda_graphs": gpu,
        "channels_last": False,
        "fused": gpu,
        "overlap": gpu,  # on a CPU, what exchanges takes the time of what computes
    }
    wanted = {name: getattr(settings, name) for name in LEVERS}
    return {name: before.get(name, auto[name]) if lever == "auto" else lever for name, lever in wanted.items()}


def _miscompiled(settings: RunSettings, device: torch.device) -> bool:
    """On CPUs, compiled gradients of an instance norm behind a bf16 convolution are now and then NaN (torch 2.15)."""
    return device.type == "cpu" and settings.precision in ("bf16", "fp16")


def choose_levers(
    recipe: Recipe, plan: DryRun, device: torch.device, settled: Mapping[str, bool], division: Division | None = None
) -> Levers:
    """The levers of a run, where they are settled.

    Raises:
        RecipeError: `run.recompute` or `run.shard` names what cannot be recomputed or kept in parts.
    """
    division = division or Division(recipe.loader.batch_size)
    trained = frozenset(name for player in recipe.players.values() for name in player.networks)
    notes: list[str] = []
    compiling = settled["compile"]
    if compiling and (missing := missing_compiler(device.type)):
        compiling = False
        notes.append(f"nothing is compiled: {missing}")
    if compiling and _miscompiled(recipe.run, device):
        compiling = False
        notes.append(f"nothing is compiled: on a CPU, {recipe.run.precision} gradients would be wrong")
    channels_last = settled["channels_last"]
    if channels_last and recipe.loader.batch_size == 1 and _misreads_channels_last(device):
        channels_last = False
        notes.append(f"not channels last: on this {device.type}, gradients of norms at batch 1 would be wrong")
    recomputed = _recomputed(recipe, plan, trained)
    sharded = _sharded(recipe, trained)
    if sharded and division.ranks == 1:
        sharded = frozenset()
        notes.append("nothing is in parts: there is one rank")
    if sharded and channels_last:
        channels_last = False
        notes.append("not channels last: weights in parts cannot be")
    if sharded and compiling:
        notes.append(f"not compiled: {' '.join(sorted(sharded))}, in parts")
    graphs = settled["cuda_graphs"] and device.type == "cuda"
    if graphs and (reason := _not_replayable(recipe, recomputed - plan.quiet, division)):
        graphs = False
        notes.append(f"no CUDA graphs: {reason}")
    if graphs and sharded:
        graphs = False
        notes.append("no CUDA graphs: weights in parts are brought together in each pass")
    return Levers(
        merged=plan.mergeable if settled["merge"] else frozenset(),
        quiet=plan.quiet,
        compiled=trained - sharded if compiling else frozenset(),
        layouts=settled.get("layouts", True),
        recomputed=recomputed,
        fused=frozenset(_fusible(recipe)) if settled["fused"] else frozenset(),
        channels_last=channels_last,
        graphs=graphs,
        overlap=settled["overlap"] and division.ranks > 1,
        sharded=sharded,
        notes=tuple(notes),
    )


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
