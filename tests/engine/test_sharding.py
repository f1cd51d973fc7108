"""Networks kept in parts by several ranks compute what one does: real processes under gloo, in float64."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ranked
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ganforge.errors import EnvironmentFault, RecipeError, Source
from ganforge.plugins.loading import load_plugins
from ganforge.recipe.model import Recipe
from ganforge.recipe.nodes import parse
from ganforge.recipe.reading import read_recipe
from ganforge.rehearsal.dry_run import dry_run
from ganforge.runs.checkpoint.files import checkpoints, load_checkpoint
from ganforge.step.sharding import blocks, span
from ganforge.training.levers.choosing import choose_levers, settle
from ganforge.training.player import refuse_coupled_weights

Weights = dict[str, Tensor]

MORE = "global_batch: 4, lanes: 2, images_every: 5"
SHARDED = f"{MORE}, shard: true"
METRIC = "metrics: {error: {type: translation_error, translated: fake_b, original: real_a, truth: true_b}}\n"


CUT = (
    ranked.DATA
    + """
networks: {G: {type: toys.encoder}, F: {type: toys.patch_sampler}, D: {type: toys.critic}}
signals: {out: G(real_a)}
players:
  d: {networks: [D], optimizer: &adam {type: adam, lr: 1e-2}}
  g: {networks: [G, F], optimizer: *adam, clip_norm: 0.5}
phases:
  - train: d
    losses: {judge: {type: lsgan_d, real: D(real_b), fake: D(out.image), weight: 0.5}}
  - train: g
    losses:
      adv: {type: lsgan_g, fake: D(out.image)}
      nce: {type: toys.patch_nce, query: F(G.encode(out.image)), key: F(out.features), weight: 0.5}
"""
    + f"{ranked.RUN}run: {{{ranked.SETTINGS}, {MORE}}}\n"
)
"""A network whose method is called, in the network's forward too; and one that is created by its first forward."""


BOTH = (
    ranked.recipe("wgan_gp", MORE)
    .replace(
        "  - train: generator\n",
        "      again: {type: classics.wgan_d, real: D(real_b), fake: D(G(real_a))}\n  - train: generator\n",
    )
    .replace("fake: D(G(real_a))}}", "fake: D(fake)}}")
)
"""In the phase with a penalty, the generator is called with a graph for its own player, and without."""


def cyclegan(settings: str) -> str:
    """With an average, clipped gradients, panels, a metric, and the doctor, who computes signals anew."""
    text = ranked.recipe("cyclegan", settings).replace("ema: {decay: 0.9}", "ema: {decay: 0.9}, clip_norm: 0.1")
    text = text.replace(", panels: null, doctor: null", "").replace("images: []", "images: [real_a, fake_b, rec_a]")
    return text + METRIC


def shorter(text: str) -> str:
    return text.replace("steps: 10", "steps: 5")


@pytest.fixture(scope="module")
def folder(once: Callable[..., Path]) -> Path:
    """What one rank reaches in `one`, and two that keep parts in `two`; `half` is interrupted there, and goes on."""
    return once("sharding", _fill)


def _fill(folder: Path) -> None:
    (folder / "one").mkdir()
    whole = {"cyclegan": cyclegan(MORE), "cut": CUT, "both": BOTH}
    whole |= {name: ranked.recipe(name, MORE) for name in ("wgan_gp", "inside", "lazy")}
    ranked.train(whole, folder / "one")
    jobs = {name: text.replace(MORE, SHARDED) for name, text in whole.items()}
    halves = {name: shorter(jobs["cyclegan"]) for name in ("half", "alone")}
    ranked.train_on_ranks(2, jobs | halves, folder / "two")
    ranked.train_on_ranks(2, {"half": jobs["cyclegan"]}, folder / "two")
    (folder / "two/alone").rename(folder / "one/alone")
    ranked.train({"alone": jobs["cyclegan"]}, folder / "one")


def furthest(one: Weights, other: Weights) -> float:
    assert one.keys() == other.keys()
    return max(float((one[key] - other[key]).double().abs().max()) for key in one)


@pytest.mark.parametrize("name", ["cyclegan", "cut", "both", "wgan_gp", "inside", "lazy"])
def test_parts_equal_the_whole(name: str, folder: Path) -> None:
    one, two = (load_file(folder / size / f"{name}.safetensors") for size in ("one", "two"))
    assert furthest(one, two) < 1e-12


def test_each_rank_keeps_a_part_of_every_weight_its_average_and_its_optimizer(folder: Path) -> None:
    (checkpoint,) = checkpoints(folder / "two/cyclegan/checkpoints")
    for kind, name in {
        "networks": "G_ab.first.weight",
        "ema": "G_ab.first.weight",
        "training": "training.trainer.players.generators.optimizer.state.0.exp_avg",
    }.items():
        parts = [load_file(checkpoint / f"{kind}.0000{rank}-of-00002.safetensors") for rank in (1, 2)]
        assert [part[name].shape for part in parts] == [(2, 3, 3, 3), (2, 3, 3, 3)]
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    assert {path.name for path in checkpoint.iterdir()} == {*manifest, "manifest.json"}


def test_a_checkpoint_in_parts_is_read_whole_on_one_device(folder: Path) -> None:
    loaded = load_checkpoint(checkpoints(folder / "two/cyclegan/checkpoints")[-1])
    same = load_checkpoint(checkpoints(folder / "one/cyclegan/checkpoints")[-1])
    assert furthest(loaded.networks, same.networks) < 1e-12
    assert furthest(loaded.ema, same.ema) < 1e-12
    for mine, other in zip(*(_moments(c.training) for c in (loaded, same)), strict=True):
        assert torch.allclose(mine, other, rtol=1e-9, atol=1e-12)


def _moments(training: dict[str, Any]) -> list[Tensor]:
    states = [player["optimizer"]["state"] for player in training["trainer"]["players"].values()]
    return [state[key] for held in states for state in held.values() for key in ("exp_avg", "exp_avg_sq", "step")]


def test_a_part_that_is_missing_is_told(folder: Path, tmp_path: Path) -> None:
    copied = tmp_path / "step_0000010"
    shutil.copytree(checkpoints(folder / "two/cyclegan/checkpoints")[-1], copied)
    (copied / "networks.00002-of-00002.safetensors").unlink()
    with pytest.raises(EnvironmentFault, match=r"networks\.00002-of-00002"):
        load_checkpoint(copied)


@pytest.mark.parametrize("name", ["one/alone", "two/half"])
def test_a_run_in_parts_goes_on_in_parts_and_on_one_device(name: str, folder: Path) -> None:
    uninterrupted = load_file(folder / "two/cyclegan.safetensors")
    assert furthest(uninterrupted, load_file(folder / f"{name}.safetensors")) < 1e-12


def test_the_first_rank_draws_and_measures_what_all_keep(folder: Path) -> None:
    one, two = (folder / size / "cyclegan" for size in ("one", "two"))
    drawn = sorted(path.relative_to(one) for path in one.glob("images/**/*.png"))
    assert len(drawn) == 3
    assert all((one / path).read_bytes() == (two / path).read_bytes() for path in drawn)
    figures = [json.loads((run / "run.json").read_text())["metrics"] for run in (one, two)]
    assert figures[0] == pytest.approx(figures[1], rel=1e-9)
    assert figures[0]


# What cannot be


def read(text: str) -> Recipe:
    registry = load_plugins([ranked.TOYS]).registry
    return read_recipe(parse(Source("recipe.yaml", text)), registry, "test")


def refusal(text: str) -> str:
    recipe = read(text)
    with pytest.raises(RecipeError) as refused:
        choose_levers(recipe, dry_run(recipe), torch.device("cpu"), settle(recipe.run, torch.device("cpu"), 0, {}))
    return str(refused.value)


def test_a_network_that_no_player_trains_cannot_be_in_parts() -> None:
    told = refusal(ranked.recipe("cyclegan", "shard: [G_ab, G_xy]"))
    assert "run.shard: no player trains a network 'G_xy'" in told
    assert "the players' networks are: D_a, D_b, G_ab, G_ba" in told


def test_fp16_cannot_be_in_parts() -> None:
    told = refusal(ranked.recipe("cyclegan", "shard: true").replace("fp64", "fp16"))
    assert "run.shard: fp16 scales gradients" in told
    assert "run.precision=bf16" in told


def test_alone_nothing_is_in_parts() -> None:
    recipe = read(ranked.recipe("cyclegan", "shard: true"))
    device = torch.device("cpu")
    levers = choose_levers(recipe, dry_run(recipe), device, settle(recipe.run, device, 0, {}))
    assert not levers.sharded
    assert "nothing is in parts: there is one rank" in str(levers)


@pytest.mark.parametrize("optimizer", ["adafactor", "muon"])
def test_an_optimizer_that_must_see_weights_whole_is_refused(optimizer: str) -> None:
    text = ranked.recipe("wgan_gp").replace("{type: adam, lr: 1e-2}", f"{{type: {optimizer}, lr: 1e-2}}")
    recipe = read(text)
    with pytest.raises(RecipeError, match=f"run.shard: {optimizer} must see weights whole") as refused:
        refuse_coupled_weights(recipe.players["generator"])
    assert "leave the networks of player 'generator' out of run.shard" in str(refused.value)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop", "radam"])
def test_an_optimizer_that_treats_each_weight_alone_is_not(optimizer: str) -> None:
    text = ranked.recipe("wgan_gp").replace("{type: adam, lr: 1e-2}", f"{{type: {optimizer}, lr: 1e-2}}")
    refuse_coupled_weights(read(text).players["generator"])


# Cutting


def test_spans_cover_all_rows_once() -> None:
    for rows in range(1, 9):
        assert [row for rank in range(4) for row in range(rows)[span(rows, rank, 4)]] == list(range(rows))


def test_blocks_of_sequences_are_brought_together_alone() -> None:
    inner = nn.Sequential(nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3))
    network = nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU(), inner, nn.BatchNorm2d(3))
    assert set(blocks(network)) == {network[0], inner[0]}
    network[0].weight = inner[0].weight
    assert blocks(network) == []
