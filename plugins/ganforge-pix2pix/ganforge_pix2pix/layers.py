"""What pix2pixHD's networks are built of, and the options that they share.

Every convolution has a bias, whatever norm follows, and activations are never in place: after an instance norm that
costs copies.
"""

from typing import Annotated, Literal

from pydantic import Field
from torch import nn

Count = Annotated[int, Field(ge=1)]
Norm = Literal["instance", "batch"]


def norm_layer(norm: Norm, channels: int) -> nn.Module:
    """The normalisation of `channels` channels: `instance` learns nothing, `batch` a scale and a shift."""
    return nn.InstanceNorm2d(channels) if norm == "instance" else nn.BatchNorm2d(channels)


def draw_weights(network: nn.Module) -> None:
    """Draw the first weights as the reference does: normal(0, 0.02) for convolutions, normal(1, 0.02) for batch norms.

    Biases of convolutions stay as torch draws them; those of batch norms are 0.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
