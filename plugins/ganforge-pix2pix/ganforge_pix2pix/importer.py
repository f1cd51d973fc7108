"""Runs of the public reference's weights, github.com/junyanz/pytorch-CycleGAN-and-pix2pix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ganforge import Imported, Recognise, UsageError

PATCHES, PIXELS = "cyclegan.patch_discriminator", "cyclegan.pixel_discriminator"
DROPOUT = 0.5
"""In the reference's U-Nets, unless they were trained with --no_dropout: weights cannot tell."""


def import_pix2pix(weights: Mapping[str, Mapping[str, Tensor]], recognise: Recognise) -> Imported:
    """pix2pix's networks: the generator `G` and, where there is one, the discriminator `D`.

    Raises:
        UsageError: there is no generator, or the weights are of another architecture.
    """
    if "G" not in weights:
        raise UsageError("no file is a generator: give latest_net_G.pth")
    found = {"G": recognise("G", "cyclegan.unet_generator", "cyclegan.resnet_generator")}
    use = found["G"].use
    settings = _data(use)
    if "downs" in use:
        settings["networks.G.dropout"] = DROPOUT
    if "D" in weights:
        found["D"] = recognise("D", PATCHES, PIXELS)
    else:
        both = use["in_channels"] + use["out_channels"]
        settings["networks.D"] = {"type": PATCHES, "in_channels": both, "norm": use["norm"]}
    return Imported("pix2pix.pix2pix_facades", found, settings)


def _data(use: Mapping[str, Any]) -> dict[str, Any]:
    """Pictures of one's own; a U-Net of fewer halvings was trained on smaller ones."""
    side = 2 ** use["downs"] if "downs" in use else 256
    return {
        "data.root": "my_pictures",
        "data.download": None,
        "data.load_px": side * 286 // 256,
        "data.crop_px": side,
        "data.left": None,  # the reference's default too: what is translated stands on the left
        "data.channels_a": use["in_channels"],
        "data.channels_b": use["out_channels"],
    }
