"""Earlier fakes, for a discriminator to remember."""

import random
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor

from ganforge import traits


@traits(replays=True)
class ReplayBuffer:
    """Shows a discriminator earlier fakes among the new ones, so that it forgets no earlier trick of the generator.

    Shrivastava et al. 2017, section 2.3, https://arxiv.org/abs/1612.07828, sample by sample as CycleGAN's reference.

    Args:
        size: how many images it keeps; 0 passes the images through.
        rng: decides which image is exchanged.
    """

    def __init__(self, size: Annotated[int, Field(ge=0)] = 50, *, rng: random.Random) -> None:
        self.size = size
        self._rng = rng
        self._filled = 0
        self._kept: Tensor | None = None
        self._calls = 0
        self._came: list[int] = []
        """The call at which each kept image came."""

    def __call__(self, images: Tensor) -> Tensor:
        """Exchange some images for kept ones: each, with probability 1/2, once the buffer is full.

        Args:
            images: `[N, C, H, W]`, of the same shape `[C, H, W]` at every call.

        Returns:
            As many images, detached and sharing no memory with the buffer, on their device and of their dtype.

        Raises:
            ValueError: the images have another shape than those kept.
        """
        images = images.detach()
        if self.size == 0:
            return images
        kept = self._room_for(images)
        self._calls += 1
        shown = images.clone()
        for index, image in enumerate(images):
            if self._filled < self.size:
                kept[self._filled] = image
                self._filled += 1
                self._came.append(self._calls)
            elif self._rng.uniform(0, 1) > 0.5:
                slot = self._rng.randint(0, self.size - 1)
                shown[index] = kept[slot]
                kept[slot] = image
                self._came[slot] = self._calls
        return shown

    def statistics(self) -> dict[str, float]:
        """How many images it keeps, and for how many calls it has had them: the mean and the longest."""
        ages = [self._calls - came for came in self._came]
        return {"kept": self._filled, "mean_age": sum(ages) / max(1, len(ages)), "longest_age": max(ages, default=0)}

    def state_dict(self) -> dict[str, Any]:
        """A copy of the kept images `[filled, C, H, W]`, absent before the first call, their number and their ages."""
        if self._kept is None:
            return {"filled": 0}
        ages = {"calls": self._calls, "came": list(self._came)}
        return {"filled": self._filled, "images": self._kept[: self._filled].clone(), **ages}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`, on whichever device the next images are.

        Raises:
            ValueError: the state holds more images than the buffer may keep.
        """
        filled = state["filled"]
        if filled > self.size:
            raise ValueError(
                f"the state holds {filled} images, the replay buffer keeps {self.size}: set its size as it was saved"
            )
        self._filled, self._kept = 0, None
        if filled:
            self._room_for(state["images"])[:filled] = state["images"]
            self._filled = filled
        self._calls = state.get("calls", 0)
        self._came = list(state.get("came", [self._calls] * filled))

    def _room_for(self, images: Tensor) -> Tensor:
        """The memory `[size, C, H, W]` that images are kept in, beside `images` and of their dtype."""
        if self._kept is None:
            self._kept = images.new_empty(self.size, *images.shape[1:])
        elif self._kept.shape[1:] != images.shape[1:]:
            raise ValueError(
                f"the replay buffer keeps images of shape {list(self._kept.shape[1:])} and was given "
                f"{list(images.shape[1:])}: use one buffer for each shape, or crop all images alike"
            )
        # Differs only after a resume, whose checkpoint was read on the CPU.
        self._kept = self._kept.to(images)
        return self._kept
