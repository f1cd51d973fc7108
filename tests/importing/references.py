"""Small networks with weights as the public references name them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ganforge_cut.generator import Generator
from ganforge_cut.patch_sampler import PatchSampler
from ganforge_cyclegan.discriminators import PatchDiscriminator
from ganforge_cyclegan.generators import ResnetGenerator, UnetGenerator


def resnet(**options: Any) -> ResnetGenerator:
    return ResnetGenerator(**{"channels": 4, "blocks": 1, "init_gain": 0.5, **options})


def unet(**options: Any) -> UnetGenerator:
    return UnetGenerator(**{"channels": 2, "downs": 5, "init_gain": 0.5, **options})


def judge(**options: Any) -> PatchDiscriminator:
    return PatchDiscriminator(**{"channels": 4, **options})


def cut_generator(**options: Any) -> Generator:
    return Generator(**{"channels": 4, "blocks": 2, "init_gain": 1.0, **options})


def projections(generator: Generator) -> dict[str, Tensor]:
    """Heads for a generator's features, by the reference's names."""
    sampler = PatchSampler(layers=len(generator.layers), channels=8)
    features = generator.encode(torch.zeros(1, 3, 16, 16))
    sampler(features, features)
    return {name.replace("heads.", "mlp_", 1): tensor for name, tensor in sampler.state_dict().items()}
