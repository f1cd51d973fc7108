"""What pictures tell in one number. Pictures are float `[N, C, H, W]` in `[-1, 1]`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ganforge.images import to_grey

GREY_LEVEL = 2 / 255
"""The smallest difference that a file of 8 bits keeps."""
SMALL_PX = 16
CUT_PX = 128
"""The side of the middle that is cut out of larger pictures: it is enough to know their spectrum by."""
SMALLEST_SPECTRUM_PX = 32
"""The smallest side whose spectrum counts: below it, a frequency has too few neighbours to compare it with."""


def correlation(pictures: Tensor, others: Tensor) -> Tensor:
    """How brightness goes with brightness, pixel by pixel: `[N]` from -1 (a negative) to 1 (the same)."""
    one, other = (_centred(_luma(each)).flatten(1) for each in (pictures, others))
    return F.cosine_similarity(one, other)


def spread(pictures: Tensor) -> float:
    """How much pictures differ from each other: the mean distance of two, both shrunk to 16 x 16."""
    return float(torch.pdist(_small(pictures)).mean())


def distance(pictures: Tensor, others: Tensor) -> float:
    """How far two sets of pictures are apart: about 0 where they could be one set, 1 where two pictures from different
    sets differ twice as much as two of one.

    It is the energy distance (Szekely and Rizzo 2013, https://doi.org/10.1016/j.jspi.2013.03.018), free of bias and in
    units of the differences within the sets: of the pictures shrunk to 16 x 16, or of their energies octave by octave,
    whichever is larger. The first sees colours and layout, the second blur and grain.
    """
    return max(_energy_distance(view(pictures), view(others)) for view in (_small, _octaves))


def regularity(pictures: Tensor) -> tuple[float, float]:
    """What repeats every two or four pixels, across, down or both: a peak in the spectrum of brightness.

    Returns:
        How many times higher the peak stands than what is next to it on its row and column, where edges have their
        energy too; and its share of the whole energy: both of the frequency that stands out most.
    """
    spectrum = _spectrum(_cut(_luma(pictures)))
    return max(_peak(spectrum, down, across) for down in range(3) for across in range(3) if down or across)


def _luma(pictures: Tensor) -> Tensor:
    """The brightness of pictures: `[N, H, W]`."""
    return (to_grey(pictures) if pictures.shape[1] == 3 else pictures.mean(1, keepdim=True))[:, 0]


def _centred(luma: Tensor) -> Tensor:
    return luma - luma.mean((1, 2), keepdim=True)


def _cut(pictures: Tensor) -> Tensor:
    """The middle of `[..., H, W]`, of sides that 4 divides."""
    for dim in (-1, -2):
        length = min(CUT_PX, pictures.shape[dim] // 4 * 4)
        pictures = pictures.narrow(dim, (pictures.shape[dim] - length) // 2, length)
    return pictures


def _small(pictures: Tensor) -> Tensor:
    """The pictures, shrunk, as vectors: `[N, features]`."""
    height, width = (min(SMALL_PX, side) for side in pictures.shape[2:])
    return F.adaptive_avg_pool2d(pictures, (height, width)).flatten(1)


def _octaves(pictures: Tensor) -> Tensor:
    """The logarithm of the energy in each octave: `[N, octaves]`, of what each halving of the size takes away."""
    energies = [pictures.square().mean((1, 2, 3))]
    while min(pictures.shape[2:]) >= 4:
        # Means of squares of two pixels are orthogonal to what they leave out: energies subtract.
        pictures = F.avg_pool2d(pictures[..., : pictures.shape[2] // 2 * 2, : pictures.shape[3] // 2 * 2], 2)
        energies.append(pictures.square().mean((1, 2, 3)))
    lost = torch.stack(energies, 1).diff(dim=1).neg().clamp_min(0)
    return (lost + GREY_LEVEL**2).log()


def _energy_distance(one: Tensor, other: Tensor) -> float:
    between, within = torch.cdist(one, other).mean(), (torch.pdist(one).mean() + torch.pdist(other).mean()) / 2
    return float(between / within.clamp_min(GREY_LEVEL) - 1)


def _spectrum(luma: Tensor) -> Tensor:
    """The mean energy at each frequency, `[H, W]`."""
    window = torch.hann_window(luma.shape[1])[:, None] * torch.hann_window(luma.shape[2])
    return torch.fft.fft2(_centred(luma) * window).abs().square().mean(0)


def _peak(spectrum: Tensor, down: int, across: int) -> tuple[float, float]:
    """The peak at `down` and `across` quarters of a cycle a pixel."""
    height, width = spectrum.shape
    row, column = height // 2, width // 2  # where the frequency is rolled to
    rolled = spectrum.roll((row - down * height // 4, column - across * width // 4), (0, 1))
    near = torch.tensor([-5, -4, -3, 3, 4, 5])  # beyond what the window smears a peak over
    beside = torch.cat([rolled[row + near, column], rolled[row, column + near]]).max()
    around = rolled[row - 1 : row + 2, column - 1 : column + 2].sum()
    total = spectrum.sum().clamp_min(torch.finfo(spectrum.dtype).tiny)
    return float(rolled[row, column] / beside.clamp_min(1e-9 * total)), float(around / total)
