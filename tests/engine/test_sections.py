"""Each owner keeps its section of a checkpoint: one that is missing, or that nobody knows, is told by its place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ganforge.errors import EnvironmentFault
from ganforge.runs.checkpoint.saving import capture, put_back
from ganforge.testing import Parity

TINY = Path(__file__).resolve().parents[2] / "recipes/tiny/cyclegan_shapes.yaml"


@pytest.fixture(scope="module")
def parity() -> Parity:
    return Parity(TINY)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda training: training.pop("trainer"), "has no training.trainer"),
        (lambda training: training.update(shelf=1), "has training.shelf, which nobody takes"),
        (lambda training: training["trainer"].pop("statistics"), "has no trainer.statistics"),
        (lambda training: training["trainer"].update(shelf=1), "has trainer.shelf, which nobody takes"),
        (lambda training: training["trainer"]["players"].pop("generators"), "has no trainer.players.generators"),
        (
            lambda training: training["trainer"]["players"]["generators"].pop("scaler"),
            "has no trainer.players.generators.scaler",
        ),
        (lambda training: training["trainer"].pop("ops"), "has no lane.ops"),
        (lambda training: training["trainer"]["ops"].pop("past_a"), "has no lane.ops.past_a"),
        (lambda training: training["trainer"]["op_rngs"].update(gone=0), "has lane.op_rngs.gone, which nobody takes"),
    ],
)
def test_a_section_that_does_not_fit_is_told(change: Callable[[Any], Any], told: str, parity: Parity) -> None:
    checkpoint = capture(parity.trainer)
    assert checkpoint is not None
    put_back(checkpoint, parity.trainer)
    change(checkpoint.training)
    with pytest.raises(EnvironmentFault) as fault:
        put_back(checkpoint, parity.trainer)
    assert told in fault.value.message
    assert "go back to an earlier checkpoint" in fault.value.cure


def test_what_a_lane_adds_is_kept_for_the_first_too(parity: Parity, monkeypatch: pytest.MonkeyPatch) -> None:
    lane = parity.trainer.lanes.held[0]
    plain, taken = lane.state_dict, []
    monkeypatch.setattr(type(lane), "SECTIONS", (*type(lane).SECTIONS, "mood"))
    monkeypatch.setattr(type(lane), "state_dict", lambda self: {**plain(), "mood": "calm"})
    load = type(lane).load_state_dict
    monkeypatch.setattr(type(lane), "load_state_dict", lambda self, *args: (taken.append(args[0]), load(self, *args)))
    put_back(capture(parity.trainer), parity.trainer)
    assert taken[0]["mood"] == "calm"


def test_a_run_says_which_checkpoint_it_cannot_take_up(ganforge: Callable[..., Any], in_tmp: Path) -> None:
    assert ganforge("run", TINY, "run.images=[]").code == 0
    newest = max((in_tmp / "runs/cyclegan_shapes/0001/checkpoints").iterdir())
    state = json.loads((newest / "state.json").read_text())
    del state["training"]["trainer"]["statistics"]
    (newest / "state.json").write_text(json.dumps(state))
    sums = json.loads((newest / "manifest.json").read_text())
    sums["state.json"] = hashlib.sha256((newest / "state.json").read_bytes()).hexdigest()
    (newest / "manifest.json").write_text(json.dumps(sums))
    refused = ganforge("run", "runs/cyclegan_shapes/0001", "--resume", "run.steps=9")
    assert refused.code == 3
    assert f"{newest.name} cannot be taken up: the checkpoint has no trainer.statistics" in refused.err
    assert "or go back to an earlier checkpoint" in refused.err
