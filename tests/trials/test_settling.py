"""What `auto` comes to: the precision by the layers, the levers by whole steps, and what is kept of both."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from ganforge.plugins.loading import load_plugins
from ganforge.ranks.division import divide, divided
from ganforge.recipe import open_recipe
from ganforge.recipe.model import Recipe
from ganforge.rehearsal.dry_run import DryRun, dry_run
from ganforge.rehearsal.layers import Ratio
from ganforge.training.levers import contender, settling
from ganforge.training.levers import trials as levers
from ganforge.training.levers.contender import Way
from ganforge.training.levers.settling import Settled, inference_precision, precision_for, settled

CPU = torch.device("cpu")
HOURS, LONG, SHORT = 10_000_000, 20_000, 3
"""Steps of a run."""


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GANFORGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@functools.cache
def toy(*overrides: str) -> tuple[Recipe, DryRun]:
    small = [f"networks.{name}.channels=4" for name in ("G_ab", "G_ba", "D_a", "D_b")]
    recipe = open_recipe("cyclegan_shapes", [*small, *overrides], load_plugins(()).registry)
    recipe = divided(recipe, divide(recipe))
    return recipe, dry_run(recipe)


def measured(times: float, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let layers be so many times as fast in bfloat16; returns one entry for each time that they are measured."""
    asked: list[int] = []

    def ratio(heavy: Any, *_: Any) -> Ratio:
        asked.append(len(heavy))
        return Ratio(times, times - 0.1, times + 0.1)

    monkeypatch.setattr(settling, "bf16_against_fp32", ratio)
    return asked


@pytest.mark.parametrize(
    ("times", "taken"), [(0.1, "fp32"), (1.0, "fp32"), (1.19, "fp32"), (1.2, "bf16"), (3.0, "bf16")]
)
def test_bf16_is_taken_where_it_is_clearly_faster(times: float, taken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    measured(times, monkeypatch)
    _, plan = toy()
    precision, why, ratio = precision_for(CPU, plan.layers, 1e3)
    assert precision == taken
    assert ratio is not None
    assert ratio.median == times
    words = {
        0.1: "10 times slower",
        1.0: "no faster",
        1.19: "only 1.19 times",
        1.2: "1.2 times as fast",
        3.0: "3 times",
    }
    assert words[times] in why


def test_it_is_measured_once_and_only_for_work_that_is_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = measured(2.0, monkeypatch)
    _, plan = toy()
    assert precision_for(CPU, plan.layers, 5.0)[:2] == ("fp32", "too little work to try bf16")
    assert not asked
    assert precision_for(CPU, plan.layers, 500.0)[0] == "bf16"
    assert precision_for(CPU, plan.layers, 5.0)[0] == "bf16"  # it is known by now
    assert len(asked) == 1
    assert precision_for(CPU, plan.layers[1:], 500.0)[0] == "bf16"
    assert len(asked) == 2  # other layers are another question


def test_on_gpus_their_units_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    _, plan = toy()
    for has, precision, word in ((True, "bf16", "units"), (False, "fp32", "run.precision=fp16")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, has=has: has)
        found, why, _ = precision_for(torch.device("cuda"), plan.layers, 0.0)
        assert (found, word in why) == (precision, True)
    assert precision_for(torch.device("mps"), plan.layers, 1e9)[0] == "fp32"


class Machine:
    """One on which a step takes a second, and ways make it as many times as fast as is said."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, gains: Mapping[str, float]) -> None:
        self.gains, self.built, self.now = gains, [], 0.0
        machine = self

        class Contender:
            def __init__(self, recipe: Recipe, plan: DryRun, device: Any, division: Any, way: Way) -> None:
                self.way = way
                machine.built.append(way)
                if machine.gains.get(str(way), 1.0) == 0:
                    raise RuntimeError("a kernel is missing")

            def seconds(self, steps: int = 1) -> float:
                each = 0.01 / machine.gains.get(str(self.way), 1.0)
                machine.now += steps * each
                return each

        monkeypatch.setattr(levers, "Contender", Contender)
        monkeypatch.setattr(levers.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(contender.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(levers, "missing_compiler", lambda device: None)


def on(machine: Machine, steps: int, *overrides: str, before: Mapping[str, bool] | None = None) -> Settled:
    recipe, plan = toy(*overrides)
    plan = dataclasses.replace(plan, operations=1_000, flops=dict.fromkeys(plan.flops, 0))  # guessed as it is: 10 ms
    return settled(recipe, plan, CPU, divide(recipe), steps, before or {})


def pulled(found: Settled) -> set[str]:
    return {name for name, on in found.levers.items() if on and name != "layouts"}


def test_what_is_faster_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    measured(0.5, monkeypatch)
    machine = Machine(monkeypatch, {"fp32, merge, fused, layouts": 1.2})
    found = on(machine, LONG)
    assert (found.precision, pulled(found)) == ("fp32", {"merge", "fused"})
    assert [round(tried.times, 3) for tried in found.tried] == [1.2]
    assert found.trials == ["merged forwards and fused optimizers: 1.20 times as fast (1.20 to 1.20), taken"]


@pytest.mark.parametrize("gain", [0.8, 1.0, 1.02, 0])
def test_what_is_not_is_left(gain: float, monkeypatch: pytest.MonkeyPatch) -> None:
    measured(0.5, monkeypatch)
    machine = Machine(monkeypatch, {"fp32, merge, fused, layouts": gain})
    found = on(machine, LONG)
    assert pulled(found) == set()
    ends = ", left" if gain else ": these networks cannot be computed so"
    assert [line.endswith(ends) for line in found.trials] == [True]


def test_a_short_run_tries_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, {"fp32, merge, fused, layouts": 9.0})
    found = on(machine, SHORT)
    assert not machine.built
    assert not found.tried
    assert pulled(found) == set()


def test_trials_take_a_hundredth_of_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    measured(0.5, monkeypatch)
    for steps in (1_000, 2_000, LONG, HOURS):
        monkeypatch.setenv("GANFORGE_CACHE", str(tmp_path / str(steps)))
        machine = Machine(monkeypatch, {})
        on(machine, steps)
        assert machine.now <= 0.01 * steps * 0.01 + 0.1  # and a round that has begun


def test_compiling_is_tried_in_long_runs_with_both_layouts(monkeypatch: pytest.MonkeyPatch) -> None:
    measured(0.5, monkeypatch)
    best = "fp32, merge, compile, fused"
    machine = Machine(monkeypatch, {"fp32, merge, fused, layouts": 1.1, best: 1.4, f"{best}, layouts": 1.3})
    assert "compile" not in pulled(on(machine, LONG))
    found = on(machine, HOURS)
    assert pulled(found) == {"merge", "fused", "compile"}
    assert found.levers["layouts"] is False
    assert [tried.taken for tried in found.tried] == [True, True, False]
    assert len(machine.built) == 2 + 3  # what was known was not tried again
    known = on(machine, LONG)
    assert len(machine.built) == 5
    assert pulled(known) == {"merge", "fused"}  # to find the code again would take more of this run than it gives


def test_fp32_comes_back_where_it_is_faster_in_whole_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    measured(1.3, monkeypatch)
    machine = Machine(monkeypatch, {"fp32, layouts": 1.1, "bf16, merge, fused, layouts": 0.9})
    found = on(machine, LONG)
    assert found.precision == "fp32"
    assert found.why == "fp32 makes whole steps 1.10 times as fast as bf16"
    stays = on(Machine(monkeypatch, {"fp32, layouts": 0.8}), LONG, "data.batch_size=3")
    assert stays.precision == "bf16"
    assert "1.3 times" in stays.why


@pytest.mark.parametrize(("fp32", "compiled"), [(0.5, False), (0.7, True)])
def test_compiled_fp32_is_tried_where_it_can_catch_up_with_bf16(
    fp32: float, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured(2.0, monkeypatch)
    machine = Machine(monkeypatch, {"fp32, layouts": fp32})
    on(machine, HOURS)
    assert any("compile" in str(way) for way in machine.built) is compiled


def test_what_the_recipe_says_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = measured(3.0, monkeypatch)
    machine = Machine(monkeypatch, {"fp32, merge, layouts": 2.0, "fp32, fused, layouts": 2.0})
    found = on(machine, LONG, "run.precision=fp32", "run.merge=false")
    assert (found.precision, pulled(found), found.why, asked) == ("fp32", {"fused"}, "", [])
    assert [set(tried.change) for tried in found.tried] == [{"fused"}]
    said = on(machine, HOURS, "run.merge=false", "run.fused=false", "run.compile=false", "run.precision=fp32")
    assert pulled(said) == set()
    assert not said.tried


def test_a_run_that_goes_on_keeps_what_it_had(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, {"fp32, merge, fused, layouts": 9.0})
    off = {"merge": False, "compile": True, "cuda_graphs": False, "channels_last": False, "fused": False}
    before = {**off, "overlap": False, "layouts": False}
    found = on(machine, HOURS, "run.precision=fp32", before=before)
    assert found.levers == before
    assert not machine.built


def test_what_is_kept_says_what_it_is_about(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured(0.5, monkeypatch)
    on(Machine(monkeypatch, {}), LONG)
    kept = {path.parent.name: json.loads(path.read_text()) for path in empty_cache.rglob("*.json")}
    assert kept.keys() == {"layers", "levers"}
    machine = kept["levers"]["about"]["machine"]
    assert {"name", "threads", "capability", "versions"} <= machine.keys()
    for path in empty_cache.rglob("*.json"):
        path.write_text("{")
    on(Machine(monkeypatch, {}), LONG)  # what cannot be read is asked again


def test_a_cache_that_cannot_be_written_costs_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("GANFORGE_CACHE", str(tmp_path / "file" / "below"))
    asked = measured(2.0, monkeypatch)
    _, plan = toy()
    for _ in range(2):
        assert precision_for(CPU, plan.layers, 1e3)[0] == "bf16"
    assert len(asked) == 2


def test_a_record_is_read_as_it_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    measured(1.3, monkeypatch)
    found = on(Machine(monkeypatch, {"bf16, merge, fused, layouts": 1.2}), LONG)
    assert Settled.read(json.loads(json.dumps(found.record()))) == found


def test_a_real_trial_leaves_no_trace() -> None:
    recipe, plan = toy("data.size_px=16")
    before = torch.get_rng_state()
    found = settled(recipe, plan, CPU, divide(recipe), LONG, {})
    assert len(found.tried) == 1
    assert found.tried[0].times > 0
    assert torch.equal(before, torch.get_rng_state())


def trained_in(precision: str) -> Callable[[str, str], str]:
    recipe, plan = toy(*([f"run.precision={precision}"] if precision else []))
    return lambda asked, device: inference_precision(asked, recipe, plan, torch.device(device))


def test_trained_networks_compute_as_they_were_trained_where_that_is_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "LONG_ENOUGH_S", 0.0)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    asked = measured(0.1, monkeypatch)
    assert trained_in("bf16")("auto", "cpu") == "fp32"
    assert trained_in("bf16")("auto", "cuda") == "bf16"
    assert trained_in("bf16")("bf16", "cpu") == "bf16"
    assert len(asked) == 1
    assert trained_in("fp16")("auto", "cuda") == "fp16"
    for precision in ("fp32", "tf32", "fp64"):
        assert trained_in(precision)("auto", "cpu") == precision
    assert trained_in("")("auto", "cuda") == "fp32"  # of an earlier ganforge, which meant it
