"""Runs of the public reference's weights, github.com/taesungp/contrastive-unpaired-translation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ganforge import Imported, Recognise, UsageError

JUDGE = "cyclegan.patch_discriminator"


def import_cut(weights: Mapping[str, Mapping[str, Tensor]], recognise: Recognise) -> Imported:
    """CUT's networks: the generator `G` and, where they are given, the projections `F` and the discriminator `D`.

    A discriminator that halves behind a blur, as the reference's do by default, is none of ganforge's: it is left out.

    Raises:
        UsageError: there is no generator, or the weights are of another architecture.
    """
    if "G" not in weights:
        raise UsageError("no file is a generator: give latest_net_G.pth")
    found = {"G": recognise("G", "cut.generator")}
    use = found["G"].use
    settings: dict[str, Any] = {
        "data.root": "my_pictures",
        "data.download": None,
        "data.channels_a": use["in_channels"],
        "data.channels_b": use["out_channels"],
    }
    left_out: dict[str, str] = {}
    if "F" in weights:
        found["F"] = recognise("F", "cut.patch_sampler")
    else:
        settings["networks.F.layers"] = len(use["layers"])
    if any(name.endswith(".filt") for name in weights.get("D", ())):
        left_out["D"] = "its discriminator halves behind a blur, and the recipe's does not: D starts fresh"
    elif "D" in weights:
        found["D"] = recognise("D", JUDGE)
    if "D" not in found:
        settings["networks.D.in_channels"] = use["out_channels"]
    return Imported("cut.cut_horse2zebra", found, settings, left_out)
