"""Adaptive discriminator augmentation."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from ganforge_stylegan2.augmentation import Pipeline, augment
from ganforge_stylegan2.options import Count, Probability


class AdaptiveAugment(nn.Module):
    """Augments what a discriminator sees, more often the better it knows the real images by heart.

    Karras et al. 2020, section 3, https://arxiv.org/abs/2006.06676: `ada(images)` makes each transformation happen to
    each image with probability p; `ada.watch(logits)` looks at the verdicts on real images, and moves p so that the
    mean of their signs, which overfitting drives to 1, stays at `target`. Real and generated images pass through it, in
    the generator's phase too. Nothing waits for the device; p and what was seen go through checkpoints.

    Args:
        target: the mean of the signs that p is steered to.
        kimg: thousands of images seen in which p can go from 0 to 1.
        interval: calls of `watch` from one change of p to the next.
        start: p at the beginning; where nothing is watched, p for good.
        pipeline: `b`lit (mirror, quarter turns, whole shifts), general `g`eometry (zoom, rotation, stretch, fine
            shifts), `c`olour (brightness, contrast, luma flip, hue, saturation).
    """

    p: Tensor
    signs: Tensor
    seen: Tensor
    calls: Tensor

    def __init__(
        self,
        target: Annotated[float, Field(ge=-1, le=1)] = 0.6,
        kimg: Annotated[float, Field(gt=0)] = 500,
        interval: Count = 4,
        start: Probability = 0.0,
        pipeline: Pipeline = "bgc",
    ) -> None:
        super().__init__()
        self.target, self.kimg, self.interval, self.pipeline = target, kimg, interval, pipeline
        self.register_buffer("p", torch.tensor(start))
        self.register_buffer("signs", torch.tensor(0.0))
        self.register_buffer("seen", torch.tensor(0.0))
        self.register_buffer("calls", torch.tensor(0))

    def statistics(self) -> dict[str, Tensor]:
        """What TensorBoard shows of it: p."""
        return {"p": self.p}

    def forward(self, images: Tensor) -> Tensor:
        """Transform images `[N, 3, H, W]` in `[-1, 1]`; colours may leave that range, as in the reference."""
        return augment(images, self.p, self.pipeline)

    @torch.no_grad()
    def watch(self, logits: Tensor) -> Tensor:
        """Learn from the verdicts `[N, ...]` on a batch of real images, and return them."""
        self.signs += logits.sign().mean(dtype=self.signs.dtype) * len(logits)
        self.seen += len(logits)
        self.calls += 1
        due = self.calls % self.interval == 0
        change = (self.signs / self.seen - self.target).sign() * self.seen / (1000 * self.kimg)
        # Not cut at 1, as in the reference: what rose beyond takes as long to come back.
        self.p.copy_(torch.where(due, (self.p + change).clamp(min=0), self.p))
        self.signs.mul_(~due)
        self.seen.mul_(~due)
        return logits
