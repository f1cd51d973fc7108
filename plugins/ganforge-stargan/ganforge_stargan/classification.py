"""The loss that ties images to their domains."""

import torch.nn.functional as F
from torch import Tensor


def classification(logits: Tensor, labels: Tensor) -> Tensor:
    """How badly images are sorted into domains: `mean(-log p(label))`.

    The discriminator learns it from real images and their labels, the generator from fakes and the labels that it was
    asked for (Choi et al. 2018, equations 2 and 3, https://arxiv.org/abs/1711.09020).

    Args:
        logits: `[N, classes]`.
        labels: numbers `[N]`, int64, where each image has one domain of several (cross-entropy); or vectors
            `[N, classes]` of 0 and 1, float, where each attribute is there or not (binary cross-entropy, summed over
            the attributes as in the public reference).

    Raises:
        ValueError: the labels are neither.
    """
    if labels.ndim == 1 and not labels.is_floating_point():
        return F.cross_entropy(logits, labels)
    if labels.shape == logits.shape and labels.is_floating_point():
        return F.binary_cross_entropy_with_logits(logits, labels, reduction="sum") / len(logits)
    raise ValueError(
        f"labels {list(labels.shape)} of {labels.dtype} do not fit logits {list(logits.shape)}: "
        "give whole numbers [N], or floats [N, classes]"
    )
