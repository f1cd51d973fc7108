"""Several ranks compute what one does: real processes under gloo, in float64."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import ranked
import torch
from safetensors.torch import load_file
from torch import Tensor

NAMES = sorted(ranked.RECIPES)
ACCUMULATED = "accumulated"
"""CycleGAN in batches of 1 a lane."""
PANELS = "panels"
"""CycleGAN with pictures drawn."""
ERRING = "erring"
"""CycleGAN whose discriminators learn otherwise on rank 1."""

Weights = dict[str, Tensor]


FOUR = ("cyclegan", "wgan_gp", "lazy", "every", ACCUMULATED)
"""What four ranks train: the rest shows itself at two."""
SEVERAL_BUCKETS = 200
"""So many bytes that each player of these tiny networks has several, at two ranks; at four it has one."""


def jobs(size: int) -> dict[str, str]:
    """The trainings; on one rank the whole batch of a step at once, as nobody would divide it."""
    # Batches of another size have other statistics, unless they are taken over all ranks.
    more = {"batch_norm": ", lanes: 4", "sync_batch_norm": ", sync_batch_norm: true"}
    if size > 1:
        more[ACCUMULATED] = ", batch_per_device: 1"
    settings = {name: f"global_batch: 4, overlap: true{more.get(name, '')}" for name in (*NAMES, ACCUMULATED)}
    texts = {name: ranked.recipe(name, settings[name]) for name in NAMES}
    texts[ACCUMULATED] = ranked.recipe("cyclegan", settings[ACCUMULATED])
    texts[PANELS] = ranked.recipe("cyclegan", "global_batch: 4").replace("panels: null, ", "")
    texts[PANELS] = texts[PANELS].replace("images: []", "images: [real_a, fake_b]")
    texts[ERRING] = ranked.recipe("cyclegan", "global_batch: 4").replace(
        "optimizer: *adam", "optimizer: {type: toys.erring}"
    )
    return {name: texts[name] for name in FOUR} if size == 4 else texts


@pytest.fixture(scope="module")
def trained(once: Callable[..., Path]) -> Callable[[int], Path]:
    """What so many ranks leave behind."""

    def train(size: int, folder: Path) -> None:
        if size == 1:
            ranked.train(jobs(size), folder)
        else:
            ranked.train_on_ranks(size, jobs(size), folder, SEVERAL_BUCKETS if size == 2 else None)

    return lambda size: once(f"ranks-{size}", partial(train, size))


@pytest.fixture(scope="module")
def weights(trained: Callable[[int], Path]) -> Callable[[int, str], Weights]:
    """The weights that so many ranks reach with a recipe."""
    return lambda size, name: load_file(trained(size) / f"{name}.safetensors")


SIZES = [(2, name) for name in (*NAMES, ACCUMULATED)] + [(4, name) for name in FOUR]


@pytest.mark.parametrize(("size", "name"), SIZES)
def test_ranks_equal_one_rank(size: int, name: str, weights: Callable[[int, str], Weights]) -> None:
    one, several = weights(1, name), weights(size, name)
    assert one.keys() == several.keys()
    assert max(float((one[key] - several[key]).double().abs().max()) for key in one) < 1e-12


@pytest.mark.parametrize("size", [1, 2])
def test_a_penalty_of_weight_0_changes_no_bit(size: int, weights: Callable[[int, str], Weights]) -> None:
    without, watched = weights(size, "cyclegan"), weights(size, "watched")
    assert without.keys() == watched.keys()
    assert all(torch.equal(without[key], watched[key]) for key in without)
    assert not torch.equal(without["D_a.first.weight"], weights(size, "penalised")["D_a.first.weight"])


def test_gradients_travel_while_the_backward_pass_goes_on(trained: Callable[[int], Path]) -> None:
    early = json.loads((trained(2) / "early.json").read_text())
    assert all(early[name] > 0 for name in (*NAMES, ACCUMULATED)), early
    assert not early[PANELS]  # does not ask for it, on a CPU
    assert not any(json.loads((trained(4) / "early.json").read_text()).values())  # one bucket waits for the verdict


@pytest.mark.parametrize("name", ["cyclegan", "lazy", "every"])
def test_what_is_logged_is_the_mean_over_ranks(name: str, trained: Callable[[int], Path]) -> None:
    one, several = (json.loads((trained(size) / f"{name}.json").read_text()) for size in (1, 2))
    assert one.keys() == several.keys() == {"1", "4", "8", "10"}
    for step, scalars in one.items():
        own = ("ops/", "shares/")  # buffers of rank 0, and parts of each rank's own gradient
        logged = {tag: value for tag, value in scalars.items() if not tag.startswith(own)}
        assert {tag: pytest.approx(value, abs=1e-11) for tag, value in logged.items()} == {
            tag: several[step][tag] for tag in logged
        }
        assert any(tag.startswith("losses/") for tag in logged)


def test_panels_are_the_same_at_any_number_of_ranks(trained: Callable[[int], Path]) -> None:
    one, several = (sorted((trained(size) / PANELS / "images").rglob("*.png")) for size in (1, 2))
    assert [path.name for path in one] == [path.name for path in several]
    assert len(one) == 2
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in several]


def test_ranks_that_drift_apart_are_told(trained: Callable[[int], Path]) -> None:
    records = {path.parent.name: json.loads(path.read_text()) for path in trained(2).glob("*/run.json")}
    (told,) = records.pop(ERRING)["diagnoses"]
    assert (told["name"], told["step"]) == ("ranks_drift_apart", 10)
    assert "rank 1 no longer has the weights of rank 0: the norm of network 'D_" in told["message"]
    assert "differs by 0.1%" in told["message"]
    assert len(records) > 5
    assert not [name for name, record in records.items() if "diagnoses" in record]


def test_the_trainings_do_something(weights: Callable[[int, str], Weights]) -> None:
    assert not torch.equal(weights(1, "wgan_gp")["G.first.weight"], weights(1, "every")["G.first.weight"])


def test_a_run_goes_on_with_fewer_ranks_and_ends_alike(tmp_path: Path) -> None:
    whole, first = (ranked.recipe("remembering", f"global_batch: 6, lanes: 3, steps: {n}") for n in (10, 6))
    whole, first = (text.replace("steps: 10, ", "", 1) for text in (whole, first))
    # Three lanes, each with its buffers, random numbers and statistics: two of them on one of the ranks, or all on one.
    ranked.train_on_ranks(2, {"parts": first}, tmp_path)
    ranked.train({"parts": whole}, tmp_path)
    ranked.train_on_ranks(3, {"whole": whole}, tmp_path)
    one, other = (load_file(tmp_path / f"{name}.safetensors") for name in ("whole", "parts"))
    assert max(float((one[key] - other[key]).double().abs().max()) for key in one) < 1e-12
    last = tmp_path / "{}/checkpoints/step_0000010/training.safetensors"
    ours, theirs = (load_file(str(last).format(name)) for name in ("whole", "parts"))
    assert ours.keys() == theirs.keys()
    kept = [key for key in ours if key.endswith("past_a.images")]
    assert len(kept) == 3
    assert all(torch.allclose(ours[key], theirs[key], atol=1e-12) for key in kept)
    assert not torch.equal(ours[kept[0]], ours[kept[1]])
    assert all(torch.equal(ours[key], theirs[key]) for key in ours if "random" in key)
