"""The relativistic pairing losses: each fake is judged beside a real image, so that the generator drops no modes.

`real` and `fake` are a discriminator's logits of one shape: the n-th fake is compared with the n-th real image. With R1
on the reals, or R2 on the fakes, the game converges locally; R3GAN pays both (`classics.r1`, each with a weight of
gamma / 2).
"""

import torch.nn.functional as F
from torch import Tensor

from ganforge import traits


@traits(scores=("real", "fake"))
def relativistic_g(real: Tensor, fake: Tensor) -> Tensor:
    """A fake should look more real than its real partner: `mean(softplus(-(fake - real)))`.

    Jolicoeur-Martineau 2018, https://arxiv.org/abs/1807.00734; Huang et al. 2024, equation 2 in its logistic form,
    https://arxiv.org/abs/2501.05441.

    Raises:
        ValueError: the shapes differ; torch would compare other pairs.
    """
    return F.softplus(-_margin(fake, real)).mean()


@traits(scores=("real", "fake"))
def relativistic_d(real: Tensor, fake: Tensor) -> Tensor:
    """A real image should look more real than its fake partner: `mean(softplus(-(real - fake)))`.

    Jolicoeur-Martineau 2018, https://arxiv.org/abs/1807.00734; Huang et al. 2024, equation 2 in its logistic form,
    https://arxiv.org/abs/2501.05441.

    Raises:
        ValueError: the shapes differ; torch would compare other pairs.
    """
    return F.softplus(-_margin(real, fake)).mean()


def _margin(winner: Tensor, loser: Tensor) -> Tensor:
    """By how much each of the winners leads."""
    if winner.shape != loser.shape:
        shapes = f"{list(winner.shape)} and {list(loser.shape)}"
        raise ValueError(f"logits are compared in pairs, and these differ in shape: {shapes}")
    return winner - loser
