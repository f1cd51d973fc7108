"""The network that tells real from fake, and one domain from another."""

from typing import Annotated, NamedTuple

from pydantic import Field
from torch import Tensor, nn


class Verdict(NamedTuple):
    """What StarGAN's discriminator thinks of a batch of images."""

    logits: Tensor
    """One a patch, `[N, 1, h, w]`, high where it looks real."""
    classes: Tensor
    """Logits of the domains, `[N, classes]`."""


class Discriminator(nn.Module):
    """StarGAN's discriminator: a PatchGAN with a second head that sees the whole image and names its domain.

    Choi et al. 2018, table 5, https://arxiv.org/abs/1711.09020. It has no norm, as WGAN-GP wants. Weights have the
    names of the public reference (github.com/yunjey/stargan).

    Args:
        classes: how many domains there are, or attributes.
        image_px: the side of the images, which are squares: the second head is as large as what remains of them.
        channels: channels after the first convolution; they double with each.
        layers: convolutions that halve the size.
        in_channels: channels of the images.

    Raises:
        ValueError: nothing of the images would be left.
    """

    def __init__(
        self,
        classes: Annotated[int, Field(ge=1)],
        image_px: Annotated[int, Field(ge=1)] = 128,
        channels: Annotated[int, Field(ge=1)] = 64,
        layers: Annotated[int, Field(ge=1)] = 6,
        in_channels: Annotated[int, Field(ge=1)] = 3,
    ) -> None:
        if image_px < 2**layers:
            raise ValueError(f"{layers} layers halve images of {image_px} pixels to nothing: take fewer layers")
        super().__init__()
        self.image_px = image_px
        modules: list[nn.Module] = []
        width, wider = in_channels, channels
        for _ in range(layers):
            modules += [nn.Conv2d(width, wider, 4, stride=2, padding=1), nn.LeakyReLU(0.01)]
            width, wider = wider, 2 * wider
        self.main = nn.Sequential(*modules)
        self.conv1 = nn.Conv2d(width, 1, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(width, classes, image_px // 2**layers, bias=False)

    def forward(self, images: Tensor) -> Verdict:
        """Judge images `[N, in_channels, image_px, image_px]` in `[-1, 1]`.

        Returns:
            `logits` `[N, 1, h, h]`, where h is `image_px / 2 ** layers`, and `classes` `[N, classes]`.

        Raises:
            ValueError: the images have another size.
        """
        if images.shape[2:] != (self.image_px, self.image_px):
            height, width = images.shape[2:]
            raise ValueError(f"images of {height} x {width} pixels, where image_px is {self.image_px}")
        features_NCHW = self.main(images)
        return Verdict(self.conv1(features_NCHW), self.conv2(features_NCHW).flatten(1))
