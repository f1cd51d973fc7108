"""Several ranks compute what one does: real processes under gloo, in float64."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import ranked
import torch
from safetensors.torch import load_file
from torch import Tensor

NAMES = sorted(ranked.RECIPES)
ACCUMULATED = "accumulated"
"""CycleGAN in batches of 1 a share."""

Weights = dict[str, Tensor]


def jobs(one: bool) -> dict[str, str]:
    """The trainings; on one rank the whole batch of a step at once, as nobody would divide it."""
    # Batches of another size have other statistics, unless they are taken over all ranks.
    shares = {"batch_norm": "shares: 4", "sync_batch_norm": "sync_batch_norm: true"}
    texts = {name: ranked.recipe(name, f"global_batch: 4, {shares.get(name, 'overlap: true')}") for name in NAMES}
    texts[ACCUMULATED] = ranked.recipe("cyclegan", "global_batch: 4" + ("" if one else ", batch_per_device: 1"))
    return texts


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, str], Weights]:
    """The weights that so many ranks reach."""
    done: dict[int, Path] = {}

    def reached(size: int, name: str) -> Weights:
        if size not in done:
            done[size] = tmp_path_factory.mktemp("ranks") / str(size)
            if size == 1:
                done[size].mkdir()
                ranked.train(jobs(one=True), done[size])
            else:
                ranked.train_on_ranks(size, jobs(one=False), done[size])
        return load_file(done[size] / f"{name}.safetensors")

    return reached


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("name", [*NAMES, ACCUMULATED])
def test_ranks_equal_one_rank(name: str, size: int, weights: Callable[[int, str], Weights]) -> None:
    one, several = weights(1, name), weights(size, name)
    assert one.keys() == several.keys()
    assert max(float((one[key] - several[key]).double().abs().max()) for key in one) < 1e-12


def test_the_trainings_do_something(weights: Callable[[int, str], Weights]) -> None:
    assert not torch.equal(weights(1, "wgan_gp")["G.first.weight"], weights(1, "every")["G.first.weight"])
