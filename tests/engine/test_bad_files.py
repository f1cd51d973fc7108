"""A broken file met in the midst of a training: what works is offered, and works."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ganforge import BadFile, EnvironmentFault, Sample, Samples
from ganforge.builtin.datasets import UnpairedFolders
from ganforge.training.data import Skipping

STEPS = 6


@pytest.fixture
def data(picture_folders: Path, tmp_path: Path) -> Path:
    return shutil.copytree(picture_folders, tmp_path / "data")


@pytest.fixture
def run(in_tmp: Path, data: Path, repository: Path, ganforge: Callable) -> Callable:
    recipe = repository / "recipes/tiny/cyclegan_horse2zebra.yaml"
    every = (f"data.root={data}", "run.checkpoint_every=2", "run.images_every=100", "data.batch_size=1")

    def of(*options: str, out: str = "runs") -> object:
        return ganforge("run", recipe, *every, f"run.steps={STEPS}", "--out", out, *options)

    return of


def broken(data: Path, name: str = "trainA/3.jpg") -> bytes:
    whole = (data / name).read_bytes()
    (data / name).write_bytes(whole[:200])
    return whole


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "checkpoints" / f"step_{STEPS:07}" / "networks.safetensors")


def equal(one: Path, other: Path) -> bool:
    ours, theirs = weights(one), weights(other)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_error_gives_commands_that_work(run: Callable, data: Path, in_tmp: Path, ganforge: Callable) -> None:
    assert run(out="whole").code == 0
    whole = broken(data)
    done = run()
    assert done.code == 3
    folder = "runs/cyclegan_horse2zebra/0001"
    assert "trainA/3.jpg" in done.err
    assert f"put a good file in its place, and go on: ganforge run {folder} --resume\n" in done.err
    assert f"or go on without it: ganforge run {folder} --resume data.on_bad_file=skip" in done.err
    shutil.copytree(in_tmp / folder, in_tmp / "copy/cyclegan_horse2zebra/0001")
    (data / "trainA/3.jpg").write_bytes(whole)
    assert ganforge("run", folder, "--resume").code == 0
    assert equal(in_tmp / folder, in_tmp / "whole/cyclegan_horse2zebra/0001")

    (data / "trainA/3.jpg").unlink()
    taken_out = ganforge("run", "copy/cyclegan_horse2zebra/0001", "--resume", "run.steps=5")
    assert taken_out.code == 2
    assert "was started with 5 training samples, now there are 4" in taken_out.err
    assert "data.on_bad_file=skip" in taken_out.err
    (data / "trainA/3.jpg").write_bytes(whole[:200])
    done = ganforge("run", "copy/cyclegan_horse2zebra/0001", "--resume", f"run.steps={STEPS}", "data.on_bad_file=skip")
    assert done.code == 0, done.err


@pytest.mark.parametrize("more", [(), ("data.workers=1",), ("data.cache=memory",)])
def test_a_skipped_file_is_told_counted_and_the_same_after_a_resume(
    run: Callable, data: Path, in_tmp: Path, ganforge: Callable, more: tuple[str, ...]
) -> None:
    broken(data)
    broken(data, "testA/1.jpg")
    done = run("data.on_bad_file=skip", *more)
    assert done.code == 0, done.err
    assert done.err.count("another sample takes its place") == 1
    assert "1 bad file, listed in runs/cyclegan_horse2zebra/0001/run.json" in " ".join(done.out.split())
    [bad] = json.loads((in_tmp / "runs/cyclegan_horse2zebra/0001/run.json").read_text())["bad_files"]
    assert "trainA/3.jpg" in bad
    assert run("data.on_bad_file=skip", "run.steps=4", out="parts").code == 0
    parts = in_tmp / "parts/cyclegan_horse2zebra/0001"
    assert ganforge("run", parts, "--resume", f"run.steps={STEPS}").code == 0
    assert equal(parts, in_tmp / "runs/cyclegan_horse2zebra/0001")


def test_where_all_files_are_bad_the_run_ends(run: Callable, data: Path) -> None:
    for path in (data / "trainA").iterdir():
        path.write_bytes(b"")
    done = run("data.on_bad_file=skip")
    assert done.code == 3
    assert "20 samples drawn in the place of a bad one are bad too" in done.err


class Holed(Samples):
    """Numbers, some of which cannot be read; how much is drawn before that is told varies."""

    def __init__(self, drawn: int = 0) -> None:
        self.drawn = drawn

    def __len__(self) -> int:
        return 10

    def sample(self, index: int, rng: random.Random) -> Sample:
        if index in (2, 3):
            for _ in range(self.drawn):
                rng.random()
            raise BadFile(f"cannot read {index}\n  replace it")
        return {"real": torch.tensor([index, rng.random()])}


def test_what_takes_the_place_is_a_function_of_the_generator() -> None:
    indices = [1, 2, 3, 4]
    batches = []
    for drawn in (0, 3):
        skipping = Skipping(Holed(drawn))
        batches.append(skipping.batch(indices, [random.Random(n) for n in indices])["real"])
        assert set(skipping.take()) >= {"cannot read 2", "cannot read 3"}
        assert skipping.take() == ()
    assert torch.equal(*batches)
    assert batches[0][0].tolist() == pytest.approx([1, random.Random(1).random()])
    assert not {2.0, 3.0} & set(batches[0][:, 0].tolist())


def test_a_fault_that_is_no_file_is_not_skipped() -> None:
    class Down(Holed):
        def sample(self, index: int, rng: random.Random) -> Sample:
            raise EnvironmentFault("the network is down")

    with pytest.raises(EnvironmentFault, match="the network is down"):
        Skipping(Down()).sample(0, random.Random(0))


def test_a_cache_tells_a_bad_file_at_once_unless_it_is_skipped(data: Path) -> None:
    broken(data)
    dataset = UnpairedFolders(data, load_px=None, crop_px=16, cache="memory")
    with pytest.raises(BadFile, match=r"trainA/3\.jpg"):
        dataset.train()
    dataset.skips_bad = True
    samples = dataset.train()
    with pytest.raises(BadFile, match=r"trainA/3\.jpg"):
        samples.sample(3, random.Random(0))
    assert Skipping(samples).sample(3, random.Random(0))["real_a"].shape == (3, 16, 16)
