"""Layers with an equalised learning rate: weights are drawn from N(0, 1) and scaled when they are used, so that Adam,
whose steps know no scale, changes all of them at one relative speed (Karras et al. 2018, section 4.1,
https://arxiv.org/abs/1710.10196)."""

import math
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganforge import traits
from ganforge_stylegan2.fir import Fir

Resize = Literal["none", "double", "halve"]


def activate(x: Tensor) -> Tensor:
    """Leaky ReLU with slope 0.2, times sqrt(2): it keeps the variance of a normal input nearly as it was."""
    return F.leaky_relu(x, 0.2) * math.sqrt(2)


def normalise(x_NC: Tensor) -> Tensor:
    """Vectors scaled to a mean square of 1 (Karras et al. 2018, section 4.2)."""
    return x_NC * (x_NC.square().mean(1, keepdim=True) + 1e-8).rsqrt()


class EqualLinear(nn.Module):
    """`[N, inputs]` to `[N, outputs]`; `speed` multiplies the learning rate, `bias` is the first bias."""

    def __init__(self, inputs: int, outputs: int, speed: float = 1.0, bias: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / speed)
        self.bias = nn.Parameter(torch.full((outputs,), bias))
        self.gain, self.speed = speed / math.sqrt(inputs), speed

    def forward(self, x_NC: Tensor) -> Tensor:
        return F.linear(x_NC, self.weight * self.gain, self.bias * self.speed)


class Activated(nn.Module):
    """A linear layer and its activation."""

    def __init__(self, inputs: int, outputs: int, speed: float = 1.0) -> None:
        super().__init__()
        self.linear = EqualLinear(inputs, outputs, speed)

    def forward(self, x_NC: Tensor) -> Tensor:
        return activate(self.linear(x_NC))


def equal_layers(widths: list[int], speed: float) -> nn.Sequential:
    """Activated layers from each width to the next."""
    return nn.Sequential(*(Activated(inputs, outputs, speed) for inputs, outputs in pairwise(widths)))


class EqualConv(nn.Module):
    """A convolution that keeps the size or halves it behind the filter; no bias of its own."""

    def __init__(self, inputs: int, outputs: int, kernel: int, resize: Resize = "none") -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.gain = 1 / math.sqrt(inputs * kernel**2)
        self.resize = resize
        self.fir = Fir()

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return resizing_conv(x_NCHW, self.weight * self.gain, self.resize, self.fir)


def resizing_conv(x_NCHW: Tensor, weight_OIkk: Tensor, resize: Resize, fir: Fir) -> Tensor:
    """A convolution with zeros around, after which or before which the image is filtered and resized.

    Returns:
        `[N, O, H, W]`, with H and W doubled or halved as `resize` says.
    """
    padding = weight_OIkk.shape[-1] // 2
    match resize:
        case "double":  # the convolution sees zeros between the pixels; the filter after it fills them in
            x_NCHW = F.conv_transpose2d(x_NCHW, weight_OIkk.transpose(0, 1), stride=2)
            return fir.blur(x_NCHW, padding=2 - padding, gain=4)
        case "halve" if padding == 0:  # a 1x1 convolution commutes with the filter: convolve the fewer pixels
            return F.conv2d(fir.shrink(x_NCHW), weight_OIkk)
        case "halve":
            return F.conv2d(fir.blur(x_NCHW, padding=1 + padding), weight_OIkk, stride=2)
        case "none":
            return F.conv2d(x_NCHW, weight_OIkk, padding=padding)


class ModulatedConv(nn.Module):
    """A convolution whose weights are scaled for each sample by its style.

    Karras et al. 2020, equations 1 and 3, https://arxiv.org/abs/1912.04958. Scaling a weight's inputs is scaling the
    input, and scaling all weights of an output is scaling the output: so the samples share one plain convolution, as in
    the reference's training. Grouped convolutions would say the same, slower when differentiated twice.

    Args:
        inputs: channels that it is given.
        outputs: channels that it returns.
        kernel: side of the weights, 1 or 3.
        style_size: length of a style.
        demodulate: divide each output by its weights' norm, which undoes the style's effect on the variance.
        resize: `double` the image's size or keep it.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        style_size: int,
        demodulate: bool = True,
        resize: Resize = "none",
    ) -> None:
        super().__init__()
        self.affine = EqualLinear(style_size, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.gain = 1 / math.sqrt(inputs * kernel**2)
        self.demodulate, self.resize = demodulate, resize
        self.fir = Fir()

    def forward(self, x_NCHW: Tensor, style_NS: Tensor) -> Tensor:
        weight_OIkk, scale_NI = self.weight * self.gain, self.affine(style_NS)
        x_NCHW = resizing_conv(x_NCHW * scale_NI[:, :, None, None], weight_OIkk, self.resize, self.fir)
        if not self.demodulate:
            return x_NCHW
        energy_NO = F.linear(scale_NI.square(), weight_OIkk.square().sum((2, 3)))
        return x_NCHW * (energy_NO + 1e-8).rsqrt()[:, :, None, None]


@traits(couples_samples=True)
class MinibatchStd(nn.Module):
    """Appends a channel with the standard deviation among the samples of a group, averaged over channels and pixels: a
    generator that repeats itself shows there (Karras et al. 2018, section 3, https://arxiv.org/abs/1710.10196).

    Args:
        group: samples that are compared; a batch that it does not divide takes the largest divisor below it.
    """

    def __init__(self, group: int) -> None:
        super().__init__()
        self.group = group

    def forward(self, x_NCHW: Tensor) -> Tensor:
        batch, _, height, width = x_NCHW.shape
        group = next(size for size in range(min(self.group, batch), 0, -1) if batch % size == 0)
        # Every (batch / group)-th sample belongs to one group, as in the reference.
        variance_MCHW = x_NCHW.unflatten(0, (group, -1)).var(0, correction=0)
        deviation_M111 = (variance_MCHW + 1e-8).sqrt().mean((1, 2, 3), keepdim=True)
        return torch.cat((x_NCHW, deviation_M111.repeat(group, 1, height, width)), dim=1)
