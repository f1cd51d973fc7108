"""`run_recipe` trains as the command does, and `Parity` notices what differs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ganforge import RecipeError
from ganforge.testing import Parity, run_recipe

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "recipes/tiny/cyclegan_shapes.yaml"


def test_a_recipe_runs_for_a_few_steps_with_a_scalar_each() -> None:
    run = run_recipe(TINY, steps=3)
    assert run.status == "finished"
    assert len(run.scalars["losses/cycle_a"]) == 3
    assert "a_to_b/times_lower" in run.metrics
    assert set(run.networks) == {"G_ab", "G_ba", "D_a", "D_b"}


def test_made_up_data_takes_the_place_of_folders(tmp_path: Path) -> None:
    run = run_recipe(ROOT / "recipes/tiny/cyclegan_horse2zebra.yaml", fake_data=True, folder=tmp_path)
    assert len(run.scalars["losses/judge_a"]) == 2
    assert (tmp_path / "checkpoints" / "step_0000002").is_dir()


def test_two_runs_are_the_same() -> None:
    first, second = (run_recipe(TINY).networks["G_ab"].state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_faulty_recipe_is_told_as_ever() -> None:
    with pytest.raises(RecipeError, match="unknown loss 'l3'"):
        run_recipe(TINY, "phases.0.losses.cycle_a.type=l3")


def test_parity_notices_a_step_that_differs() -> None:
    parity = Parity(TINY)
    batches = parity.batches(2)
    assert batches[0]["real_a"].shape == (2, 3, 32, 32)
    assert batches[0]["real_a"].dtype == torch.float64
    assert parity.difference() == 0
    parity.train(batches)
    assert parity.difference() > 1e-5
    assert parity.forwards == dict.fromkeys(("G_ab", "G_ba", "D_a", "D_b"), 6)
    with torch.no_grad():
        for name, network in parity.networks.items():
            network.load_state_dict(parity.trainer.cast.networks[name].state_dict())
    assert parity.difference() == 0


def test_a_judge_of_several_sizes_has_one_score() -> None:
    run = run_recipe(ROOT / "recipes/tiny/pix2pixhd_facades.yaml", fake_data=True)
    assert [tag for tag in run.scalars if tag.startswith("scores/")] != []
    assert all(len(values) == 2 for tag, values in run.scalars.items() if tag.startswith("scores/"))
