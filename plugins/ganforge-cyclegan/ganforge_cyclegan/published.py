"""The options of a network, read from the names and shapes of published weights.

The names are those of the public reference (github.com/junyanz/pytorch-CycleGAN-and-pix2pix). Weights cannot tell
replicated padding from reflected, which is taken, nor whether a U-Net had dropout: none is taken.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

Weights = Mapping[str, Tensor]
Options = dict[str, Any]

BLOCKS: dict[tuple[int, ...], Options] = {
    # Where the convolutions stand in a residual block.
    (1, 5): {},
    (1, 6): {"dropout": 0.5},
    (0, 3): {"padding": "zero"},
    (0, 4): {"padding": "zero", "dropout": 0.5},
}


def resnet_options(weights: Weights) -> Options | None:
    """Of `ResnetGenerator`; None for the weights of anything else."""
    blocks = {int(match[1]) for name in weights if (match := re.match(r"model\.(\d+)\.conv_block\.", name))}
    convs = _convolutions(weights, r"model\.(\d+)")
    if not blocks or convs[:3] != [1, 4, 7] or len(convs) != 6 or min(blocks) != 10:
        return None
    block = BLOCKS.get(tuple(_convolutions(weights, r"model\.10\.conv_block\.(\d+)")))
    if block is None:
        return None
    first, last = weights["model.1.weight"], weights[f"model.{convs[-1]}.weight"]
    return {
        "channels": first.shape[0],
        "blocks": len(blocks),
        "in_channels": first.shape[1],
        "out_channels": last.shape[0],
        "norm": _norm(weights, "model.1"),
        **block,
    }


def unet_options(weights: Weights) -> Options | None:
    """Of `UnetGenerator`; None for the weights of anything else."""
    first, last = weights.get("model.model.0.weight"), weights.get("model.model.3.weight")
    if first is None or last is None or not first.ndim == last.ndim == 4:
        return None
    return {
        "downs": sum(tensor.ndim == 4 for tensor in weights.values()) // 2,
        "channels": first.shape[0],
        "in_channels": first.shape[1],
        "out_channels": last.shape[1],
        "norm": _norm(weights, "model.model.0"),
    }


def patch_options(weights: Weights) -> Options | None:
    """Of `PatchDiscriminator`; None for the weights of anything else."""
    convs = _convolutions(weights, r"model\.(\d+)")
    if convs != [0, *range(2, 3 * len(convs) - 3, 3)] or len(convs) < 3:
        return None
    first = weights["model.0.weight"]
    return {
        "layers": len(convs) - 2,
        "channels": first.shape[0],
        "in_channels": first.shape[1],
        "norm": _norm(weights, "model.2"),
    }


def pixel_options(weights: Weights) -> Options | None:
    """Of `PixelDiscriminator`; None for the weights of anything else."""
    if _convolutions(weights, r"net\.(\d+)") != [0, 2, 5]:
        return None
    first = weights["net.0.weight"]
    return {"channels": first.shape[0], "in_channels": first.shape[1], "norm": _norm(weights, "net.2")}


def completed(network: type[nn.Module], options: Options | None, weights: Weights) -> tuple[Options, Weights] | None:
    """Options and weights; without a norm the reference has no biases, and here they are 0."""
    if options is None:
        return None
    if options["norm"] != "none":
        return options, weights
    start = network(**options).state_dict()
    return options, {**{name: tensor for name, tensor in start.items() if name.endswith("bias")}, **weights}


def _convolutions(weights: Weights, pattern: str) -> list[int]:
    """The numbers of the convolutions, in order."""
    found = ((re.fullmatch(rf"{pattern}\.weight", name), tensor) for name, tensor in weights.items())
    return sorted(int(match[1]) for match, tensor in found if match and tensor.ndim == 4)


def _norm(weights: Weights, convolution: str) -> str:
    """The norm behind a convolution that has no bias but for the sake of an instance norm."""
    if any(name.endswith("running_mean") for name in weights):
        return "batch"
    return "instance" if f"{convolution}.bias" in weights else "none"
