"""Small networks of linear layers and ReLUs, for points rather than pictures.

As in the toy experiments of WGAN-GP: Gulrajani et al. 2017, https://arxiv.org/abs/1704.00028.
"""

from __future__ import annotations

from torch import Tensor, nn

from ganforge_classics.layers import Count


class MlpGenerator(nn.Module):
    """Latent vectors to points, through a few linear layers with ReLUs.

    The generator of WGAN-GP's toy experiments (Gulrajani et al. 2017, figure 1a, https://arxiv.org/abs/1704.00028),
    which has 3 hidden layers of 512.

    Args:
        latent: the length of a latent vector.
        hidden: the width of the hidden layers.
        layers: how many hidden layers there are.
        dimensions: coordinates of a point.
    """

    def __init__(self, latent: Count = 2, hidden: Count = 128, layers: Count = 3, dimensions: Count = 2) -> None:
        super().__init__()
        self.layers = _mlp(latent, hidden, layers, dimensions)

    def forward(self, latents: Tensor) -> Tensor:
        """Map latent vectors `[N, latent]` to points `[N, dimensions]`."""
        return self.layers(latents)


class MlpDiscriminator(nn.Module):
    """Points to one logit each, through a few linear layers with ReLUs.

    The critic of WGAN-GP's toy experiments (Gulrajani et al. 2017, figure 1a, https://arxiv.org/abs/1704.00028), which
    has 3 hidden layers of 512.

    Args:
        hidden: the width of the hidden layers.
        layers: how many hidden layers there are.
        dimensions: coordinates of a point.
    """

    def __init__(self, hidden: Count = 128, layers: Count = 3, dimensions: Count = 2) -> None:
        super().__init__()
        self.layers = _mlp(dimensions, hidden, layers, 1)

    def forward(self, points: Tensor) -> Tensor:
        """Judge points `[N, dimensions]`: logits `[N, 1]`, high where the point looks real."""
        return self.layers(points)


def _mlp(inputs: int, hidden: int, layers: int, outputs: int) -> nn.Sequential:
    """Linear layers, He et al. 2015 before a ReLU and Glorot & Bengio 2010 at the end, biases 0."""
    modules: list[nn.Module] = []
    for _ in range(layers):
        layer = nn.Linear(inputs, hidden)
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
        modules += [layer, nn.ReLU()]
        inputs = hidden
    last = nn.Linear(inputs, outputs)
    nn.init.xavier_uniform_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(*modules, last)
