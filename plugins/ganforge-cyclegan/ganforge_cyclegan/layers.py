"""What generators and discriminators are built of, and the options that they share.

Every network keeps the module numbering of the public reference (github.com/junyanz/pytorch-CycleGAN-and-pix2pix), so
that its published weights load as they are. Activations are never in place: after an instance norm that costs copies.
"""

from typing import Annotated, Literal

from pydantic import Field
from torch import nn

Count = Annotated[int, Field(ge=1)]
Probability = Annotated[float, Field(ge=0, lt=1)]
Norm = Literal["instance", "batch", "none"]
Padding = Literal["reflect", "replicate", "zero"]


def norm_layer(norm: Norm, channels: int) -> nn.Module:
    """The normalisation of `channels` channels; `none` is a placeholder that keeps the numbering."""
    match norm:
        case "instance":
            return nn.InstanceNorm2d(channels, affine=False, track_running_stats=False)
        case "batch":
            return nn.BatchNorm2d(channels)
        case "none":
            return nn.Identity()


def bias_before(norm: Norm) -> bool:
    """Whether a convolution in front of `norm` has a bias.

    A batch norm brings its own. An instance norm cancels the bias, but published weights contain it. The reference
    leaves it out for `none` as well; such a network could not shift anything, so here it has biases. They start at 0:
    weights without them, loaded with `strict=False`, give the reference's network.
    """
    return norm != "batch"


def same_conv3x3(channels: int, padding: Padding, bias: bool) -> list[nn.Module]:
    """A 3x3 convolution that keeps the size, behind the module that pads for it (`zero` needs none)."""
    match padding:
        case "reflect":
            return [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=bias)]
        case "replicate":
            return [nn.ReplicationPad2d(1), nn.Conv2d(channels, channels, 3, bias=bias)]
        case "zero":
            return [nn.Conv2d(channels, channels, 3, padding=1, bias=bias)]
