"""Losses over the lists that a multi-scale discriminator returns: logits by scale, features by scale and layer.

They belong to no discriminator in particular: any that returns several maps of logits, or its features, will do.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ganforge import traits


@traits(scores=("fake",), boundary=0.5)
def multiscale_lsgan_g(fake: Sequence[Tensor]) -> Tensor:
    """Least squares, summed over scales: `sum_k mean((fake_k - 1)^2)`.

    Wang et al. 2018, eq. 3, https://arxiv.org/abs/1711.11585, with the formula of Mao et al. 2017.

    Args:
        fake: a discriminator's logits for generated images, of any shape at each scale.
    """
    return torch.stack([(logits - 1).square().mean() for logits in fake]).sum()


@traits(scores=("real", "fake"), boundary=0.5)
def multiscale_lsgan_d(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Least squares, summed over scales: `sum_k mean((real_k - 1)^2) + mean(fake_k^2)`.

    Wang et al. 2018, eq. 3, https://arxiv.org/abs/1711.11585, with the formula of Mao et al. 2017.

    Args:
        real: a discriminator's logits for real images, of any shape at each scale.
        fake: those for generated images.
    """
    judged_real = torch.stack([(logits - 1).square().mean() for logits in real]).sum()
    return judged_real + torch.stack([logits.square().mean() for logits in fake]).sum()


def feature_matching(fake: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """The mean distance of a discriminator's features: `mean_i mean(|fake_i - real_i|)` over all scales and layers.

    Wang et al. 2018, eq. 4, https://arxiv.org/abs/1711.11585, for the generator: the features of the real images are
    its target and get no gradient. The public reference's is four times this, with any number of layers and scales.

    Args:
        fake: features of generated images, `[N, ...]` each.
        real: those of the real images, in the same order.

    Raises:
        ValueError: `fake` and `real` differ in number or in shape.
    """
    if [features.shape for features in fake] != [features.shape for features in real]:
        raise ValueError("the features of fake and real differ in number or shape: judge images of one size")
    distances = [F.l1_loss(ours, theirs.detach()) for ours, theirs in zip(fake, real, strict=True)]
    return torch.stack(distances).mean()
