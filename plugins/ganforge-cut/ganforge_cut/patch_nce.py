"""PatchNCE: a patch of the translation must be told by the patch of the source that it came from.

Park et al. 2020, section 3, https://arxiv.org/abs/2007.15651. `query` and `key` hold unit vectors `[N, P, C]`, a tensor
for each feature map, whose rows p belong together. Keys are taken as they are: gradients reach the query alone.
"""

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ganforge import traits

Temperature = Annotated[float, Field(gt=0)]


def patch_nce(query: Sequence[Tensor], key: Sequence[Tensor], temperature: Temperature = 0.07) -> Tensor:
    """InfoNCE over the patches of a picture: the mean of `-log softmax_j(query_i . key_j / temperature)` at `j = i`.

    Park et al. 2020, equations 2 and 3, https://arxiv.org/abs/2007.15651: negatives are the other patches of the same
    picture. The mean over feature maps, pictures and patches; the paper's equation 3 has sums.

    Args:
        query: patches of the translations, `[N, P, C]` each.
        key: patches of the sources.
        temperature: the smaller, the more the hardest negatives count.
    """
    return torch.stack([_contrast(q, k, temperature) for q, k in zip(query, key, strict=True)]).mean()


@traits(couples_samples=True)
def batch_patch_nce(query: Sequence[Tensor], key: Sequence[Tensor], temperature: Temperature = 0.07) -> Tensor:
    """`patch_nce` with the patches of all pictures of the batch as negatives: for crops of a single picture.

    Park et al. 2020, section 3 (single image translation), https://arxiv.org/abs/2007.15651. The batch is one
    picture here, so accumulated small batches do not make up for a large one.

    Args:
        query: patches of the translations, `[N, P, C]` each.
        key: patches of the sources.
        temperature: the smaller, the more the hardest negatives count.
    """
    return patch_nce([q.flatten(0, 1)[None] for q in query], [k.flatten(0, 1)[None] for k in key], temperature)


def _contrast(query_NPC: Tensor, key_NPC: Tensor, temperature: float) -> Tensor:
    logits_NPP = query_NPC @ key_NPC.detach().mT / temperature
    return (logits_NPP.logsumexp(2) - logits_NPP.diagonal(dim1=1, dim2=2)).mean()
