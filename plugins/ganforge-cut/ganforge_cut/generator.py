"""The network that translates, and whose first half tells patches apart."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated, NamedTuple

from pydantic import Field
from torch import Tensor, nn

from ganforge_cut.blur import BlurDown, BlurUp
from ganforge_cut.initialisers import Gain, Initialiser, initialise
from ganforge_cut.published import Options, Weights, generator_options

Count = Annotated[int, Field(ge=1)]
Layer = Annotated[int, Field(ge=0)]


class Translation(NamedTuple):
    """What a generator makes of images."""

    image: Tensor
    """`[N, out_channels, H, W]` in `[-1, 1]`."""
    features: list[Tensor]
    """What `Generator.encode` gives for the same images."""


class Generator(nn.Module):
    """CUT's generator: two halvings, residual blocks, two doublings; its first half is the encoder of patches.

    Park et al. 2020, section 3, https://arxiv.org/abs/2007.15651, on Johnson et al. 2016,
    https://arxiv.org/abs/1603.08155. Modules are numbered as in the public reference
    (github.com/taesungp/contrastive-unpaired-translation), so that its weights load as they are.

    Args:
        channels: channels at full size; the residual blocks have four times as many.
        blocks: residual blocks.
        layers: the modules whose outputs are features, in ascending order. 0 is the padded image, 4 and 8 are the
            convolutions of the two halvings, 12 is the first residual block; without `antialias` these are 0, 4, 7
            and 10.
        antialias: halve and double behind a blur (Zhang 2019) rather than by strided convolutions.
        in_channels: channels of the images it is given.
        out_channels: channels of the images it returns.
        init: what the first weights are drawn from; biases start at 0.
        init_gain: scale for `xavier`, standard deviation for `normal`.

    Raises:
        ValueError: `layers` are not in ascending order, or go beyond the last residual block.
    """

    def __init__(
        self,
        channels: Count = 64,
        blocks: Count = 9,
        layers: Annotated[tuple[Layer, ...], Field(min_length=1)] = (0, 4, 8, 12, 16),
        antialias: bool = True,
        in_channels: Count = 3,
        out_channels: Count = 3,
        init: Initialiser = "xavier",
        init_gain: Gain = 0.02,
    ) -> None:
        super().__init__()
        encoder: list[nn.Module] = [nn.ReflectionPad2d(3), *_activated(nn.Conv2d(in_channels, channels, 7))]
        for width in (channels, 2 * channels):
            encoder += _halving(width, antialias)
        encoder += [ResnetBlock(4 * channels) for _ in range(blocks)]
        decoder = [module for width in (2 * channels, channels) for module in _doubling(width, antialias)]
        decoder += [nn.ReflectionPad2d(3), nn.Conv2d(channels, out_channels, 7), nn.Tanh()]
        self.model = nn.Sequential(*encoder, *decoder)
        self.layers = layers
        if layers[-1] >= len(encoder):
            raise ValueError(f"layer {layers[-1]} is not in the encoder; its layers are 0 to {len(encoder) - 1}")
        if any(earlier >= later for earlier, later in pairwise(layers)):
            raise ValueError(f"the layers {list(layers)} are not in ascending order")
        initialise(self, init, init_gain)

    @classmethod
    def recognise(cls, weights: Weights) -> tuple[Options, Weights] | None:
        """The options that published weights belong to, and the weights; None for those of anything else."""
        options = generator_options(weights)
        return (options, weights) if options else None

    def forward(self, images: Tensor) -> Translation:
        """Translate images.

        Args:
            images: `[N, in_channels, H, W]` in `[-1, 1]`; H and W divisible by 4, or the result is larger: each side
                grows to the next multiple.

        Returns:
            The translated images, and the features of `images`.
        """
        return self._run(self.model, images)

    def encode(self, images: Tensor) -> list[Tensor]:
        """The outputs of `layers`, each `[N, C, h, w]`, for images `[N, in_channels, H, W]`. The rest does not run."""
        return self._run(self.model[: self.layers[-1] + 1], images).features

    def _run(self, modules: Iterable[nn.Module], x_NCHW: Tensor) -> Translation:
        features = []
        for number, module in enumerate(modules):
            x_NCHW = module(x_NCHW)
            if number in self.layers:
                features.append(x_NCHW)
        return Translation(x_NCHW, features)


class ResnetBlock(nn.Module):
    """Two convolutions and a shortcut past them, without an activation after the sum (Johnson et al. 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        first, second = (nn.Conv2d(channels, channels, 3) for _ in range(2))
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1), *_activated(first), nn.ReflectionPad2d(1), second, nn.InstanceNorm2d(channels)
        )

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return x_NCHW + self.conv_block(x_NCHW)


def _activated(conv: nn.Conv2d | nn.ConvTranspose2d) -> list[nn.Module]:
    # The norm cancels the convolution's bias, but features are taken in front of it, and published weights contain it.
    return [conv, nn.InstanceNorm2d(conv.out_channels), nn.ReLU()]


def _halving(width: int, antialias: bool) -> list[nn.Module]:
    """From `width` channels to twice as many, of half the size."""
    if antialias:
        return [*_activated(nn.Conv2d(width, 2 * width, 3, padding=1)), BlurDown(2 * width)]
    return _activated(nn.Conv2d(width, 2 * width, 3, stride=2, padding=1))


def _doubling(width: int, antialias: bool) -> list[nn.Module]:
    """From twice `width` channels to `width`, of double the size."""
    if antialias:
        return [BlurUp(2 * width), *_activated(nn.Conv2d(2 * width, width, 3, padding=1))]
    return _activated(nn.ConvTranspose2d(2 * width, width, 3, stride=2, padding=1, output_padding=1))
