from collections.abc import Callable, Mapping
from typing import Any

import ganforge_lantern
import pytest
import torch
from ganforge_lantern.learning import dim
from ganforge_lantern.losses import Steady, kin, steep, warm_d, warm_g
from ganforge_lantern.networks import Keeper, Wick
from ganforge_lantern.ops import Memory, flicker
from ganforge_lantern.rooms import Rooms
from torch import Tensor

from ganforge import Imported, Progress, Recognised, Share, UsageError
from ganforge.testing import CheckFailed, Parity, RecipeRun, check_dataset, check_op, parts_of, run_recipe

ROOM = (2, 3, 16, 16)


def test_losses(check_loss: Callable[..., None]) -> None:
    check_loss(warm_d, margin=2.0, skip=("compiled",))
    check_loss(warm_g, skip=("compiled",))
    check_loss(kin, skip=("compiled",))
    check_loss(steep, logits=lambda images: images.square().sum((1, 2, 3)))
    check_loss(Steady, skip=("compiled",))
    with pytest.raises(CheckFailed):
        check_loss(lambda_like, skip=("compiled",))


def lambda_like(input: Tensor) -> Tensor:
    """No number."""
    return input


def test_networks(check_network: Callable[..., None]) -> None:
    check_network(Wick, ROOM, channels=2, skip=("bf16",))
    check_network(Keeper, ROOM, channels=2, skip=("bf16",))


def test_ops_and_data() -> None:
    check_op(flicker, ROOM, strength=0.2)
    check_op(Memory, ROOM, chance=0.3)
    check_dataset(Rooms, size_px=8)


def test_a_schedule() -> None:
    assert dim(Progress(4, 10, 8), 0.0, over=Share(100)) == 0.5


def test_an_importer() -> None:
    weights = {"G": {"a.weight": torch.zeros(2, 3, 3, 3)}}

    def recognise(key: str, *types: str) -> Recognised:
        return Recognised({"type": types[0]}, weights[key])

    made = ganforge_lantern.import_lantern(weights, recognise)
    assert isinstance(made, Imported)
    assert made.recipe == "lantern.lantern"
    with pytest.raises(UsageError):
        ganforge_lantern.import_lantern({}, recognise)


def test_what_it_brings() -> None:
    brought: Mapping[str, Mapping[str, Any]] = parts_of(ganforge_lantern)
    assert {kind: len(parts) for kind, parts in brought.items()} == {
        "networks": 3,
        "losses": 6,
        "ops": 2,
        "datasets": 1,
        "metrics": 2,
        "optimizers": 1,
        "schedules": 1,
        "callbacks": 1,
        "importers": 1,
        "recipes": 1,
    }


def test_the_recipe_trains() -> None:
    run = run_recipe("lantern", steps=2)
    assert isinstance(run, RecipeRun)
    assert run.status == "finished"
    assert {"losses/adv", "scores/D/real", "accuracy/D/pooled", "ops/past/seen"} <= run.scalars.keys()
    assert {"glow", "gloom/distance"} <= run.metrics.keys()


def test_a_loop_by_hand_learns_the_same() -> None:
    parity = Parity(
        "lantern",
        "phases=[{train: wicks, losses: {same: {type: l1, input: G(dark), target: lit}}}]",
        "players={wicks: {networks: [G], optimizer: {type: lantern.gentle, lr: 1e-3}}}",
        "networks.D=null",
        "signals={fake: G(dark)}",
        "metrics=null",
    )
    batches = parity.batches(3, classes=3)
    parity.train(batches)
    optimizer = torch.optim.Adam(parity["G"].parameters(), lr=1e-3, betas=(0.5, 0.99))
    for batch in batches:
        optimizer.zero_grad()
        (parity["G"](batch["dark"]) - batch["lit"]).abs().mean().backward()
        optimizer.step()
    assert parity.difference() < 1e-12
