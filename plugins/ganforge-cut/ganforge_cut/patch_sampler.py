"""The network that turns places of feature maps into vectors to compare."""

from collections.abc import Sequence
from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from ganforge_cut.initialisers import Gain, Initialiser, initialise
from ganforge_cut.published import Options, Weights, sampler_options, sampler_weights

Count = Annotated[int, Field(ge=1)]


class Patches(NamedTuple):
    """Unit vectors `[N, P, channels]`, one tensor a feature map, of the same P places in both."""

    query: list[Tensor]
    key: list[Tensor]


class PatchSampler(nn.Module):
    """CUT's projection heads: an MLP of two layers for each feature map, over random places, to unit vectors.

    Park et al. 2020, section 3 (`H_l`), https://arxiv.org/abs/2007.15651. One call draws the places and projects both
    sides, so that row p of a query and row p of its key are one place. All pictures of a batch share the places, as in
    the public reference. The first layers are created in the first forward, when the features' channels are known.

    Args:
        layers: feature maps, as many as the generator's `layers`.
        patches: places drawn in each feature map; a map of fewer pixels gives all of them.
        channels: of the hidden layer and of the vectors.
        init: what the first weights are drawn from; biases start at 0.
        init_gain: scale for `xavier`, standard deviation for `normal`.
    """

    def __init__(
        self,
        layers: Count = 5,
        patches: Count = 256,
        channels: Count = 256,
        init: Initialiser = "xavier",
        init_gain: Gain = 0.02,
    ) -> None:
        super().__init__()
        self.patches = patches
        self.heads = nn.ModuleList(_head(channels, init, init_gain) for _ in range(layers))

    @classmethod
    def recognise(cls, weights: Weights) -> tuple[Options, Weights] | None:
        """The options that published weights belong to, and the weights; None for those of anything else."""
        options = sampler_options(weights)
        return (options, sampler_weights(weights)) if options else None

    def forward(self, query: Sequence[Tensor], key: Sequence[Tensor]) -> Patches:
        """Sample and project two sides of the same shapes.

        Args:
            query: feature maps `[N, C, H, W]` of the translated images, one a head.
            key: those of the images that they were made of.

        Raises:
            ValueError: there are not as many feature maps as heads, or the two sides differ in shape.
        """
        if not len(query) == len(key) == len(self.heads):
            raise ValueError(
                f"it has heads for {len(self.heads)} feature maps, and was given {len(query)} and {len(key)}: "
                "set its 'layers' to the number of the generator's"
            )
        patches = Patches([], [])
        for head, q_NCHW, k_NCHW in zip(self.heads, query, key, strict=True):
            if q_NCHW.shape != k_NCHW.shape:
                raise ValueError(f"query {list(q_NCHW.shape)} and key {list(k_NCHW.shape)} differ in shape")
            places = torch.randperm(q_NCHW.shape[2:].numel(), device=q_NCHW.device)[: self.patches]
            patches.query.append(_unit(head(_at(places, q_NCHW))))
            patches.key.append(_unit(head(_at(places, k_NCHW))))
        return patches


class LazyProjection(nn.LazyLinear):
    """A linear layer that is created, and initialised, by its first input."""

    def __init__(self, channels: int, init: Initialiser, gain: float) -> None:
        super().__init__(channels)
        self.init: Initialiser = init
        self.gain = gain

    def initialize_parameters(self, input: Tensor) -> None:
        if self.has_uninitialized_params():  # not after weights were loaded
            super().initialize_parameters(input)
            initialise(self, self.init, self.gain)


def _head(channels: int, init: Initialiser, gain: float) -> nn.Sequential:
    last = nn.Linear(channels, channels)
    initialise(last, init, gain)
    return nn.Sequential(LazyProjection(channels, init, gain), nn.ReLU(), last)


def _at(places: Tensor, x_NCHW: Tensor) -> Tensor:
    """What lies at these places, `[N, P, C]`."""
    return x_NCHW.flatten(2).index_select(2, places).mT


def _unit(x_NPC: Tensor) -> Tensor:
    """Vectors of length 1, as the reference computes them; without its NaN where a vector is 0."""
    return x_NPC / (torch.linalg.vector_norm(x_NPC, dim=2, keepdim=True) + 1e-7)
