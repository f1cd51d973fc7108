"""Tiles with the whole picture's statistics give the whole picture's result, in less memory."""

from __future__ import annotations

import errno
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from translation.pictures import scenery

from ganforge import images
from ganforge.errors import EnvironmentFault
from ganforge.inference.tiling import TOLERANCE, Tiling, Untileable
from ganforge.inference.tiling.grid import Axis, Grid
from ganforge.inference.tiling.norms import Sums
from ganforge_cyclegan.generators import ResnetGenerator, UnetGenerator
from ganforge_munit.layers import adaptive_instance_norm

IN_FILES = (0.25, 0)
ALL_KEPT = (1.0, 2**33)
NOTHING_KEPT = (0.0, 0)


def whole(function: Callable[[Tensor], Tensor], picture: Tensor) -> Tensor:
    with torch.inference_mode():
        return function(picture)


def plain(function: Callable[[Tensor], Tensor], picture: Tensor, tile: int, halo: int) -> Tensor:
    """Every tile, with its surroundings, as if it were a picture of its own."""
    grid = Grid(*(Axis.cut(side, tile, halo, 4) for side in picture.shape[2:]))
    made = torch.empty_like(picture)
    for place in grid.places():
        ((top, bottom), (left, right)), ((above, below), (before, behind)) = grid.inner(place), grid.outer(place)
        tile_made = whole(function, picture[:, :, above:below, before:behind])
        inside = tile_made[:, :, top - above : bottom - above, left - before : right - before]
        made[:, :, top:bottom, left:right] = inside
    return made


@pytest.fixture(scope="module")
def generator() -> nn.Module:
    torch.manual_seed(0)
    return ResnetGenerator(channels=8, blocks=1, init="kaiming").eval()


@pytest.fixture(scope="module")
def tiling(generator: nn.Module) -> Tiling:
    return Tiling(generator, 3)


def test_a_large_picture_in_tiles_is_as_it_is_whole_and_plain_tiles_are_not(
    generator: nn.Module, tiling: Tiling
) -> None:
    picture = scenery(512, 512)
    expected = whole(generator, picture)
    assert (tiling(picture, 128) - expected).abs().max() < TOLERANCE / 50
    assert (plain(generator, picture, 128, 32) - expected).abs().max() > 100 * TOLERANCE


@pytest.mark.parametrize("size", [(130, 203), (64, 300), (129, 96)], ids=str)
def test_any_size_and_any_proportions(generator: nn.Module, tiling: Tiling, size: tuple[int, int]) -> None:
    """Sides that the network rounds up, and pictures of one row of tiles."""
    picture = scenery(*size)
    made, expected = tiling(picture, 64), whole(generator, picture)
    assert made.shape == expected.shape
    assert (made - expected).abs().max() < TOLERANCE / 50


@pytest.mark.parametrize("kept", [IN_FILES, ALL_KEPT, NOTHING_KEPT], ids=["files", "all", "nothing"])
def test_what_is_kept_and_where_changes_nothing(generator: nn.Module, kept: tuple[float, int]) -> None:
    picture = scenery(136, 132)
    made = Tiling(generator, 3, kept=kept)(picture, 64)
    assert (made - whole(generator, picture)).abs().max() < TOLERANCE / 50


class Peak(TorchDispatchMode):
    """The bytes of all tensors that are alive at once, at most."""

    def __init__(self) -> None:
        super().__init__()
        self.alive = self.most = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if type(tensor) is Tensor and tensor.device.type == "cpu":
                self._note(tensor.untyped_storage())
        return out

    def _note(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.alive += size
        self.most = max(self.most, self.alive)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.alive -= size


def test_memory_is_under_a_quarter(generator: nn.Module) -> None:
    """And what is kept in files does not count: it lies on a disk."""
    picture = images.to_uint8(scenery(640, 640))
    tiling = Tiling(generator, 3, kept=IN_FILES)
    peaks = []
    for work in (
        lambda: images.to_uint8(whole(generator, images.to_float(picture))),
        lambda: tiling(picture, 96, images.to_float, images.to_uint8),
    ):
        with Peak() as peak:
            work()
        peaks.append(peak.most)
    assert peaks[0] > 2 * 8 * 640**2 * 4  # two maps of the full size are alive at once
    assert peaks[1] < peaks[0] / 4


def test_bytes_in_bytes_out_and_how_far_it_is(generator: nn.Module, tiling: Tiling) -> None:
    picture = images.to_uint8(scenery(150, 150))
    told: list[float] = []
    made = tiling(picture, 64, images.to_float, images.to_uint8, told.append)
    expected = images.to_uint8(whole(generator, images.to_float(picture)))[:, :, :150, :150]
    assert made.dtype == torch.uint8
    assert (made[:, :, :150, :150].int() - expected.int()).abs().max() <= 1
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1)


# Other networks than the one above


class Grouped(nn.Module):
    """Group norm, activations in place, and a shortcut of the picture itself."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.LeakyReLU(0.2, inplace=True))
        self.last = nn.Conv2d(8, 3, 5, padding=2, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        y = self.layers(x)
        y += 1
        return torch.tanh(self.last(y) + x)


class Styled(nn.Module):
    """Adaptive norms with a style from noise, and doublings by interpolation."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 4, 2, 1), nn.Conv2d(6, 3, 3, padding=1)
        self.style = nn.Linear(5, 12)

    def forward(self, x: Tensor) -> Tensor:
        style = self.style(torch.ones(len(x), 5, device=x.device))
        y = F.relu(adaptive_instance_norm(self.first(x), style))
        return torch.tanh(self.second(F.interpolate(y, scale_factor=2, mode="bilinear")))


class Labelled(nn.Module):
    """A label as maps beside the picture, written into a tensor of zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(5, 3, 3, padding=1), nn.InstanceNorm2d(3, affine=True)
        nn.init.normal_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        label = x.new_zeros(len(x), 2)
        label[:, 1] = 1
        maps = label[:, :, None, None].expand(-1, -1, *x.shape[2:])
        return torch.tanh(self.norm(self.conv(torch.cat((x, maps), 1))))


def four_times_as_large() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 48, 3, padding=1), nn.InstanceNorm2d(48), nn.PixelShuffle(4), nn.Tanh())


NETWORKS = {
    "grouped": Grouped,
    "styled": Styled,
    "labelled": Labelled,
    "larger": four_times_as_large,
    "batch norm": lambda: ResnetGenerator(channels=4, blocks=1, norm="batch"),
    "no norm": lambda: nn.Conv2d(3, 1, 9, padding=4),
    "skips": lambda: UnetGenerator(downs=5, channels=4),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_other_networks(name: str) -> None:
    torch.manual_seed(1)
    network = NETWORKS[name]().eval()
    picture = scenery(192, 160)
    made, expected = Tiling(network, 3)(picture, 64), whole(network, picture)
    assert made.shape == expected.shape
    assert (made - expected).abs().max() < TOLERANCE / 50


def test_in_16_bits_the_mean_is_the_same(generator: nn.Module) -> None:
    def low(picture: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return generator(picture)

    picture = scenery(160, 160)
    made = Tiling(low, 3, exact=False)(picture, 64)
    assert made.dtype == torch.bfloat16
    expected, exact = whole(low, picture).float(), whole(generator, picture)
    # Not further from it than that is from the exact result: no more than rounding.
    assert (made.float() - expected).abs().mean() < 1.2 * (expected - exact).abs().mean() < 2e-2


class Attention(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        flat = F.avg_pool2d(x, 8).flatten(2).transpose(1, 2)
        seen = F.scaled_dot_product_attention(flat, flat, flat).transpose(1, 2)
        return x + seen.unflatten(2, (x.shape[2] // 8, -1)).repeat_interleave(8, 2).repeat_interleave(8, 3)


class Excited(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * F.adaptive_avg_pool2d(x, 1).sigmoid()


class Placed(nn.Module):
    """It knows where a pixel is."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.linspace(0, 1, x.shape[3])


class Choosing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.mean() > 0 else x


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (Attention(), "its scaled_dot_product_attention looks at more than 96 pixels around"),
        (Excited(), "its adaptive_avg_pool2d looks at more than 96 pixels around"),
        (Placed(), "what it makes of a pixel depends on where in the picture that is"),
        (Choosing(), "it could not be followed"),
        (nn.Conv2d(3, 3, 5, padding=200, dilation=100), "its conv2d looks at more than 96 pixels around"),
        (
            UnetGenerator(downs=8, channels=2).eval(),
            "with a picture of 288 x 288 pixels it could not be followed: Sizes",
        ),
        (nn.Sequential(nn.AvgPool2d(9), nn.Upsample(scale_factor=9)), "it makes maps 9 times smaller than the picture"),
        (
            nn.Sequential(nn.ZeroPad2d(5), nn.InstanceNorm2d(3), nn.ZeroPad2d(-5)),
            "it normalises or returns maps that are larger or smaller than the picture by a margin",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_what_cannot_be_tiled_is_refused_with_the_reason(network: nn.Module, reason: str, capfd: Any) -> None:
    with pytest.raises(Untileable) as refused:
        Tiling(network, 3)
    assert reason in str(refused.value)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("network", "halo"),
    [
        (nn.Conv2d(3, 3, 7, padding=3), 3),
        (nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 5, padding=2)), 3),
        (nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.InstanceNorm2d(3), nn.Conv2d(3, 3, 5, padding=2)), 3),
        (nn.Conv2d(3, 3, 1), 0),
    ],
    ids=["7", "3 and 5", "a norm between", "1"],
)
def test_halos_are_as_wide_as_the_computation_looks(network: nn.Module, halo: int) -> None:
    assert Tiling(network, 3).stages.halo == halo


# The pieces


def test_statistics_of_pieces_are_those_of_the_whole() -> None:
    x = torch.randn(1, 6, 40, 30) * torch.arange(1, 7).view(1, 6, 1, 1) + 1000
    sums = Sums()
    for piece in (x[:, :, :7], x[:, :, 7:, :1], x[:, :, :0], x[:, :, 7:, 1:]):
        sums.add(piece)
    wide = x.double()
    found = sums.statistics(None)
    assert torch.allclose(found.mean, wide.mean((0, 2, 3)), rtol=1e-6)
    assert torch.allclose(found.variance, wide.var((0, 2, 3), correction=0), rtol=1e-4)
    grouped = sums.statistics(3)
    pairs = wide.view(3, -1)
    assert torch.allclose(grouped.mean, pairs.mean(1).repeat_interleave(2), rtol=1e-6)
    assert torch.allclose(grouped.variance, pairs.var(1, correction=0).repeat_interleave(2), rtol=1e-4)


@pytest.mark.parametrize(("length", "tile", "stride"), [(512, 128, 4), (515, 128, 4), (7, 64, 4), (1000, 64, 32)])
def test_tiles_are_even_and_begin_at_multiples(length: int, tile: int, stride: int) -> None:
    axis = Axis.cut(length, tile, 12, stride)
    assert axis.edges[0] == 0
    assert axis.edges[-1] == length
    sides = [after - before for before, after in zip(axis.edges, axis.edges[1:], strict=False)]
    assert all(edge % stride == 0 for edge in axis.edges[:-1])
    assert max(sides) - min(sides) <= 2 * stride
    assert max(sides) <= tile + stride


def test_a_full_disk_is_told(generator: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    from ganforge.inference.tiling import kept_maps as mosaic

    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    tiling = Tiling(generator, 3, kept=IN_FILES)
    monkeypatch.setattr(mosaic.tempfile, "TemporaryFile", full)
    with pytest.raises(EnvironmentFault, match=r"cannot keep 0\.0 GiB in .*: No space left on device\n.*TMPDIR"):
        tiling(scenery(96, 96), 64)
