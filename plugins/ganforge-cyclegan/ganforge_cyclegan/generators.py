"""Networks that map images of one domain to images of another."""

from __future__ import annotations

from collections import OrderedDict
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from ganforge_cyclegan.initialisers import Gain, Initialiser, initialise
from ganforge_cyclegan.layers import Count, Norm, Padding, Probability, bias_before, norm_layer, same_conv3x3
from ganforge_cyclegan.published import Options, Weights, completed, resnet_options, unet_options


class ResnetGenerator(nn.Module):
    """CycleGAN's generator: two halvings, residual blocks, two doublings.

    Johnson et al. 2016, https://arxiv.org/abs/1603.08155; Zhu et al. 2017, https://arxiv.org/abs/1703.10593.

    Args:
        channels: channels at full size; the residual blocks have four times as many.
        blocks: residual blocks; the paper takes 6 for images of 128 pixels, 9 for 256 and more.
        in_channels: channels of the images it is given.
        out_channels: channels of the images it returns.
        norm: normalisation after every convolution but the last.
        dropout: probability of dropping an activation in the residual blocks; 0 leaves the layer out.
        padding: padding of the residual blocks' convolutions; the first and the last always reflect.
        init: what the first weights are drawn from; biases start at 0.
        init_gain: standard deviation for `normal`, scale for `xavier` and `orthogonal`; `kaiming` ignores it.
    """

    def __init__(
        self,
        channels: Count = 64,
        blocks: Annotated[int, Field(ge=0)] = 9,
        in_channels: Count = 3,
        out_channels: Count = 3,
        norm: Norm = "instance",
        dropout: Probability = 0.0,
        padding: Padding = "reflect",
        init: Initialiser = "normal",
        init_gain: Gain = 0.02,
    ) -> None:
        super().__init__()
        bias = bias_before(norm)
        stem = nn.Conv2d(in_channels, channels, 7, bias=bias)
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), stem, norm_layer(norm, channels), nn.ReLU()]
        for width in (channels, 2 * channels):
            halve = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=bias)
            layers += [halve, norm_layer(norm, 2 * width), nn.ReLU()]
        layers += [ResnetBlock(4 * channels, norm, dropout, padding) for _ in range(blocks)]
        for width in (2 * channels, channels):
            double = nn.ConvTranspose2d(2 * width, width, 3, stride=2, padding=1, output_padding=1, bias=bias)
            layers += [double, norm_layer(norm, width), nn.ReLU()]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(channels, out_channels, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)
        initialise(self, init, init_gain)

    @classmethod
    def recognise(cls, weights: Weights) -> tuple[Options, Weights] | None:
        """The options that published weights belong to, and all the weights; None for those of anything else."""
        return completed(cls, resnet_options(weights), weights)

    def forward(self, images: Tensor) -> Tensor:
        """Translate images.

        Args:
            images: `[N, in_channels, H, W]` in `[-1, 1]`; H and W divisible by 4, or the result is larger: each side
                grows to the next multiple.

        Returns:
            `[N, out_channels, H, W]` in `[-1, 1]`.
        """
        return self.model(images)


class ResnetBlock(nn.Module):
    """Two convolutions and a shortcut past them, without an activation after the sum (Johnson et al. 2016)."""

    def __init__(self, channels: int, norm: Norm, dropout: float, padding: Padding) -> None:
        super().__init__()
        bias = bias_before(norm)
        layers = [*same_conv3x3(channels, padding, bias), norm_layer(norm, channels), nn.ReLU()]
        if dropout:
            layers.append(nn.Dropout(dropout))
        layers += [*same_conv3x3(channels, padding, bias), norm_layer(norm, channels)]
        self.conv_block = nn.Sequential(*layers)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return x_NCHW + self.conv_block(x_NCHW)


class UnetGenerator(nn.Module):
    """pix2pix's generator: halvings down to the bottleneck, and back up with a skip connection at every size.

    Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597; Isola et al. 2017, https://arxiv.org/abs/1611.07004.

    Args:
        downs: halvings; 8 brings 256 pixels down to one (the reference's unet_256), 7 does so for 128 (unet_128).
        channels: channels after the first halving; they double with each of the next three.
        in_channels: channels of the images it is given.
        out_channels: channels of the images it returns.
        norm: normalisation after convolutions, except the first, the last and the one into the bottleneck.
        dropout: probability of dropping an activation on the way up, in the `downs - 5` levels next to the bottleneck;
            0 leaves the layers out.
        init: what the first weights are drawn from; biases start at 0.
        init_gain: standard deviation for `normal`, scale for `xavier` and `orthogonal`; `kaiming` ignores it.
    """

    def __init__(
        self,
        downs: Annotated[int, Field(ge=5)] = 8,
        channels: Count = 64,
        in_channels: Count = 3,
        out_channels: Count = 3,
        norm: Norm = "instance",
        dropout: Probability = 0.0,
        init: Initialiser = "normal",
        init_gain: Gain = 0.02,
    ) -> None:
        super().__init__()
        widest = 8 * channels
        block = SkipBlock(widest, widest, None, norm)
        for _ in range(downs - 5):
            block = SkipBlock(widest, widest, block, norm, dropout)
        for width in (4 * channels, 2 * channels, channels):
            block = SkipBlock(width, 2 * width, block, norm)
        halve = nn.Conv2d(in_channels, channels, 4, stride=2, padding=1, bias=bias_before(norm))
        double = nn.ConvTranspose2d(2 * channels, out_channels, 4, stride=2, padding=1)
        outside = nn.Sequential(halve, block, nn.ReLU(), double, nn.Tanh())
        # The reference's outermost block is a module of its own: its weights are called `model.model.0.weight`.
        self.model = nn.Sequential(OrderedDict(model=outside))
        initialise(self, init, init_gain)

    @classmethod
    def recognise(cls, weights: Weights) -> tuple[Options, Weights] | None:
        """The options that published weights belong to, and all the weights; None for those of anything else."""
        return completed(cls, unet_options(weights), weights)

    def forward(self, images: Tensor) -> Tensor:
        """Translate images.

        Args:
            images: `[N, in_channels, H, W]` in `[-1, 1]`; H and W divisible by `2 ** downs`.

        Returns:
            `[N, out_channels, H, W]` in `[-1, 1]`.
        """
        return self.model(images)


class SkipBlock(nn.Module):
    """One level of a U-Net: halve, run the levels `inside`, double, and pass the input on beside the result.

    From `[N, outer, H, W]` to `[N, 2 * outer, H, W]`, the first half of the channels being the input.
    """

    def __init__(self, outer: int, inner: int, inside: SkipBlock | None, norm: Norm, dropout: float = 0.0) -> None:
        super().__init__()
        bias = bias_before(norm)
        layers: list[nn.Module] = [nn.LeakyReLU(0.2), nn.Conv2d(outer, inner, 4, stride=2, padding=1, bias=bias)]
        below = inner
        if inside is not None:  # the bottleneck may be one pixel, and normalising that would leave nothing of it
            layers += [norm_layer(norm, inner), inside]
            below = 2 * inner
        double = nn.ConvTranspose2d(below, outer, 4, stride=2, padding=1, bias=bias)
        layers += [nn.ReLU(), double, norm_layer(norm, outer)]
        if dropout:
            layers.append(nn.Dropout(dropout))
        self.model = nn.Sequential(*layers)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        # The level above begins its way up with a ReLU: it makes no difference that the reference, which activates in
        # place, passes on its input leaky.
        return torch.cat([x_NCHW, self.model(x_NCHW)], dim=1)
