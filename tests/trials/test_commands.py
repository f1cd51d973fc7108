"""What commands make of a precision and of levers that the recipe leaves to the machine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import ganforge as ganforge_api
from ganforge.recipe.nodes import read
from ganforge.rehearsal.layers import Ratio
from ganforge.runs import pace
from ganforge.training.levers import settling

TINY = [
    *(f"networks.{name}.channels=4" for name in ("G_ab", "G_ba", "D_a", "D_b")),
    *("data.size_px=16", "data.count=8", "data.validation=2", "run.images=[]", "run.steps=6", "run.checkpoint_every=2"),
    *("run.epochs=null", "run.log_every=2", "run.keep_last=9", "metrics=null"),
]
RUN = Path("runs/cyclegan_shapes/0001")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GANFORGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fast_in_bf16(times: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be a machine whose layers are so many times as fast in bfloat16, and on which every run is worth measuring."""
    ratio = Ratio(times, times, times)
    monkeypatch.setattr(settling, "LONG_ENOUGH_S", 0.0)
    for module in (settling, pace):
        monkeypatch.setattr(module, "bf16_against_fp32", lambda *_, **__: ratio)


def precision_of(run: Path = RUN) -> str:
    return str(read(run / "recipe.yaml").plain()["run"]["precision"])


def record_of(run: Path = RUN) -> dict[str, Any]:
    return json.loads((run / "run.json").read_text())


def weights_of(step: int, run: Path = RUN) -> dict[str, torch.Tensor]:
    folder = run / f"checkpoints/step_{step:07d}"
    return {f"{path.stem}/{k}": v for path in folder.glob("*.safetensors") for k, v in load_file(path).items()}


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


@pytest.mark.parametrize(
    ("times", "precision", "words"), [(2.0, "bf16", "2 times as fast"), (0.1, "fp32", "10 times slower")]
)
def test_what_is_chosen_is_told_and_written_down(
    times: float, precision: str, words: str, ganforge: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    fast_in_bf16(times, monkeypatch)
    outcome = ganforge("run", "cyclegan_shapes", *TINY)
    line = next(line for line in outcome.out.splitlines() if line.startswith("  device"))
    assert f"cpu, {precision}: its layers are {words}" in line
    assert precision_of() == precision
    settled = record_of()["settled"]
    assert settled["precision"] == precision
    assert words in settled["why"]
    assert settled["bf16_layers_against_fp32"]["median"] == times
    assert set(record_of()["levers"]) >= {"merge", "compile", "fused"}


def test_a_run_that_goes_on_elsewhere_keeps_its_precision_bit_for_bit(
    ganforge: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    fast_in_bf16(2.0, monkeypatch)
    assert ganforge("run", "cyclegan_shapes", *TINY).code == 0
    straight = weights_of(6)
    shutil.rmtree(RUN / "checkpoints/step_0000006")
    shutil.rmtree(RUN / "checkpoints/step_0000004")
    fast_in_bf16(0.1, monkeypatch)  # another machine
    shutil.rmtree("cache")
    outcome = ganforge("run", "cyclegan_shapes", "--resume", *TINY)  # by the recipe, which says nothing
    assert outcome.code == 0, outcome.err
    assert precision_of() == "bf16"
    assert_same(weights_of(6), straight)
    assert "changes" not in record_of()


def test_it_changes_when_that_is_accepted(ganforge: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    fast_in_bf16(2.0, monkeypatch)
    assert ganforge("run", "cyclegan_shapes", *TINY).code == 0
    more = ["run.steps=8", "run.precision=fp32"]
    refused = ganforge("run", RUN, "--resume", *more)
    assert refused.code == 2
    assert "run.precision: bf16 -> fp32" in refused.err
    outcome = ganforge("run", RUN, "--resume", "--accept-changes", *more)
    assert outcome.code == 0, outcome.err
    assert precision_of() == "fp32"
    assert [e["key"] for e in record_of()["changes"]] == ["run.precision", "run.steps"]


def test_a_run_of_an_earlier_version_stays_in_the_fp32_that_it_meant(
    ganforge: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ganforge("run", "cyclegan_shapes", *TINY, "run.precision=fp32").code == 0
    straight = weights_of(6)
    recipe = RUN / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("  precision: fp32\n", ""))
    record = record_of()
    del record["settled"], record["levers"]["layouts"]
    (RUN / "run.json").write_text(json.dumps(record))
    for step in (4, 6):
        shutil.rmtree(RUN / f"checkpoints/step_{step:07d}")
    fast_in_bf16(9.0, monkeypatch)
    outcome = ganforge("run", RUN, "--resume")
    assert outcome.code == 0, outcome.err
    assert_same(weights_of(6), straight)
    assert precision_of() == "fp32"
    assert "changes" not in record_of()
    (RUN / "recipe.yaml").write_text((RUN / "recipe.yaml").read_text().replace("  precision: fp32\n", ""))
    assert "fp32" in ganforge("evaluate", RUN, "--metric", "ssim").out


def test_a_bundle_is_reproduced_as_it_was(ganforge: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    fast_in_bf16(2.0, monkeypatch)
    assert ganforge("run", "cyclegan_shapes", *TINY).code == 0
    assert ganforge("bundle", RUN, "-o", "one.ganforge.zip").code == 0
    fast_in_bf16(0.1, monkeypatch)
    outcome = ganforge("run", "one.ganforge.zip", "--out", "again")
    assert outcome.code == 0, outcome.err
    again = next(Path("again").glob("*/0001"))
    assert precision_of(again) == "bf16"
    assert_same(weights_of(6, again), weights_of(6))


def test_trained_networks_compute_where_they_are_fast(
    ganforge: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, here: Path
) -> None:
    fast_in_bf16(2.0, monkeypatch)
    assert ganforge("run", "cyclegan_shapes", *TINY).code == 0
    Image.linear_gradient("L").convert("RGB").resize((16, 16)).save("picture.png")

    def translated(*options: str) -> bytes:
        outcome = ganforge("translate", RUN, "picture.png", "-o", "out", "--overwrite", *options)
        assert outcome.code == 0, outcome.err
        return Image.open("out/picture.png").tobytes()

    bf16, fp32 = (translated("--precision", name) for name in ("bf16", "fp32"))
    assert bf16 != fp32
    assert translated() == bf16
    deep = [translated("--depth", "16", *more) for more in ((), ("--precision", "fp32"), ("--precision", "bf16"))]
    assert deep[0] == deep[1] != deep[2]  # 16 bits are more than bf16 tells apart
    fast_in_bf16(0.1, monkeypatch)
    shutil.rmtree("cache")
    assert translated() == fp32
    card = ganforge("evaluate", RUN, "--metric", "ssim").out
    assert "computed in fp32" in card


def test_what_is_exported_computes_in_fp32(ganforge: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    fast_in_bf16(2.0, monkeypatch)
    assert ganforge("run", "cyclegan_shapes", *TINY).code == 0
    outcome = ganforge("export", RUN, "--format", "torch", "-o", "a2b.pt2")
    assert outcome.code == 0, outcome.err
    picture = torch.rand(1, 3, 16, 16) * 2 - 1
    exported = torch.export.load("a2b.pt2").module()(picture)
    wanted = ganforge_api.load(RUN, precision="fp32")(picture)
    torch.testing.assert_close(exported, wanted, rtol=0, atol=1e-5)
    assert not torch.allclose(ganforge_api.load(RUN, precision="bf16")(picture), wanted, rtol=0, atol=1e-5)


def test_a_precision_that_is_slow_here_is_told_with_the_cure(
    ganforge: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    fast_in_bf16(1 / 12, monkeypatch)
    monkeypatch.setattr(pace, "STEPS", 3)
    monkeypatch.setattr(pace, "CALL_S", 0.0)
    monkeypatch.setattr(pace, "measure_peak", lambda _: pace.Peak(1e15, 1e15))
    outcome = ganforge("run", "cyclegan_shapes", *TINY, "run.precision=bf16")
    assert outcome.code == 0
    told = outcome.out + outcome.err
    assert "step 3: steps reach 0.0% of what this CPU computes at best in fp32" in told
    assert "12 times slower" in told
    cure = f"ganforge run {RUN} --resume --accept-changes run.precision=fp32"
    assert cure in told
    assert [found["name"] for found in record_of()["diagnoses"]] == ["slow_precision"]
    assert ganforge(*cure.split()[1:], "run.steps=8").code == 0


@pytest.mark.parametrize(
    ("ratio", "peak", "call_s", "precision"),
    [
        (1 / 12, 1.0, 0.0, "bf16"),  # it reaches all of the peak
        (1 / 12, 1e15, 1.0, "bf16"),  # all of its time goes by with calls
        (2.0, 1e15, 0.0, "bf16"),  # it would not be faster
        (1 / 12, 1e15, 0.0, "fp32"),
    ],
)
def test_others_are_told_nothing(
    ratio: float,
    peak: float,
    call_s: float,
    precision: str,
    ganforge: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fast_in_bf16(ratio, monkeypatch)
    monkeypatch.setattr(pace, "STEPS", 3)
    monkeypatch.setattr(pace, "CALL_S", call_s)
    monkeypatch.setattr(pace, "measure_peak", lambda _: pace.Peak(peak, peak))
    assert ganforge("run", "cyclegan_shapes", *TINY, f"run.precision={precision}").code == 0
    assert record_of().get("diagnoses", []) == []


def test_bench_shows_what_was_tried(ganforge: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    fast_in_bf16(0.5, monkeypatch)
    outcome = ganforge("bench", "cyclegan_shapes", *TINY[:-1], "run.steps=20000", "run.compile=false", "--steps", "2")
    assert outcome.code == 0, outcome.err
    lines = [" ".join(line.split()) for line in outcome.out.splitlines()]
    assert "precision fp32: its layers are 2 times slower in bf16 here" in lines
    assert [line for line in lines if line.startswith("tried merged forwards and fused optimizers: ")]
