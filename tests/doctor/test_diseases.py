"""Every disease is told in a run that is made ill with it, and none in a healthy one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ganforge.builtin.callbacks.doctor import DISEASES, Name

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def both(part: str) -> tuple[str, str]:
    """One kind of generator for both directions."""
    return f"networks.G_ab={part}", f"networks.G_ba={part}"


PROVOKED = {
    # The generators cannot learn, and what they make is no picture of either kind.
    "discriminator_wins": (*both("{type: sick.linear, gain: 0.3, offset: 0.5}"), "players.generators.optimizer.lr=0"),
    # The discriminators cannot learn.
    "discriminator_collapses": ("players.discriminators.optimizer.lr=0",),
    # The game that is known to go round and round.
    "oscillation": (
        *both("{type: sick.level}"),
        *(f"networks.D_{domain}={{type: sick.scales}}" for domain in "ab"),
        *(f"players.{player}.optimizer={{type: sgd, lr: 0.15}}" for player in ("generators", "discriminators")),
        *(f"phases.0.losses.{cycle}.weight=0" for cycle in ("cycle_a", "cycle_b")),
        *(f"phases.0.losses.{adversarial}.type=classics.vanilla_g" for adversarial in ("adv_ab", "adv_ba")),
        *(f"phases.1.losses.judge_{domain}.type=classics.vanilla_d" for domain in "ab"),
        "run.steps=250",
        "run.images_every=500",
    ),
    "vanished_gradient": both("{type: sick.saturated}"),
    # The cycle loss is all that counts, and copies go round best.
    "copied_input": (
        *both("{type: sick.residual}"),
        *(f"phases.0.losses.{adversarial}.weight=0.01" for adversarial in ("adv_ab", "adv_ba")),
    ),
    # Two negatives make the picture again.
    "luminance_inversion": both("{type: sick.linear, gain: -1}"),
    "mode_collapse": ("networks.G_ab={type: sick.constant}",),
    "checkerboard": ("networks.G_ab={type: sick.upsampling}",),
    # A fifth of the contrast and five times as much.
    "hidden_information": (
        "networks.G_ab={type: sick.linear, gain: 0.2, offset: 0.3}",
        "networks.G_ba={type: sick.linear, gain: 5, offset: -1.5}",
    ),
    "skipped_steps": (
        "ops.calls={type: calls}",
        "phases.0.losses.bad={type: often_nan, input: fake_b, calls: calls()}",
        "run.on_bad_loss=skip",
    ),
    "data_wait": ("data.type=sick.slow", "run.steps=10", "run.log_every=1", "run.images_every=100"),
}


@pytest.fixture
def diagnosed(ganforge: Callable[..., Any], in_tmp: Path) -> Callable[..., dict[str, dict[str, Any]]]:
    """Run a recipe by the command; what `run.json` says of it, by disease, and the terminal as well."""

    def run(recipe: Path, *overrides: str, code: int = 0) -> dict[str, dict[str, Any]]:
        outcome = ganforge("run", recipe, "-p", HERE / "sick.py", *overrides, "--out", in_tmp)
        assert outcome.code == code, outcome.err
        record = json.loads((in_tmp / recipe.stem / "0001/run.json").read_text())
        found = {entry["name"]: entry for entry in record.get("diagnoses", [])}
        assert outcome.out.count("warning: ") == len(found)
        assert all(entry["message"] in outcome.out and entry["cure"] in outcome.out for entry in found.values())
        return found

    return run


def test_all_are_provoked() -> None:
    assert PROVOKED.keys() == {kind.name() for kind in DISEASES} == set(Name.__args__)  # type: ignore[attr-defined]


@pytest.mark.parametrize("disease", PROVOKED)
def test_a_disease_is_told(disease: str, diagnosed: Callable[..., dict[str, dict[str, Any]]]) -> None:
    found = diagnosed(HERE / "toy.yaml", *PROVOKED[disease])
    assert disease in found
    assert re.search(r"\d", found[disease]["message"])  # the figures that show it


def test_without_a_boundary_the_order_of_verdicts_tells_who_wins(diagnosed: Callable[..., Any]) -> None:
    pairs = [
        f"{place}={{type: r3gan.relativistic_{player}, real: D_{x}(real_{x}), fake: D_{x}(fake_{x})}}"
        for place, player, x in (
            ("phases.0.losses.adv_ab", "g", "b"),
            ("phases.0.losses.adv_ba", "g", "a"),
            ("phases.1.losses.judge_a", "d", "a"),
            ("phases.1.losses.judge_b", "d", "b"),
        )
    ]
    found = diagnosed(HERE / "toy.yaml", *PROVOKED["discriminator_wins"], *pairs)
    assert "of pairs of a real sample and a fake" in found["discriminator_wins"]["message"]


def test_gradients_that_fp16_cannot_hold_are_told(diagnosed: Callable[..., dict[str, dict[str, Any]]]) -> None:
    found = diagnosed(
        HERE / "toy.yaml",
        "run.precision=fp16",
        "data.size_px=16",
        "data.batch_size=1",
        "phases.0.losses.bad={type: steep, input: fake_b}",
        "run.steps=24",
        "run.log_every=1",
        code=4,  # no step was taken
    )
    assert "gradients of generators overflow fp16" in found["skipped_steps"]["message"]


def test_a_disease_is_told_in_tensorboard_too(diagnosed: Callable[..., Any], in_tmp: Path) -> None:
    found = diagnosed(HERE / "toy.yaml", *PROVOKED["mode_collapse"], "callbacks.tensorboard={type: tensorboard}")
    events = EventAccumulator(str(in_tmp / "toy/0001")).Reload()  # type: ignore[no-untyped-call]
    (text,) = events.Tensors("diagnoses/mode_collapse/text_summary")  # type: ignore[no-untyped-call]
    assert found["mode_collapse"]["message"] in text.tensor_proto.string_val[0].decode()


def test_a_disease_that_is_ignored_is_not_told(diagnosed: Callable[..., Any]) -> None:
    assert diagnosed(HERE / "toy.yaml", *PROVOKED["mode_collapse"], "callbacks.doctor.ignore=[mode_collapse]") == {}


def test_nothing_is_told_before_the_warm_up_is_over(diagnosed: Callable[..., Any]) -> None:
    default = "callbacks.doctor.warmup_steps=null"
    assert diagnosed(HERE / "toy.yaml", *PROVOKED["mode_collapse"], default) == {}


def test_a_run_that_is_young_is_told_nothing(diagnosed: Callable[..., Any]) -> None:
    assert diagnosed(HERE / "toy.yaml") == {}


def test_a_healthy_run_is_told_nothing(diagnosed: Callable[..., Any], in_tmp: Path) -> None:
    networks = ("G_ab", "G_ba", "D_a", "D_b")
    found = diagnosed(
        ROOT / "recipes/cyclegan_shapes.yaml",
        "data.size_px=32",
        "data.count=100",
        *(f"networks.{name}.channels=8" for name in networks),
        *(f"networks.{name}.blocks=1" for name in networks[:2]),
        "players.generators.ema.decay=0.9",
        "callbacks.doctor={type: doctor, readings: 5, drawings: 2, warmup_steps: 100}",
        "callbacks.tensorboard=null",
        "callbacks.panels=null",
        "run={epochs: null, steps: 200, precision: fp32, device: cpu, log_every: 5, images_every: 50, images: null}",
    )
    assert found == {}
    figures = json.loads((in_tmp / "cyclegan_shapes/0001/run.json").read_text())["metrics"]
    assert figures["b_to_a/times_lower"] > 1.5  # it learns


def test_watching_changes_no_step(diagnosed: Callable[..., Any], in_tmp: Path) -> None:
    from safetensors.torch import load_file

    weights = []
    for name, doctor in (("without", "null"), ("with", "{type: doctor, warmup_steps: 0}")):
        diagnosed(HERE / "toy.yaml", f"callbacks.doctor={doctor}", "run.steps=8")
        place = (in_tmp / "toy/0001").rename(in_tmp / name)
        weights.append(load_file(place / "checkpoints/step_0000008/networks.safetensors"))
    one, other = weights
    assert all(torch.equal(one[key], other[key]) for key in one)
