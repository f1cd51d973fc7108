"""Crops and flips: drawn from the generator alone, and the same by the batch, in one kernel, as one by one."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ganforge import Dataset, Samples, images
from ganforge.builtin.datasets import ClassFolders, ImageFolder, PairedFolders, Shapes, UnpairedFolders
from ganforge.builtin.datasets.framing import Framing
from ganforge.testing.checking import never_waiting


def rngs(count: int) -> list[random.Random]:
    return [random.Random(seed) for seed in range(count)]


def stacked(framing: Framing, held: Tensor, indices: list[int]) -> Tensor:
    return torch.stack([framing.augment(held[i], rng) for i, rng in zip(indices, rngs(len(indices)), strict=True)])


@pytest.fixture
def held() -> Tensor:
    return torch.randint(0, 256, (5, 4, 14, 14), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def test_every_place_is_cut_and_half_are_mirrored() -> None:
    framing = Framing(6, 5, flip=True)
    picture = torch.arange(36, dtype=torch.uint8).view(1, 6, 6)
    crops = [framing.augment(picture, random.Random(seed))[0, 0] for seed in range(200)]
    assert {int(crop.min()) for crop in crops} == {0, 1, 6, 7}
    assert 70 < sum(bool(crop[0] > crop[1]) for crop in crops) < 130
    assert all(crop[0] < crop[1] for crop in (Framing(6, 5, False).augment(picture, rng)[0, 0] for rng in rngs(20)))


@pytest.mark.parametrize(("crop_px", "flip"), [(9, True), (9, False), (14, True), (1, True)])
def test_a_batch_is_its_pictures(held: Tensor, crop_px: int, flip: bool) -> None:
    framing = Framing(14, crop_px, flip)
    indices = [random.Random(0).randrange(5) for _ in range(40)]
    expected = stacked(framing, held, indices)
    for batch in (framing.batch, framing.gather):
        made = batch(held, indices, rngs(40))
        assert made.dtype == torch.uint8
        assert made.is_contiguous()
        assert torch.equal(made, expected)


def test_a_gathered_batch_is_one_kernel_that_nothing_waits_for(held: Tensor) -> None:
    """The device that holds no values stands for a GPU here: what it does is one copy of indices, and one indexing."""
    framing, there = Framing(14, 9, flip=True), held.to("meta")
    with never_waiting(), _Kernels() as kernels:
        made = framing.batch(there, [0, 3], rngs(2))
    assert (made.device.type, made.shape) == ("meta", (2, 4, 9, 9))
    assert kernels.names == ["_to_copy", "index"]


class _Kernels(TorchDispatchMode):
    """Notes the operations that give the meta device work."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and result.device.type == "meta" and not func.is_view:
            self.names.append(func.overloadpacket.__name__)
        return result


@pytest.fixture
def folders(make_pictures: Callable[..., None], tmp_path: Path) -> Path:
    for folder in ("trainA", "trainB", "testA", "testB", "classes/ant", "classes/bee"):
        make_pictures(folder, ["1.png", "2.png", "3.png"])
    return tmp_path


SIZES = {"load_px": 14, "crop_px": 12}
DATASETS: dict[str, Callable[..., Dataset]] = {
    "unpaired": lambda root, cache: UnpairedFolders(root, cache=cache, channels_b=1, **SIZES),
    "paired": lambda root, cache: PairedFolders(root, "two_folders", cache=cache, channels_a=1, **SIZES),
    "image": lambda root, cache: ImageFolder(root / "classes", cache=cache, **SIZES),
    "class": lambda root, cache: ClassFolders(root / "classes", classes=2, cache=cache, **SIZES),
    "shapes": lambda root, cache: Shapes(size_px=16, count=5, validation=2),
}


@pytest.mark.parametrize("gathered", [False, True])
@pytest.mark.parametrize("cache", ["none", "memory"])
@pytest.mark.parametrize("name", DATASETS)
def test_batches_are_samples_bit_for_bit(
    name: str, cache: str, gathered: bool, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = DATASETS[name](folders, cache)
    if gathered and cache == "memory":  # as where the pictures lie on a GPU
        monkeypatch.setattr(Framing, "batch", Framing.gather)
    for samples in filter(None, (dataset.train(), dataset.validation())):
        indices = [len(samples) - 1, 0, 1, 0]
        ours, theirs = samples.batch(indices, rngs(4)), Samples.batch(samples, indices, rngs(4))
        assert ours.keys() == theirs.keys()
        for field, value in ours.items():
            assert value.dtype == theirs[field].dtype
            assert torch.equal(value, theirs[field])
            assert images.to_float(value).is_contiguous()  # one layout, whatever made it: convolutions round by it
