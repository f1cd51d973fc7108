"""What a metric promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar


class Metric(ABC):
    """A figure over the whole validation set. A metric may also be a plain function of tensors returning a scalar,
    which is averaged over samples."""

    better: ClassVar[str | Mapping[str, str] | None] = None
    """Which way the figure is better, `lower` or `higher`; of several, those that have one by name. The checkpoint of
    the best is kept."""

    compares_sets: ClassVar[bool] = False
    """Whether it compares one set of pictures with another. Then each input of `update` is given every picture once,
    though a validation set may repeat some (the shorter of two folders starts over): one may have fewer than another.
    """

    def prepare(self) -> None:  # noqa: B027 - most metrics have nothing to prepare
        """Make sure that all it needs is here. Called before the first step, on an instance of its own.

        Raises:
            EnvironmentFault: something is missing; the message says what to do.
        """

    def remarks(self) -> Sequence[str]:
        """What one should know of the figures, once they are computed: in words, for the evaluation's card."""
        return ()

    @abstractmethod
    def compute(self) -> float | Mapping[str, float]:
        """The figure, or several by name, over all the batches that `update` was given.

        Subclasses also define `update(self, ...)`, whose parameters are bound to signals as those of a loss are.
        """
