"""The network that takes an image apart, into content and style, and puts it together again."""

from typing import NamedTuple

from torch import Tensor, nn

from ganforge_munit.layers import Count, ResidualBlock, StyledBlock, conv, draw_kaiming, layer_norm

STYLE_HALVINGS = 4


class Codes(NamedTuple):
    """What an image consists of."""

    content: Tensor
    """What stays in a translation, `[N, channels * 2 ** downs, H / 2 ** downs, W / 2 ** downs]`."""
    style: Tensor
    """What the domain leaves open, `[N, style_size]`; images from random styles come from a standard normal one."""


class Autoencoder(nn.Module):
    """MUNIT's autoencoder of one domain; content of one domain and style of another make a translation.

    Huang et al. 2018, section 5.1 and appendix B, https://arxiv.org/abs/1804.04732. The content encoder has instance
    norm, which removes style; the style encoder has no norm, which would remove what it looks for. The decoder is told
    the style by the scales and shifts of its adaptive instance norm, which an MLP makes of it.

    Args:
        style_size: numbers in a style.
        channels: channels at full size; they double with each halving.
        downs: halvings of the content encoder, and doublings of the decoder.
        blocks: residual blocks of the content encoder, and of the decoder.
        mlp_channels: width of the MLP that styles go through.
        in_channels: channels of the images.
    """

    def __init__(
        self,
        style_size: Count = 8,
        channels: Count = 64,
        downs: Count = 2,
        blocks: Count = 4,
        mlp_channels: Count = 256,
        in_channels: Count = 3,
    ) -> None:
        super().__init__()
        widest = channels * 2**downs
        self.content_encoder = _content_encoder(in_channels, channels, downs, blocks)
        self.style_encoder = _style_encoder(in_channels, channels, style_size)
        self.style_mlp = nn.Sequential(
            nn.Linear(style_size, mlp_channels),
            nn.ReLU(),
            nn.Linear(mlp_channels, mlp_channels),
            nn.ReLU(),
            nn.Linear(mlp_channels, 2 * blocks * 2 * widest),  # two norms a block, a shift and a scale a channel
        )
        self.styled_blocks = nn.ModuleList(StyledBlock(widest) for _ in range(blocks))
        self.upsampler = _upsampler(widest, downs, in_channels)
        draw_kaiming(self)

    def forward(self, images: Tensor) -> Tensor:
        """Take images `[N, in_channels, H, W]` in `[-1, 1]` apart, and put them together again."""
        return self.decode(*self.encode(images))

    def encode(self, images: Tensor) -> Codes:
        """The content and the style of images.

        Args:
            images: `[N, in_channels, H, W]` in `[-1, 1]`; H and W divisible by `2 ** downs`, and 16 or more.
        """
        return Codes(self.content_encoder(images), self.style_encoder(images))

    def decode(self, content: Tensor, style: Tensor) -> Tensor:
        """The images of this content and style.

        Args:
            content: `[N, channels * 2 ** downs, h, w]`, of this domain or of another.
            style: `[N, style_size]`, of this domain.

        Returns:
            `[N, in_channels, h * 2 ** downs, w * 2 ** downs]` in `[-1, 1]`.
        """
        styles = self.style_mlp(style).chunk(2 * len(self.styled_blocks), dim=1)
        x_NCHW = content
        for block, first, second in zip(self.styled_blocks, styles[::2], styles[1::2], strict=True):
            x_NCHW = block(x_NCHW, first, second)
        return self.upsampler(x_NCHW)


def _content_encoder(in_channels: int, channels: int, downs: int, blocks: int) -> nn.Sequential:
    layers = [conv(in_channels, channels, 7), nn.InstanceNorm2d(channels), nn.ReLU()]
    width = channels
    for _ in range(downs):
        layers += [conv(width, 2 * width, 4, stride=2), nn.InstanceNorm2d(2 * width), nn.ReLU()]
        width *= 2
    layers += [ResidualBlock(width) for _ in range(blocks)]
    return nn.Sequential(*layers)


def _style_encoder(in_channels: int, channels: int, style_size: int) -> nn.Sequential:
    layers: list[nn.Module] = [conv(in_channels, channels, 7), nn.ReLU()]
    width = channels
    for halving in range(STYLE_HALVINGS):
        wider = 2 * width if halving < 2 else width
        layers += [conv(width, wider, 4, stride=2), nn.ReLU()]
        width = wider
    layers += [nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, style_size, 1), nn.Flatten()]
    return nn.Sequential(*layers)


def _upsampler(width: int, ups: int, out_channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(ups):
        layers += [nn.Upsample(scale_factor=2), conv(width, width // 2, 5), layer_norm(width // 2), nn.ReLU()]
        width //= 2
    return nn.Sequential(*layers, conv(width, out_channels, 7), nn.Tanh())
