"""The options of a network, read from the names and shapes of published weights.

The names are those of the public reference (github.com/taesungp/contrastive-unpaired-translation).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

Weights = Mapping[str, Tensor]
Options = dict[str, Any]

REFERENCE_LAYERS = (0, 4, 8, 12, 16)
"""Whose features the reference contrasts."""
HEAD = re.compile(r"mlp_(\d+)\.")


def generator_options(weights: Weights) -> Options | None:
    """Of `Generator`; None for the weights of anything else, such as a generator with batch norm or dropout."""
    blocks = {int(match[1]) for name in weights if (match := re.match(r"model\.(\d+)\.conv_block\.", name))}
    first, last = weights.get("model.1.weight"), _last(weights)
    if not blocks or first is None or last is None or not first.ndim == last.ndim == 4:
        return None
    halved, doubled = min(blocks), max(blocks) + 1  # the numbers of the first block, and of what follows the last
    blurs = ("model.7.filt" in weights, f"model.{doubled}.filt" in weights)
    inner = f"model.{halved}.conv_block.5.weight"
    has_batch_norm = any(name.endswith("running_mean") for name in weights)
    if has_batch_norm or inner not in weights or len(set(blurs)) > 1 or halved != (12 if blurs[0] else 10):
        return None
    return {
        "channels": first.shape[0],
        "blocks": len(blocks),
        "layers": sorted({min(layer, doubled - 1) for layer in REFERENCE_LAYERS}),
        "antialias": blurs[0],
        "in_channels": first.shape[1],
        "out_channels": last.shape[0],
    }


def sampler_options(weights: Weights) -> Options | None:
    """Of `PatchSampler`; None for the weights of anything else."""
    heads = {match[1] for name in weights if (match := HEAD.match(name))}
    first = weights.get("mlp_0.0.weight")
    return None if first is None or first.ndim != 2 else {"layers": len(heads), "channels": first.shape[0]}


def sampler_weights(weights: Weights) -> Weights:
    """By the names of `PatchSampler`."""
    return {HEAD.sub(r"heads.\1.", name): tensor for name, tensor in weights.items()}


def _last(weights: Weights) -> Tensor | None:
    """The weights of the last convolution."""
    numbers = [int(match[1]) for name in weights if (match := re.fullmatch(r"model\.(\d+)\.weight", name))]
    return weights[f"model.{max(numbers)}.weight"] if numbers else None
