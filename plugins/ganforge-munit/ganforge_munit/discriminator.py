"""The network that judges an image at several sizes."""

import torch.nn.functional as F
from torch import Tensor, nn

from ganforge_munit.layers import Count, conv


class Discriminator(nn.Module):
    """MUNIT's discriminator: a small one without any norm for each level of an image pyramid.

    Huang et al. 2018, section 5.1 and appendix B, https://arxiv.org/abs/1804.04732. Each level halves the one before by
    averaging 3x3 pixels. With 4 layers a logit sees 46 pixels of its level, at the third about 184 of the image. Its
    losses sum over the levels, as `pix2pix.multiscale_lsgan_g` and `pix2pix.multiscale_lsgan_d` do.

    Args:
        scales: levels of the pyramid.
        layers: convolutions that halve the size.
        channels: channels after the first convolution; they double with each.
        in_channels: channels of the images.
    """

    def __init__(self, scales: Count = 3, layers: Count = 4, channels: Count = 64, in_channels: Count = 3) -> None:
        super().__init__()
        self.scales = nn.ModuleList(_judge(layers, channels, in_channels) for _ in range(scales))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0.0, 0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Judge images `[N, in_channels, H, W]` in `[-1, 1]`.

        Returns:
            A map of logits for each level, `[N, 1, H / 2 ** layers, W / 2 ** layers]` and smaller ones, high where the
            image looks real.
        """
        verdicts = []
        for level, judge in enumerate(self.scales):
            if level:
                images = F.avg_pool2d(images, 3, stride=2, padding=1, count_include_pad=False)
            verdicts.append(judge(images))
        return verdicts


def _judge(layers: int, channels: int, in_channels: int) -> nn.Sequential:
    modules: list[nn.Module] = []
    width, wider = in_channels, channels
    for _ in range(layers):
        modules += [conv(width, wider, 4, stride=2), nn.LeakyReLU(0.2)]
        width, wider = wider, 2 * wider
    return nn.Sequential(*modules, nn.Conv2d(width, 1, 1))
