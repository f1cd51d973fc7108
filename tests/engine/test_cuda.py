"""What only a CUDA GPU can show; skipped where there is none."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import ranked
import torch
from safetensors.torch import load_file
from tiny import RECIPES, TINY
from torch import Tensor
from torch.nn.parameter import is_lazy

from ganforge.api.context import Progress
from ganforge.builtin.datasets import Shapes
from ganforge.errors import Mark, Source
from ganforge.plugins.loading import load_plugins
from ganforge.ranks.device import Precision
from ganforge.ranks.division import divide
from ganforge.recipe import open_recipe
from ganforge.recipe.model import AugmentUse, PartUse
from ganforge.rehearsal.dry_run import dry_run
from ganforge.runs.run import Run
from ganforge.runs.run_folder import RunFolder
from ganforge.step.augmenting import Augmenter
from ganforge.step.cast import build_cast
from ganforge.testing.datasets import random_batch
from ganforge.training.levers.choosing import choose_levers
from ganforge.training.levers.settling import settled, with_precision
from ganforge.training.recording import WARM_UP, CudaGraphs
from ganforge.training.trainer import Trainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")

OFF = ("run.merge=false", "run.compile=false", "run.cuda_graphs=false", "run.fused=false")


def trained(name: str, *overrides: str, steps: int = WARM_UP + 4) -> Trainer:
    """A recipe after a few steps on batches of noise, which no step waits for."""
    recipe = open_recipe(str(TINY / f"{name}.yaml"), overrides, load_plugins(()).registry)
    device, plan = torch.device("cuda"), dry_run(recipe)
    if any(map(is_lazy, build_cast(recipe, lambda module: module).networks.parameters())):
        pytest.skip("creates its parameters in the first forward")
    found = settled(recipe, plan, device, divide(recipe), 1, {})
    recipe = with_precision(recipe, found.precision)
    levers = choose_levers(recipe, plan, device, found.levers)
    precision = Precision(recipe.run.precision, device, levers.channels_last)
    precision.set_up()
    trainer = Trainer(recipe, build_cast(recipe, precision.place), precision, Progress(0, 100, 1000), levers)
    if levers.graphs:
        trainer.record(CudaGraphs())
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(1)
    for _ in range(steps):
        made = [
            random_batch(recipe.dataset, recipe.loader.batch_size, generator, 2) for _ in range(recipe.run.accumulate)
        ]
        batches = [
            {key: precision.arrange(precision.widen(value.to(device))) for key, value in batch.items()}
            for batch in made
        ]
        torch.cuda.set_sync_debug_mode("default" if trainer.recorder else "error")  # a recording waits, once
        try:
            trainer.step(batches)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    trainer.bad_losses.check()
    return trainer


def seeded() -> Tensor:
    """The GPU's generator as it is when the trainings begin."""
    state = torch.cuda.get_rng_state()
    torch.manual_seed(1)
    begun = torch.cuda.get_rng_state()
    torch.cuda.set_rng_state(state)
    return begun


def weights(trainer: Trainer) -> Tensor:
    return torch.cat([p.detach().flatten().double() for p in trainer.cast.networks.parameters()])


@pytest.mark.parametrize("name", RECIPES)
def test_no_step_waits_for_the_device(name: str) -> None:
    trained(name, *OFF, steps=2)


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("lever", ["merge", "cuda_graphs", "channels_last", "fused"])
@pytest.mark.parametrize("size", [1, 2])
def test_levers_train_alike(name: str, lever: str, size: int) -> None:
    exact = ("run.precision=fp64", f"data.batch_size={size}", *OFF)
    plain, pulled = trained(name, *exact), trained(name, *exact, f"run.{lever}=true")
    if lever == "cuda_graphs" and name != "stylegan2_ada_folder":  # ADA augments what its own phase makes
        assert pulled.recorder is not None
        assert pulled.recorder.recordings
        assert not pulled.recorder.refused
        if not torch.equal(torch.cuda.get_rng_state(), seeded()):
            return  # it draws random numbers: others, when replayed
    assert float((weights(plain) - weights(pulled)).abs().max()) < 1e-8


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_everything_at_once_follows_full_precision(precision: str) -> None:
    start, plain = (trained("cyclegan_shapes", "run.precision=fp64", *OFF, steps=steps) for steps in (0, 12))
    levers = ("run.compile=true", "run.channels_last=true", "run.cuda_graphs=true", "run.merge=true")
    fast = trained("cyclegan_shapes", f"run.precision={precision}", *levers, steps=12)
    assert fast.recorder is not None
    assert fast.recorder.recordings
    way = float((weights(plain) - weights(start)).norm())
    # Adam turns what little a bf16 gradient is off, for weights whose gradient is near 0, into whole steps.
    assert float((weights(plain) - weights(fast)).norm()) < (0.1 if precision == "fp32" else 0.7) * way


@pytest.mark.parametrize("size", [1, 2])
def test_ranks_under_nccl_train_like_one_process(size: int, tmp_path: Path) -> None:
    if torch.cuda.device_count() < size:
        pytest.skip("needs as many GPUs")
    job = {"cyclegan": ranked.recipe("cyclegan", "global_batch: 4, deterministic: true").replace("cpu", "cuda")}
    (tmp_path / "plain").mkdir()
    ranked.train(job, tmp_path / "plain")
    ranked.train_on_ranks(size, job, tmp_path / "nccl")
    one, other = (load_file(tmp_path / place / "cyclegan.safetensors") for place in ("plain", "nccl"))
    assert max(float((one[key] - other[key]).abs().max()) for key in one) < (1e-10 if size > 1 else 1e-14)


def test_a_run_that_leaves_its_precision_to_the_gpu_says_what_it_took(tmp_path: Path) -> None:
    recipe = open_recipe(str(TINY / "cyclegan_shapes.yaml"), ("run.steps=2",), load_plugins(()).registry)
    run = Run(recipe, RunFolder(tmp_path), load_plugins(()).registry)
    has_units = torch.cuda.is_bf16_supported(including_emulation=False)
    assert run.recipe.run.precision == ("bf16" if has_units else "fp32")
    assert "GPU" in run.choice.why
    run.start()
    assert run.train() == "finished"


def test_augmentations_work_where_the_data_lie() -> None:
    """What is drawn is drawn on the host: a picture on the device is changed as it would be there."""
    registry, mark = load_plugins(()).registry, Mark(Source("test", ""), 0, 0)
    shapes = Shapes(64)
    samples = shapes.train()
    for part in registry.of("augmentations"):
        if part.plugin != "ganforge":
            continue
        augment = Augmenter([AugmentUse(PartUse(part, {}, mark), 1.0, (("real_a",),))], shapes)
        for seed in range(4):
            sample = samples.sample(seed, random.Random(seed))
            on_host = augment(sample, random.Random(seed))["real_a"]
            there = augment({"real_a": sample["real_a"].cuda()}, random.Random(seed))["real_a"]
            assert there.is_cuda
            off = (there.cpu().int() - on_host.int()).abs()
            assert off.float().mean() < 0.1, part.name
