"""Looking at a run does not change it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import torch
from torch import nn

from ganforge import Callback, Diagnosis, images
from ganforge.runs.run import Run

IMAGES = "run.images=[real_a, fake_b, remembered, past_a(fake_a), true_b, grain(real_a)]"


def weights(run: Run) -> dict[str, torch.Tensor]:
    return run.trainer.cast.networks.state_dict()


def test_panels_and_metrics_leave_training_alone(start: Callable[..., Run]) -> None:
    plain = start(folder="plain")
    plain.train()
    drawn = torch.get_rng_state()
    watched = start(
        IMAGES, "run.images_every=2", "run.metrics_every=3", "callbacks.panels={type: panels}", folder="watched"
    )
    watched.train()
    assert [k for k, value in weights(plain).items() if not torch.equal(value, weights(watched)[k])] == []
    one, other = (run.trainer.lanes.held[0].state_dict()["ops"]["past_a"]["images"] for run in (plain, watched))
    assert torch.equal(one, other)
    assert plain.trainer.lanes.held[0].state_dict()["op_rngs"] == watched.trainer.lanes.held[0].state_dict()["op_rngs"]
    assert torch.equal(drawn, torch.get_rng_state())
    assert plain.figures == watched.figures
    assert len(list((watched.folder / "images").rglob("*.png"))) == 1 + 6


def test_what_is_shown_is_the_average_in_evaluation_mode(start: Callable[..., Run]) -> None:
    run = start(IMAGES)
    run.train()
    seen: list[bool] = []
    average = run.trainer.players["generators"].ema["G_ab"].module
    average.register_forward_hook(lambda module, *_: seen.append(module.norm.training))
    training = [module.training for module in run.trainer.cast.networks.modules()]
    (panel,) = run.validation.panels().values()
    assert panel.dtype == torch.uint8
    assert seen
    assert not any(seen)
    assert [module.training for module in run.trainer.cast.networks.modules()] == training
    assert run.trainer.cast.networks["G_ab"] is not average


def test_a_part_that_keeps_itself_in_evaluation_mode_stays_so(start: Callable[..., Run]) -> None:
    run = start(IMAGES)
    norm = run.trainer.cast.networks["G_ab"].norm
    assert isinstance(norm, nn.BatchNorm2d)
    norm.eval()
    run.validation.panels()
    assert not norm.training
    assert run.trainer.cast.networks["G_ab"].training


def test_a_signal_computed_from_values_given_in_place_of_others(start: Callable[..., Run]) -> None:
    run = start(IMAGES)
    run.train()
    before, drawn = torch.get_rng_state(), run.drawn
    ops = run.trainer.lanes.held[0].state_dict()["op_rngs"]
    same = run.compute("rec_a", {"fake_b": drawn["fake_b"]})
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(same, drawn["rec_a"], strict=True))
    average = run.trainer.averages()["G_ba"].eval()
    black = [torch.full_like(picture, -1) for picture in drawn["fake_b"]]
    with torch.no_grad():
        expected = average(torch.stack(black))
    assert torch.allclose(torch.stack(list(run.compute("rec_a", {"fake_b": black}))), expected, atol=1e-6)
    assert torch.equal(before, torch.get_rng_state())
    assert ops == run.trainer.lanes.held[0].state_dict()["op_rngs"]


def test_without_images_every_direction_has_a_panel(start: Callable[..., Run]) -> None:
    run = start()
    assert run.validation.columns == {
        "a2b": ["real_a", "fake_b", "rec_a", "real_b"],
        "b2a": ["real_b", "fake_a", "rec_b", "real_a"],
    }
    assert start("run.images=[]", folder="none").validation.columns == {}


def test_a_panel_begins_with_what_its_direction_translates(start: Callable[..., Run]) -> None:
    run = start("run.images=[grain(real_a), real_a, fake_b, true_b, real_b, fake_a]")
    assert run.validation.columns == {
        "a2b": ["grain(real_a)", "real_a", "fake_b", "true_b"],
        "b2a": ["real_b", "fake_a"],
    }


def test_the_raw_translation_and_the_cycle_error_stand_beside(
    start: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    grids: list[tuple[list[str], list[list[torch.Tensor]]]] = []
    monkeypatch.setattr(images, "label_grid", lambda rows, labels: grids.append((labels, rows)) or torch.zeros(3, 1, 1))
    run = start("run.images=[real_a, fake_b, rec_a]")
    run.train()
    grids.clear()
    run.validation.panels()
    ((labels, rows),) = grids
    assert labels == ["real_a", "fake_b", "fake_b raw", "rec_a", "rec_a error"]
    assert len(rows) == 3
    picture, averaged, raw, _, error = rows[0]
    assert not torch.equal(averaged, raw)
    network = run.trainer.cast.networks["G_ab"].eval()
    with torch.no_grad():
        expected = network(run.drawn["real_a"][0][None])[0]
    assert torch.equal(raw, images.to_uint8(expected))
    assert torch.equal(picture, images.to_uint8(run.drawn["real_a"][0]))
    difference = (run.drawn["rec_a"][0] - run.drawn["real_a"][0]).abs().mean(0)
    assert torch.equal(error, images.heat_map(difference))


def test_what_callbacks_find_wrong_is_told_once_and_kept(start: Callable[..., Run]) -> None:
    run = start()
    heard: list[str] = []

    class Listener(Callback):
        def diagnosed(self, run: Run, diagnosis: Diagnosis) -> None:
            heard.append(diagnosis.name)

    dark = Diagnosis("too_dark", "pictures are dark", "lighten them", "docs/doctor.md")
    run.callbacks.append(Listener())
    for _ in range(2):
        run.diagnose(dark)
    assert heard == ["too_dark"]
    run.train()
    resumed = start("run.steps=14")
    assert resumed.resumed_at == 12
    resumed.diagnose(dark)
    assert resumed.diagnoses == {"too_dark": dark}
    (kept,) = json.loads((run.folder / "run.json").read_text())["diagnoses"]
    assert kept == {
        "step": 0,
        "name": "too_dark",
        "message": "pictures are dark",
        "cure": "lighten them",
        "link": "docs/doctor.md",
    }
