"""A learning rate that is counted in steps, whatever an epoch is."""

from typing import Annotated

from pydantic import Field

from ganforge import Progress


def stepwise_decay(
    progress: Progress,
    every_steps: Annotated[int, Field(ge=1)] = 100_000,
    factor: Annotated[float, Field(gt=0)] = 0.5,
) -> float:
    """Multiplied by `factor` every so many steps, as in Huang et al. 2018, appendix B, https://arxiv.org/abs/1804.04732.

    Args:
        progress: filled in by the engine.
        every_steps: steps from one change to the next.
        factor: what each change multiplies by.
    """
    return factor ** (progress.step // every_steps)
