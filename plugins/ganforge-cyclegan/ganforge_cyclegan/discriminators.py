"""Networks that judge whether images are real, by one logit a patch or pixel."""

from torch import Tensor, nn

from ganforge_cyclegan.initialisers import Gain, Initialiser, initialise
from ganforge_cyclegan.layers import Count, Norm, bias_before, norm_layer
from ganforge_cyclegan.published import Options, Weights, completed, patch_options, pixel_options


class PatchDiscriminator(nn.Module):
    """PatchGAN: judges overlapping patches, of 16, 34, 70, 142 or 286 pixels for 1 to 5 layers.

    Isola et al. 2017, https://arxiv.org/abs/1611.07004.

    Args:
        layers: convolutions that halve the size; two that do not follow.
        channels: channels after the first convolution; they double with each, up to eight times as many.
        in_channels: channels of the images.
        norm: normalisation after convolutions, except the first and the last.
        init: what the first weights are drawn from; biases start at 0.
        init_gain: standard deviation for `normal`, scale for `xavier` and `orthogonal`; `kaiming` ignores it.
    """

    def __init__(
        self,
        layers: Count = 3,
        channels: Count = 64,
        in_channels: Count = 3,
        norm: Norm = "instance",
        init: Initialiser = "normal",
        init_gain: Gain = 0.02,
    ) -> None:
        super().__init__()
        bias = bias_before(norm)
        modules: list[nn.Module] = [nn.Conv2d(in_channels, channels, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        width = channels
        for layer in range(1, layers + 1):
            wider = channels * min(2**layer, 8)
            stride = 2 if layer < layers else 1
            conv = nn.Conv2d(width, wider, 4, stride=stride, padding=1, bias=bias)
            modules += [conv, norm_layer(norm, wider), nn.LeakyReLU(0.2)]
            width = wider
        modules.append(nn.Conv2d(width, 1, 4, padding=1))
        self.model = nn.Sequential(*modules)
        initialise(self, init, init_gain)

    @classmethod
    def recognise(cls, weights: Weights) -> tuple[Options, Weights] | None:
        """The options that published weights belong to, and all the weights; None for those of anything else."""
        return completed(cls, patch_options(weights), weights)

    def forward(self, images: Tensor) -> Tensor:
        """Judge images `[N, in_channels, H, W]` in `[-1, 1]`.

        Returns:
            Logits `[N, 1, H / 2 ** layers - 2, W / 2 ** layers - 2]`, high where the image looks real.
        """
        return self.model(images)


class PixelDiscriminator(nn.Module):
    """PixelGAN: judges every pixel by its colour alone (Isola et al. 2017, https://arxiv.org/abs/1611.07004).

    Args:
        channels: channels after the first convolution; the second has twice as many.
        in_channels: channels of the images.
        norm: normalisation after the second convolution.
        init: what the first weights are drawn from; biases start at 0.
        init_gain: standard deviation for `normal`, scale for `xavier` and `orthogonal`; `kaiming` ignores it.
    """

    def __init__(
        self,
        channels: Count = 64,
        in_channels: Count = 3,
        norm: Norm = "instance",
        init: Initialiser = "normal",
        init_gain: Gain = 0.02,
    ) -> None:
        super().__init__()
        bias = bias_before(norm)
        self.net = nn.Sequential(
            nn.Conv2d(in_channels, channels, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(channels, 2 * channels, 1, bias=bias),
            norm_layer(norm, 2 * channels),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * channels, 1, 1, bias=bias),
        )
        initialise(self, init, init_gain)

    @classmethod
    def recognise(cls, weights: Weights) -> tuple[Options, Weights] | None:
        """The options that published weights belong to, and all the weights; None for those of anything else."""
        return completed(cls, pixel_options(weights), weights)

    def forward(self, images: Tensor) -> Tensor:
        """Judge images `[N, in_channels, H, W]` in `[-1, 1]`.

        Returns:
            Logits `[N, 1, H, W]`, high where the pixel looks real.
        """
        return self.net(images)
