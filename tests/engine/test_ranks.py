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


def test_a_run_goes_on_with_fewer_ranks_and_ends_alike(tmp_path: Path) -> None:
    whole, first = (ranked.recipe("remembering", f"global_batch: 4, steps: {n}") for n in (10, 6))
    whole, first = (text.replace("steps: 10, ", "", 1) for text in (whole, first))
    ranked.train_on_ranks(2, {"whole": whole, "parts": first}, tmp_path)
    # Two shares, with their buffers, random numbers and statistics, on one rank.
    ranked.train({"parts": whole}, tmp_path)
    one, other = (load_file(tmp_path / f"{name}.safetensors") for name in ("whole", "parts"))
    assert max(float((one[key] - other[key]).double().abs().max()) for key in one) < 1e-12
    last = tmp_path / "{}/checkpoints/step_0000010/training.safetensors"
    ours, theirs = (load_file(str(last).format(name)) for name in ("whole", "parts"))
    assert ours.keys() == theirs.keys()
    kept = [key for key in ours if key.endswith("past_a.images")]
    assert len(kept) == 2
    assert all(torch.allclose(ours[key], theirs[key], atol=1e-12) for key in kept)
    assert not torch.equal(ours[kept[0]], ours[kept[1]])
    assert all(torch.equal(ours[key], theirs[key]) for key in ours if "random" in key)
