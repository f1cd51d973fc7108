"""The network that judges an image at several sizes, and shows what it looked at."""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from ganforge_pix2pix.layers import Count, Norm, draw_weights, norm_layer

WIDEST = 512


class Verdicts(NamedTuple):
    """What a multi-scale discriminator returns, from the full size down."""

    logits: list[Tensor]
    """One map `[N, 1, h, w]` a scale, high where the image looks real."""
    features: list[Tensor]
    """The activations `[N, C, h, w]` behind it: `layers + 1` a scale, all scales in one list."""


class MultiscaleDiscriminator(nn.Module):
    """pix2pixHD's discriminator: a PatchGAN for each level of an image pyramid, each with weights of its own.

    Wang et al. 2018, section 3.2, https://arxiv.org/abs/1711.11585. Each level halves the one before by averaging 3x3
    pixels. The patches are 70 pixels with 3 layers: at half the size they cover 140 of the image.

    Args:
        scales: levels of the pyramid; the paper judges images of 2048x1024 at 3, its reference at 2 by default.
        layers: convolutions that halve the size; two that do not follow.
        channels: channels after the first convolution; they double with each, up to 512.
        in_channels: channels of what is judged: of a condition and an image together, where it is conditional.
        norm: normalisation after convolutions, except the first and the last.
    """

    def __init__(
        self,
        scales: Count = 2,
        layers: Count = 3,
        channels: Count = 64,
        in_channels: Count = 3,
        norm: Norm = "instance",
    ) -> None:
        super().__init__()
        self.scales = nn.ModuleList(PatchJudge(layers, channels, in_channels, norm) for _ in range(scales))
        draw_weights(self)

    def forward(self, images: Tensor) -> Verdicts:
        """Judge images `[N, in_channels, H, W]` in `[-1, 1]`.

        Returns:
            Logits, of `[N, 1, H / 2 ** layers + 3, W / 2 ** layers + 3]` at full size, and features.
        """
        verdicts = Verdicts([], [])
        for level, judge in enumerate(self.scales):
            if level:
                images = F.avg_pool2d(images, 3, stride=2, padding=1, count_include_pad=False)
            logits, features = judge(images)
            verdicts.logits.append(logits)
            verdicts.features.extend(features)
        return verdicts


class PatchJudge(nn.Module):
    """A PatchGAN (Isola et al. 2017) that returns its activations beside its logits, and pads by 2 on all sides."""

    def __init__(self, layers: int, channels: int, in_channels: int, norm: Norm) -> None:
        super().__init__()
        first = nn.Conv2d(in_channels, channels, 4, stride=2, padding=2)
        stages = [nn.Sequential(first, nn.LeakyReLU(0.2))]
        width = channels
        for layer in range(1, layers + 1):
            wider = min(2 * width, WIDEST)
            conv = nn.Conv2d(width, wider, 4, stride=2 if layer < layers else 1, padding=2)
            stages.append(nn.Sequential(conv, norm_layer(norm, wider), nn.LeakyReLU(0.2)))
            width = wider
        self.stages = nn.ModuleList(stages)
        self.verdict = nn.Conv2d(width, 1, 4, padding=2)

    def forward(self, x_NCHW: Tensor) -> tuple[Tensor, list[Tensor]]:
        features = []
        for stage in self.stages:
            x_NCHW = stage(x_NCHW)
            features.append(x_NCHW)
        return self.verdict(x_NCHW), features
