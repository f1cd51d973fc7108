"""What several of the networks are made of: normalisation, weights to start from, labels that are there or not."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils import parametrizations

Count = Annotated[int, Field(ge=1)]
Classes = Annotated[int, Field(ge=0)]
# In the order of ganforge-cyclegan's: Python takes equal choices for one type, and keeps the first that it meets.
Norm = Literal["instance", "batch", "none"]
SizePx = Literal[8, 16, 32, 64, 128, 256]

Layer = TypeVar("Layer", bound=nn.Module)


def norm_layer(norm: Norm, channels: int) -> nn.Module:
    """A normalisation of maps `[N, channels, H, W]` with a learnt scale and shift; `none` passes them on."""
    match norm:
        case "batch":
            return nn.BatchNorm2d(channels)
        case "instance":
            return nn.InstanceNorm2d(channels, affine=True)
        case "none":
            return nn.Identity()


def spectral(layer: Layer) -> Layer:
    """The layer with its weight divided by its largest singular value, found by one power iteration a forward.

    Miyato et al. 2018, algorithm 1, https://arxiv.org/abs/1802.05957. Give the weight its first values before.
    """
    parametrizations.spectral_norm(layer)
    return layer


def draw_dcgan_weights(network: nn.Module) -> None:
    """Weights from normal(0, 0.02), scales of norms from normal(1, 0.02), biases 0.

    Radford et al. 2015, section 4, https://arxiv.org/abs/1511.06434; the norms as the authors' code has them.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d | nn.InstanceNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def check_labels(classes: int, labels: Tensor | None) -> None:
    """Whether labels were given exactly where the network has classes.

    Raises:
        ValueError: they were not; the message says how to call it.
    """
    if classes and labels is None:
        raise ValueError(f"a network of {classes} classes takes labels too: call it with (..., labels)")
    if not classes and labels is not None:
        raise ValueError("a network without classes takes no labels: give it the option `classes`, or drop them")
