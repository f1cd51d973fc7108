"""A domain to translate to, as generators are told of it."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ganforge import Context


class Domain:
    """One domain for all samples of a batch: `domain(2)` is the vectors `[N, classes]` with 1 at 2 and 0 elsewhere.

    For panels with a column for each domain, like figure 4 of Choi et al. 2018, https://arxiv.org/abs/1711.09020. Where
    each sample has a label of its own, `one_hot(label, classes)` makes its vectors.

    Args:
        classes: how many domains there are.
    """

    def __init__(self, classes: Annotated[int, Field(ge=1)]) -> None:
        self.classes = classes

    def __call__(self, number: int, *, context: Context) -> Tensor:
        """The vectors of the domain `number` in `[0, classes)`.

        Raises:
            ValueError: there is no domain of this number.
        """
        if not 0 <= number < self.classes:
            raise ValueError(f"there is no domain {number}: the last of the {self.classes} is {self.classes - 1}")
        vectors = torch.zeros(context.batch_size, self.classes, device=context.device, dtype=context.dtype)
        vectors[:, number] = 1
        return vectors
