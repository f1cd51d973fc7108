"""`ganforge bench`: its numbers agree with each other, with the dry run and with what a run does."""

from __future__ import annotations

import json
import math
import re
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ganforge import Callback
from ganforge.bench import verdict
from ganforge.plugins.loading import load_plugins
from ganforge.ranks.device import Precision
from ganforge.recipe import open_recipe
from ganforge.rehearsal.dry_run import dry_run
from ganforge.runs.run import Run
from ganforge.runs.run_folder import RunFolder
from ganforge.training.levers import peak

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
TINY = RECIPES / "tiny" / "cyclegan_shapes.yaml"


@pytest.fixture(autouse=True)
def small_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest product and convolution are enough."""
    monkeypatch.setattr(peak, "LONG_ENOUGH_S", 0.0)


@pytest.fixture
def bench(ganforge: Callable, in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Its JSON; nothing may be left behind."""
    (in_tmp / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(in_tmp / "tmp"))

    def run(*arguments: str | Path) -> dict[str, Any]:
        outcome = ganforge("bench", *arguments, "--json")
        assert outcome.code == 0, outcome.err
        left = [path for path in (*in_tmp.iterdir(), *(in_tmp / "tmp").iterdir()) if "torch" not in path.name]
        assert left == [in_tmp / "tmp"]  # beside the caches that torch makes for itself
        measured = json.loads(outcome.out)
        assert isinstance(measured, dict)
        return measured

    return run


def flops(path: Path, *overrides: str) -> dict[str, int]:
    return dry_run(open_recipe(str(path), overrides, load_plugins().registry)).flops


def test_the_numbers_agree(bench: Callable) -> None:
    measured = bench(TINY, "--steps", "5", "--warm-up", "2")
    step, phases, wait = measured["step"], measured["phases"], measured["data_wait"]
    assert (measured["steps"], measured["warm_up"]) == (5, 2)
    for timing in (step, wait, *phases.values()):
        spread = timing["seconds"]
        assert 0 < spread["fastest"] <= spread["median"] <= spread["slowest"]
        assert timing["share_of_step"] == pytest.approx(spread["mean"] / step["seconds"]["mean"])
    assert list(phases) == ["generators", "discriminators"]
    assert sum(phase["seconds"]["mean"] for phase in phases.values()) <= step["seconds"]["mean"]
    assert {name: phase["flops"] for name, phase in phases.items()} == flops(TINY)
    assert step["flops"] == sum(flops(TINY).values())
    assert step["flops_per_second"] == pytest.approx(step["flops"] / step["seconds"]["median"])
    assert step["share_of_peak"] == pytest.approx(step["flops_per_second"] / max(measured["peak"].values()))
    assert measured["images_per_second"] == pytest.approx(2 / step["seconds"]["mean"])
    assert measured["peak_memory_gib"] > 0
    assert measured["startup_s"] > step["seconds"]["median"]


def test_the_length_is_that_of_the_whole_recipe(bench: Callable) -> None:
    measured = bench(TINY, "--steps", "2", "run.epochs=50", "run.steps=null")
    length = measured["length"]
    assert length["steps"] == 50 * 8 // 2
    assert length["seconds_per_step"] == measured["step"]["seconds"]["mean"]
    seconds = length["steps"] * length["seconds_per_step"]
    seconds += sum(extra["count"] * extra["seconds"] for extra in length["extras"].values())
    assert length["hours"] == pytest.approx(seconds / 3600)


@pytest.mark.parametrize("every", [2, 3, 5])
def test_extras_are_counted_as_a_run_has_them(
    bench: Callable, tmp_path_factory: pytest.TempPathFactory, every: int
) -> None:
    changes = [f"run.{name}_every={every}" for name in ("images", "metrics", "checkpoint")]
    recipe = open_recipe(str(TINY), changes, load_plugins().registry)
    counted: Counter[str] = Counter()

    class Count(Callback):
        def images_drawn(self, *_: Any) -> None:
            counted["panels"] += 1

        def metrics_computed(self, *_: Any) -> None:
            counted["metrics"] += 1

        def checkpoint_saved(self, *_: Any) -> None:
            counted["checkpoints"] += 1

    run = Run(recipe, RunFolder(tmp_path_factory.mktemp("run")), load_plugins().registry)
    run.callbacks = [Count()]
    run.train()
    length = bench(TINY, "--steps", "1", "--warm-up", "1", *changes)["length"]
    assert {name: extra["count"] for name, extra in length["extras"].items()} == counted
    assert length["left_out"] == []


def test_without_its_data(bench: Callable) -> None:
    horses = RECIPES / "cyclegan_horse2zebra.yaml"
    changes = ["data.crop_px=32", "data.load_px=36", "data.root=nowhere", "run.precision=fp32"]
    changes += [f"networks.{name}.channels=4" for name in ("G_ab", "G_ba", "D_a", "D_b")]
    changes += [f"networks.{name}.blocks=1" for name in ("G_ab", "G_ba")]
    changes += [f"networks.{name}.layers=2" for name in ("D_a", "D_b")]
    measured = bench(horses, "--no-data", "--steps", "2", *changes)
    assert measured["data_wait"] is None
    assert measured["length"] is None  # the recipe says epochs; how long these are, only its data knows
    assert measured["step"]["flops"] == sum(flops(horses, *changes).values())
    assert bench(horses, "--no-data", "--steps", "2", "run.steps=1000", *changes)["length"]["steps"] == 1000


def test_metrics_are_left_out_without_data(bench: Callable) -> None:
    length = bench(TINY, "--no-data", "--steps", "1")["length"]
    assert list(length["extras"]) == ["panels", "checkpoints"]
    assert length["left_out"] == ["metrics"]


def test_labels_without_data(bench: Callable) -> None:
    bench(RECIPES / "tiny" / "projection_spots.yaml", "--no-data", "--steps", "1")


def test_accumulation_multiplies_the_work_and_the_images(bench: Callable) -> None:
    measured = bench(TINY, "--steps", "2", "run.accumulate=3")
    assert measured["step"]["flops"] == 3 * sum(flops(TINY).values())
    assert measured["images_per_step"] == 6
    assert measured["images_per_second"] == pytest.approx(6 / measured["step"]["seconds"]["mean"])


def test_phases_that_run_seldom_are_measured_in_whole_cycles(bench: Callable) -> None:
    measured = bench(TINY, "phases.0.every=3", "phases.1.losses.judge_a.every=4")
    assert measured["cycle"] == 12
    assert measured["steps"] == 24
    generators = measured["phases"]["generators"]
    assert generators["share_of_step"] == pytest.approx(
        generators["seconds"]["mean"] / 3 / measured["step"]["seconds"]["mean"]
    )
    discriminators = measured["phases"]["discriminators"]
    assert discriminators["flops_per_second"] > 0  # of the steps in which judge_a ran


def test_a_phase_that_was_not_met_has_no_row(bench: Callable) -> None:
    measured = bench(TINY, "--steps", "1", "--warm-up", "1", "phases.0.every=5")
    assert list(measured["phases"]) == ["discriminators"]
    assert measured["step"]["flops_per_second"] is None


def test_a_minute_is_enough(bench: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    from ganforge import bench as module

    monkeypatch.setattr(module, "LIMIT_S", 0.0)
    measured = bench(TINY)
    assert measured["steps"] < 20
    assert set(measured["length"]["extras"]) == {"panels", "metrics", "checkpoints"}


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers of a parallel test run have a width of their own."""
    monkeypatch.setenv("COLUMNS", "10000")


def test_the_table_reads_well(ganforge: Callable, in_tmp: Path) -> None:
    out = ganforge("bench", TINY, "--steps", "2").out
    lines = out.splitlines()
    assert lines[0] == "cyclegan_shapes on cpu with 1 thread, fp32"
    assert lines[1] == "2 steps of 2 images, after 3 to warm up"
    assert re.search(r"^generators +[\d.,]+ +[\d.,]+ +[\d.,]+ +\d+% +0.123 +[\d.,]+ +[\d.]+%", out, re.MULTILINE)
    assert re.search(r"^whole step .* 100% ", out, re.MULTILINE)
    assert re.search(r"^speed +[\d.,]+ images per second$", out, re.MULTILINE)
    assert re.search(
        r"^the whole recipe +[\d.,]+ \w+: 4 steps x [\d.,]+ m?s on average, panels 3 x ", out, re.MULTILINE
    )
    assert max(map(len, lines[:9])) <= 80


INTERRUPTS = """
import signal
from torch import Tensor
from ganforge import Register, hookimpl

calls = 0

def interrupting(input: Tensor, target: Tensor, at: int) -> Tensor:
    global calls
    calls += 1
    if calls == at:
        signal.raise_signal(signal.SIGINT)
    return (input - target).abs().mean()

def failing(input: Tensor, target: Tensor) -> Tensor:
    global calls
    calls += 1
    if calls > 2:
        raise ValueError("no more")
    return (input - target).abs().mean()

@hookimpl
def register_losses(register: Register) -> None:
    register("interrupting", interrupting)
    register("failing", failing)
"""
CYCLE = "phases.0.losses.cycle_a"


@pytest.fixture
def plugin(in_tmp: Path) -> str:
    (in_tmp / "my_losses.py").write_text(INTERRUPTS)
    return "my_losses.py"


def test_an_interruption_shows_what_was_measured(ganforge: Callable, plugin: str) -> None:
    at = 1 + 1 + 3  # the dry run's, the warm-up's
    change = f"{CYCLE}={{type: interrupting, input: rec_a, target: real_a, at: {at}}}"
    outcome = ganforge("bench", TINY, "--warm-up", "1", "-p", plugin, change)
    assert outcome.code == 130
    assert outcome.out.splitlines()[1] == "interrupted: 3 steps of 2 images, after 1 to warm up"
    assert "; without checkpoints, panels, metrics" in outcome.out


def test_an_interruption_before_anything_was_measured(ganforge: Callable, plugin: str) -> None:
    change = f"{CYCLE}={{type: interrupting, input: rec_a, target: real_a, at: 2}}"
    outcome = ganforge("bench", TINY, "-p", plugin, change)
    assert (outcome.code, outcome.out, outcome.err.strip()) == (130, "", "interrupted")


def test_a_part_that_raises_is_told_without_a_folder_that_is_gone(ganforge: Callable, plugin: str) -> None:
    change = f"{CYCLE}={{type: failing, input: rec_a, target: real_a}}"
    outcome = ganforge("bench", TINY, "-p", plugin, change)
    assert outcome.code == 4
    assert "no more" in outcome.err
    assert "my_losses.py:" in outcome.err
    assert "run.json" not in outcome.err


def test_a_bad_recipe_is_told_as_check_tells_it(ganforge: Callable, in_tmp: Path) -> None:
    change = "signals.rec_a=G_bb(fake_b)"
    outcome = ganforge("bench", TINY, change)
    assert outcome.code == 2
    assert outcome.err == ganforge("check", TINY, change).err
    assert list(in_tmp.iterdir()) == []


def test_missing_data_is_an_environment_fault(ganforge: Callable, in_tmp: Path) -> None:
    outcome = ganforge("bench", "cyclegan_horse2zebra", "data.root=nowhere", "data.download=null")
    assert outcome.code == 3
    assert list(in_tmp.iterdir()) == []


@pytest.mark.parametrize(
    ("numbers", "begin"),
    [
        ((True, 0.3, None, 0.3), "waits for data, 30%"),
        ((False, 0.3, 0.01, 0.3), "waits for data"),
        ((False, 0.3, 0.5, 0.3), None),  # the host waits, but the GPU has work
        ((False, 0.0, 0.01, 0.3), "launch-bound"),
        ((False, 0.0, 0.5, 0.8), "near the peak: 80%"),
        ((True, 0.0, None, 0.3), None),
        ((False, 0.0, None, 0.3), None),
    ],
)
def test_a_verdict_only_where_the_numbers_say_so(
    numbers: tuple[bool, float, float | None, float], begin: str | None
) -> None:
    said = verdict(*numbers)
    assert said is None if begin is None else (said or "").startswith(begin)


@pytest.mark.parametrize("precision", ["fp32", "fp64", "bf16"])
def test_the_peak_is_a_number(precision: str) -> None:
    found = peak.measure_peak(Precision(precision, torch.device("cpu")))
    assert 0 < found.matrix_product < math.inf
    assert 0 < found.convolution < math.inf
