"""Runs of the public reference's weights, github.com/junyanz/pytorch-CycleGAN-and-pix2pix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ganforge import Imported, Recognise, UsageError

GENERATORS = {"G": "G_ab", "G_A": "G_ab", "G_B": "G_ba"}
JUDGES = {"D_A": "D_b", "D_B": "D_a"}
"""The reference names a discriminator after the generator that it judges."""


def import_cyclegan(weights: Mapping[str, Mapping[str, Tensor]], recognise: Recognise) -> Imported:
    """CycleGAN's networks, any of `G_A` (or `G`), `G_B`, `D_A` and `D_B`, but one generator at least.

    Raises:
        UsageError: there is no generator, or the weights are of another architecture.
    """
    found = {name: recognise(key, *_types("resnet", "unet")) for key, name in GENERATORS.items() if key in weights}
    if not found:
        raise UsageError("no file is a generator: give latest_net_G_A.pth, latest_net_G_B.pth, or both")
    generators = {name: network.use for name, network in found.items()}
    if "G_ab" not in generators:
        generators["G_ab"] = _turned(generators["G_ba"])
    generators.setdefault("G_ba", _turned(generators["G_ab"]))
    judged = {"D_a": generators["G_ba"], "D_b": generators["G_ab"]}
    judges = {
        name: {"type": "cyclegan.patch_discriminator", "in_channels": use["out_channels"], "norm": use["norm"]}
        for name, use in judged.items()
    }
    for key, name in JUDGES.items():
        if key in weights:
            found[name] = recognise(key, "cyclegan.patch_discriminator", "cyclegan.pixel_discriminator")
    fresh = {f"networks.{name}": use for name, use in (generators | judges).items() if name not in found}
    return Imported("cyclegan.cyclegan_horse2zebra", found, fresh | _data(generators["G_ab"]))


def _types(*kinds: str) -> list[str]:
    return [f"cyclegan.{kind}_generator" for kind in kinds]


def _turned(use: Mapping[str, Any]) -> dict[str, Any]:
    """The generator of the other direction."""
    return {**use, "in_channels": use["out_channels"], "out_channels": use["in_channels"]}


def _data(use: Mapping[str, Any]) -> dict[str, Any]:
    """Pictures of one's own; a U-Net of fewer halvings was trained on smaller ones."""
    side = 2 ** use["downs"] if "downs" in use else 256
    return {
        "data.root": "my_pictures",
        "data.download": None,
        "data.load_px": side * 286 // 256,
        "data.crop_px": side,
        "data.channels_a": use["in_channels"],
        "data.channels_b": use["out_channels"],
    }
