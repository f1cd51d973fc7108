"""What a part declares of itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def traits(
    *,
    wrt: tuple[str, ...] = (),
    scores: tuple[str, ...] = (),
    boundary: float | None = None,
    couples_samples: bool = False,
    replays: bool = False,
    better: Literal["lower", "higher"] | None = None,
    one_of: tuple[tuple[str, ...], ...] = (),
    moves_pixels: bool = False,
    probability: float = 1.0,
) -> Callable[[F], F]:
    """Declare what the engine should know about a part; it decorates a function or a class.

    Args:
        wrt: inputs that the loss differentiates with respect to (R1, path length). They are made differentiable
            before the other inputs are evaluated, so a penalty shares its forward with the adversarial loss.
        scores: inputs whose mean is worth watching (a discriminator's verdicts); it becomes the TensorBoard scalar
            `scores/<network>/<input>`.
        boundary: the verdict that is neither real nor fake, 0 for logits. Of the inputs in `scores`, `real` should be
            above and all others below; the share that is becomes `accuracy/<network>/<input>`.
        couples_samples: whether the samples of a batch change each other's results: a loss that is no mean over
            samples, or a layer such as minibatch statistics. Batch norm is known without being declared.
        replays: whether an op may return earlier samples instead of those that it is given: verdicts on them are
            called `pooled`.
        better: which way a metric that is a function is better: the best checkpoint is kept.
        one_of: groups of options that say one thing in several ways, such as a length in epochs, in steps, or as a
            share of the run: a recipe must give one of each group. Each has None as its default.
        moves_pixels: whether an augmentation puts pixels elsewhere: masks and maps go through it as well.
        probability: how often an augmentation is applied where a recipe does not say it.
    """

    def decorate(part: F) -> F:
        part.wrt = wrt  # type: ignore[attr-defined]
        part.scores = scores  # type: ignore[attr-defined]
        part.boundary = boundary  # type: ignore[attr-defined]
        part.couples_samples = couples_samples  # type: ignore[attr-defined]
        part.replays = replays  # type: ignore[attr-defined]
        part.better = better  # type: ignore[attr-defined]
        part.one_of = one_of  # type: ignore[attr-defined]
        part.moves_pixels = moves_pixels  # type: ignore[attr-defined]
        part.probability = probability  # type: ignore[attr-defined]
        return part

    return decorate
