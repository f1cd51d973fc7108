"""Using what a run has learnt: one picture in, one picture out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ganforge import images
from ganforge.engine.device import Precision
from ganforge.engine.dryrun import DryRun
from ganforge.engine.loader import to_device
from ganforge.engine.scene import Program, Scene
from ganforge.engine.trained import open_trained
from ganforge.errors import UsageError
from ganforge.parts import Progress
from ganforge.recipe.expressions import Name
from ganforge.recipe.model import Recipe
from ganforge.recipe.scope import dependencies
from ganforge.registry import Registry


@dataclass
class Translator:
    """A signal of a trained recipe as a function of one picture."""

    program: Program
    signal: str
    field: str
    channels: int
    """Of the picture that it takes."""
    weights: str
    """Which weights these are, in words."""
    precision: Precision

    @classmethod
    def open(
        cls,
        run: Path,
        registry: Registry,
        *,
        signal: str | None = None,
        device: str = "auto",
        averaged: bool = True,
        precision: str = "fp32",
        compiled: bool = False,
    ) -> Translator:
        """Load a run's newest checkpoint, or a given one.

        Args:
            run: the run's folder, or a checkpoint's.
            registry: where parts are found.
            signal: which one to compute; by default the first with one network and one picture.
            device: as `run.device`.
            averaged: use the moving average where there is one.
            precision: what the networks compute in, as `run.precision`.
            compiled: generate code for each size of picture: it takes a while, and pays for many pictures of one size.

        Raises:
            UsageError: the run has no checkpoint, or no such signal.
        """
        trained = open_trained(run, registry, device=device, averaged=averaged, precision=precision)
        recipe = trained.recipe
        name, field = _choose(recipe, trained.plan, signal)
        channels = recipe.dataset.shapes()[field][0]
        return cls(trained.program(compiled), name, field, channels, trained.weights, trained.precision)

    @property
    def text(self) -> str:
        """The signal's expression."""
        return self.program.recipe.signals[self.signal].text

    def __call__(self, picture: Tensor, size_px: int | None = None) -> Tensor:
        """Translate a picture: uint8 `[C, H, W]` in and out, of the same height and width unless `size_px` is given.

        Raises:
            UsageError: the networks do not take pictures of this size.
        """
        if size_px is not None:
            picture = images.resize(picture, size_px, size_px)
        height, width = picture.shape[-2:]
        batch = to_device({self.field: picture[None]}, self.precision)
        scene = Scene(self.program, batch, (), Progress(0, 1, 1))
        try:
            with torch.inference_mode():
                result = scene.value(Name(self.signal, 0, 1, self.signal))
        except (RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            message = f"{self.text} cannot take a picture of {height} x {width} pixels: {reason}\n  try --size 256"
            raise UsageError(message) from error
        # Networks that halve and double again round sizes up: what is more than the picture had is cut off.
        return images.to_uint8(result[0].float().cpu())[:, :height, :width]


def _choose(recipe: Recipe, plan: DryRun, wanted: str | None) -> tuple[str, str]:
    """The signal to compute, an image, and the one batch field that it needs."""
    fields = set(recipe.dataset.shapes())
    stateful = {name for name, use in recipe.ops.items() if hasattr(use.part.factory, "state_dict")}
    possible: dict[str, str] = {}
    for name, written in recipe.signals.items():
        needed = dependencies(recipe, written.expression)
        if not _is_image(plan.shapes[name]):
            continue
        if len(needed & fields) == 1 and needed & set(recipe.networks) and not needed & stateful:
            possible[name] = next(iter(needed & fields))
    if wanted is not None and wanted not in possible:
        such = ", ".join(possible)
        raise UsageError(f"'{wanted}' is no signal of {recipe.name} that one picture gives; such are: {such}")
    if not possible:
        raise UsageError(f"{recipe.name} has no signal that one picture gives")
    # The first that needs one network only: fake_b before rec_a.
    name = wanted or min(possible, key=lambda s: len(dependencies(recipe, recipe.signals[s].expression)))
    return name, possible[name]


def _is_image(shape: object) -> bool:
    """Whether a signal of this shape can be written as a picture; of one that was not rehearsed nobody knows."""
    return shape is None or (isinstance(shape, list) and len(shape) == 4 and shape[1] in (1, 3))
