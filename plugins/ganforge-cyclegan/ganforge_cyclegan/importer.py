"""Runs of the public reference's weights, github.com/junyanz/pytorch-CycleGAN-and-pix2pix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ganforge import Imported, Recognise, UsageError

RESNET, UNET = "cyclegan.resnet_generator", "cyclegan.unet_generator"
PATCHES, PIXELS = "cyclegan.patch_discriminator", "cyclegan.pixel_discriminator"
GENERATORS = {"G": "G_ab", "G_A": "G_ab", "G_B": "G_ba"}
JUDGES = {"D_A": "D_b", "D_B": "D_a"}
"""The reference names a discriminator after the generator that it judges."""


def import_cyclegan(weights: Mapping[str, Mapping[str, Tensor]], recognise: Recognise) -> Imported:
    """CycleGAN's networks, any of `G_A` (or `G`), `G_B`, `D_A` and `D_B`, but one generator at least.

    Raises:
        UsageError: there is no generator, or two for one direction, or the weights are of another architecture.
    """
    if {"G", "G_A"} <= weights.keys():
        raise UsageError("two files are the generator from A to B: leave one out, or name the other ..._net_G_B.pth")
    found = {name: recognise(key, RESNET, UNET) for key, name in GENERATORS.items() if key in weights}
    if not found:
        raise UsageError("no file is a generator: give latest_net_G_A.pth, latest_net_G_B.pth, or both")
    generators = {name: network.use for name, network in found.items()}
    if "G_ab" not in generators:
        generators["G_ab"] = _turned(generators["G_ba"])
    generators.setdefault("G_ba", _turned(generators["G_ab"]))
    judged = {"D_a": generators["G_ba"], "D_b": generators["G_ab"]}
    judges = {
        name: {"type": PATCHES, "in_channels": use["out_channels"], "norm": use["norm"]} for name, use in judged.items()
    }
    for key, name in JUDGES.items():
        if key in weights:
            found[name] = recognise(key, PATCHES, PIXELS)
    fresh = {f"networks.{name}": use for name, use in (generators | judges).items() if name not in found}
    settings = fresh | _data(generators["G_ab"]) | _without_identity(generators["G_ab"])
    return Imported("cyclegan.cyclegan_horse2zebra", found, settings)


def _turned(use: Mapping[str, Any]) -> dict[str, Any]:
    """The generator of the other direction."""
    return {**use, "in_channels": use["out_channels"], "out_channels": use["in_channels"]}


def _without_identity(use: Mapping[str, Any]) -> dict[str, None]:
    """A generator from grey to colour cannot be given colour: what the recipe does so is removed."""
    if use["in_channels"] == use["out_channels"]:
        return {}
    signals = [f"signals.same_{domain}" for domain in "ab"]
    losses = [f"phases.0.losses.identity_{domain}" for domain in "ab"]
    return dict.fromkeys((*signals, *losses, "run.images"))


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
