"""Adversarial losses: the formula, then the player that it trains (`g`enerators, `d`iscriminators).

`real` and `fake` are a discriminator's logits of any shape, for real and for generated images. Every loss is a scalar.
A discriminator's loss is the sum over its two halves; many recipes give it a weight of 0.5.
"""

import torch.nn.functional as F
from torch import Tensor

from ganforge import traits


@traits(scores=("fake",), boundary=0.5)
def lsgan_g(fake: Tensor) -> Tensor:
    """Least squares: `mean((fake - 1)^2)`.

    Mao et al. 2017, eq. 9 without its factor 1/2, https://arxiv.org/abs/1611.04076.
    """
    return (fake - 1).square().mean()


@traits(scores=("real", "fake"), boundary=0.5)
def lsgan_d(real: Tensor, fake: Tensor) -> Tensor:
    """Least squares: `mean((real - 1)^2) + mean(fake^2)`.

    Mao et al. 2017, eq. 9 without its factors 1/2, https://arxiv.org/abs/1611.04076.
    """
    return (real - 1).square().mean() + fake.square().mean()


@traits(scores=("fake",), boundary=0)
def vanilla_g(fake: Tensor) -> Tensor:
    """Cross-entropy that does not saturate: `mean(-log sigmoid(fake))`.

    Goodfellow et al. 2014, section 3, https://arxiv.org/abs/1406.2661.
    """
    return -F.logsigmoid(fake).mean()


@traits(scores=("real", "fake"), boundary=0)
def vanilla_d(real: Tensor, fake: Tensor) -> Tensor:
    """Cross-entropy: `mean(-log sigmoid(real)) + mean(-log(1 - sigmoid(fake)))`.

    Goodfellow et al. 2014, eq. 1, https://arxiv.org/abs/1406.2661.
    """
    return -F.logsigmoid(real).mean() - F.logsigmoid(-fake).mean()


@traits(scores=("fake",), boundary=0)
def hinge_g(fake: Tensor) -> Tensor:
    """Hinge: `-mean(fake)`.

    Lim & Ye 2017, https://arxiv.org/abs/1705.02894.
    """
    return -fake.mean()


@traits(scores=("real", "fake"), boundary=0)
def hinge_d(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge: `mean(max(0, 1 - real)) + mean(max(0, 1 + fake))`.

    Lim & Ye 2017, https://arxiv.org/abs/1705.02894.
    """
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


@traits(scores=("fake",))
def wgan_g(fake: Tensor) -> Tensor:
    """Wasserstein distance: `-mean(fake)`.

    Arjovsky et al. 2017, algorithm 1, https://arxiv.org/abs/1701.07875.
    """
    return -fake.mean()


@traits(scores=("real", "fake"))
def wgan_d(real: Tensor, fake: Tensor) -> Tensor:
    """Wasserstein distance: `mean(fake) - mean(real)`; for a Lipschitz discriminator, so add a gradient penalty.

    Arjovsky et al. 2017, eq. 2 and algorithm 1, https://arxiv.org/abs/1701.07875.
    """
    return fake.mean() - real.mean()
