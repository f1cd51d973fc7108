"""A signal of a trained recipe as a function of a picture, of any size."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor

from ganforge import images
from ganforge.api.context import BEGINNING
from ganforge.api.datasets import Dataset
from ganforge.errors import UsageError
from ganforge.images.storage import Limits
from ganforge.inference.tiling import Tiling, Untileable
from ganforge.inference.trained_run import Trained, open_trained
from ganforge.inference.translate.inputs import Stack, opened_inputs
from ganforge.inference.translate.padding import fitted
from ganforge.inference.translate.picture_types import Box, cut, opened
from ganforge.plugins.registry import Registry
from ganforge.ranks.device import Precision
from ganforge.recipe.expressions import Name
from ganforge.rehearsal.directions import directions, looks, result_storage, storage_of
from ganforge.rehearsal.signals import Choice, choose
from ganforge.step.batch import to_device
from ganforge.step.program import Program
from ganforge.step.scene import Scene

WHOLE_PIXELS = 2**21
"""Pixels above which a picture is translated in tiles."""
TILES_PX = {"cpu": 256}
"""The side of a tile by device, where none is asked for: a host has other uses for its memory."""
TILE_PX = 512

Tile = int | Literal["auto", "off"]
Convert = Callable[[Tensor], Tensor]


@dataclass
class Translator:
    """A signal of a trained recipe as a function of one picture."""

    trained: Trained
    program: Program
    choice: Choice
    tile: Tile = "auto"
    seed: int = 0
    """The seed of random numbers in the signal, where there are some: each picture gets the same."""
    whole: bool = False
    """Take each file as one picture, though those of the dataset hold several."""
    tell: Callable[[str], None] = field(default=lambda _: None, repr=False)
    """Told once what is worth knowing of how pictures are translated."""
    finer: bool = False
    """Whether results of more than 8 bits are computed in float32, though others are not."""
    _told: bool = field(default=False, init=False, repr=False)

    @classmethod
    def open(
        cls,
        run: Path,
        registry: Registry,
        *,
        direction: str | None = None,
        signal: str | None = None,
        device: str = "auto",
        averaged: bool = True,
        precision: str = "auto",
        compiled: bool = False,
        tile: Tile = "auto",
        seed: int = 0,
        whole: bool = False,
        tell: Callable[[str], None] = lambda _: None,
    ) -> Translator:
        """Load a run's newest checkpoint, or a given one.

        Args:
            run: the run's folder, or a checkpoint's.
            registry: where parts are found.
            direction: which way to translate, such as `a2b`; by default the recipe's first.
            signal: which signal to compute instead.
            device: as `run.device`.
            averaged: use the moving average where there is one.
            precision: what the networks compute in, as `run.precision`; `auto` is what they were trained in, where
                this device is fast in it, else fp32; and fp32 in any case for results of more than 8 bits.
            compiled: generate code for each size of picture: it takes a while, and pays for many pictures of one size.
                Tiles are not compiled.
            tile: the side of tiles in pixels, for pictures that are larger; `auto` cuts those of more than
                `WHOLE_PIXELS`, if the networks can be tiled.
            seed: of the random numbers that the signal draws.
            whole: take files as they are, though those of the dataset hold pictures side by side.
            tell: told, once, how large pictures are translated, and that only a part of each file is.

        Raises:
            UsageError: the run has no checkpoint, or no such direction or signal, or cannot be tiled and is asked to.
        """
        trained = open_trained(run, registry, device=device, averaged=averaged, precision=precision)
        chosen = choose(trained.recipe, trained.plan, direction, signal)
        finer = precision == "auto" and trained.precision.name in ("bf16", "fp16")
        translator = cls(trained, trained.program(compiled), chosen, tile, seed, whole, tell, finer)
        if isinstance(tile, int):
            _ = translator._tiling  # what cannot be done is said at once
        return translator

    @property
    def signal(self) -> str:
        """The name of what is computed."""
        return self.choice.signal

    @property
    def text(self) -> str:
        """The signal's expression."""
        return self.trained.recipe.signals[self.signal].text

    @property
    def channels(self) -> int:
        """How many channels the pictures that it takes have."""
        return self.taken.channels

    @cached_property
    def taken(self) -> images.Storage:
        """How the pictures that it takes are stored."""
        return storage_of(self.trained.recipe, self.choice.field)

    @cached_property
    def given(self) -> images.Storage:
        """How its results are stored."""
        return result_storage(self.trained.recipe, self.trained.plan.shapes, self.signal, self.choice.field)

    @cached_property
    def looks(self) -> Mapping[str, tuple[int, ...]]:
        """Which channels of fields and signals are shown, where the recipe says so."""
        return looks(self.trained.recipe, directions(self.trained.recipe, self.trained.plan.shapes))

    def read(self, path: Path) -> tuple[Tensor, Limits | None]:
        """A file's picture `[C, H, W]`, as it travels or with all of its 16 bits, and black and white of the file where
        each has its own.

        Raises:
            BadFile: it cannot be read, or does not fit.
        """
        return (images.read_exact(path, self.channels), None) if self.taken.plain else self.taken.read_with_limits(path)

    @property
    def weights(self) -> str:
        """Which weights these are, in words."""
        return self.trained.weights

    @property
    def precision(self) -> Precision:
        """The device that it computes on, and the type that it computes in."""
        return self.trained.precision

    @property
    def identity(self) -> dict[str, Any]:
        """What decides over the result, as JSON: the same picture with the same identity gives the same translation."""
        manifest = (self.trained.checkpoint / "manifest.json").read_bytes()  # it has a hash of every file
        parted = type(self.trained.recipe.dataset).fields_in is not Dataset.fields_in
        files = {"files": "whole" if self.whole else "parted"} if parted else {}
        return {
            "checkpoint": f"{self.trained.checkpoint.name} {hashlib.sha256(manifest).hexdigest()[:16]}",
            "weights": "averaged" if self.trained.averaged else "raw",
            "signal": self.signal,
            "precision": self.precision.name,
            "seed": self.seed,
            **files,
        }

    @cached_property
    def in_fp32(self) -> Translator:
        """The same in float32: bfloat16 tells fewer levels apart than 16 bits have."""
        trained = dataclasses.replace(self.trained, precision=Precision("fp32", self.precision.device))
        return dataclasses.replace(self, trained=trained, program=trained.program(), finer=False)

    @cached_property
    def back(self) -> Translator | None:
        """The translation there and back again, where the recipe has one."""
        if self.choice.recovered is None:
            return None
        chosen = choose(self.trained.recipe, self.trained.plan, signal=self.choice.recovered)
        return dataclasses.replace(self, choice=chosen)

    @cached_property
    def truth(self) -> str | None:
        """The field that a translation should equal, where the data have it."""
        recipe = self.trained.recipe
        found = directions(recipe, self.trained.plan.shapes)
        if all((each.source, each.translated) != (self.choice.field, self.signal) for each in found):
            return None
        return recipe.dataset.truths().get(self.choice.field)

    def parted(self, height_px: int, width_px: int) -> tuple[Box | None, Box | None]:
        """What of a file of this size is translated, and where its truth is, if files hold several pictures."""
        dataset = self.trained.recipe.dataset
        boxes = {} if self.whole else dataset.fields_in(height_px, width_px)
        if self.choice.field not in boxes:
            return None, None
        truth = boxes.get(self.truth or "")
        if not self._told:
            compared = f", and {self.truth} is the truth" if truth else ""
            self.tell(
                f"files hold several pictures: {self.choice.field}{self._where(boxes, width_px)}is translated{compared}"
            )
            self._told = True
        return boxes[self.choice.field], truth

    def partner(self, file: Path) -> Path | None:
        """The file of the truth, where the dataset's pairs are two files."""
        if self.whole or self.truth is None:
            return None
        found = self.trained.recipe.dataset.partner(file, self.choice.field)
        if found and not self._told:
            self.tell(f"the truth is there: {self.truth} of {file} is {found}")
            self._told = True
        return found

    def _where(self, boxes: Mapping[str, Box], width_px: int) -> str:
        _, left, _, width = boxes[self.choice.field]
        beside = len(boxes) == 2 and left in (0, width_px - width)
        return f", on the {'left' if left + width < width_px else 'right'}, " if beside else " "

    def __call__(self, image: Any, size_px: int | None = None, **inputs: Any) -> Any:
        """Translate a picture; the result is of the same kind, type, height and width.

        Args:
            image: a path, a Pillow image, a numpy array `[H, W, C]` or `[H, W]` of uint8 or uint16 (or, where the data
                have a range of their own, of any numbers), or a tensor `[C, H, W]` or `[N, C, H, W]` of uint8, uint16
                or floats in `[-1, 1]`. For a path it is a Pillow image, or an array where Pillow has no such pictures.
                Where the dataset's files hold pictures side by side, of a path and of a Pillow image only what is
                translated is taken, unless `whole` is set.
            size_px: resize it to a square of so many pixels first.
            inputs: what the signal takes beside it, by the names of fields: other pictures and masks, as `image`;
                classes and numbers.

        Raises:
            UsageError: it is no picture, or the networks do not take pictures of this size; an input is missing.
            EnvironmentFault: the file cannot be read, or memory does not suffice.
        """
        others = opened_inputs(self.trained.recipe, self.choice, inputs, size_px)
        pictures, returned = opened(image, self.taken, self.given)
        if isinstance(image, str | os.PathLike | Image.Image):
            box, _ = self.parted(*pictures.shape[-2:])
            pictures = pictures if box is None else cut(pictures, box)
        if size_px is not None:
            pictures = images.resize(pictures, size_px, size_px)
        whole: dict[torch.dtype, Convert] = {torch.uint8: images.to_uint8, torch.uint16: images.to_uint16}
        finish = whole.get(pictures.dtype, lambda made: made.to(pictures.dtype))
        if not (isinstance(image, Tensor) or (self.taken.plain and self.given.plain)):
            finish = torch.Tensor.float  # which become what files hold
        return returned(self.translate(pictures, finish, others=others))

    def translate(
        self,
        pictures: Tensor,
        finish: Convert,
        done: Callable[[float], None] = lambda _: None,
        others: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Translate pictures of one size: `[N, C, H, W]` on the CPU, and so is the result.

        Where networks want sides that some number divides, pictures are continued by their mirror image, and the
        results cut.

        Args:
            pictures: uint8, uint16, or floats in `[-1, 1]`.
            finish: from floats in `[-1, 1]` to the type of the result: `ganforge.images.to_uint8`.
            done: told how many are done; while one is in tiles, with a part of it.
            others: what the signal takes beside them: pictures and masks `[N, C, H, W]` of their size, classes and
                numbers `[1, ...]` for all.

        Raises:
            UsageError: the networks do not take pictures of this size; an input is missing.
            EnvironmentFault: memory does not suffice.
        """
        if self.finer and finish is not images.to_uint8:
            return self.in_fp32.translate(pictures, finish, done, others)
        stack = Stack.of(self.choice, pictures, others or {})
        tiling, tile_px = self._tiling_for(*pictures.shape[-2:]) if stack.alone else (None, 0)

        def to_host(floats: Tensor) -> Tensor:
            return finish(floats.cpu())

        def compute(before: int, batch: Tensor) -> Tensor:
            if tiling is None:
                with torch.inference_mode():
                    fields = to_device(stack.fields(batch), self.precision)
                    return to_host(self.compute(fields.pop(self.choice.field), **fields))
            return tiling(batch, tile_px, self._prepare, to_host, lambda part: done(before + part))

        # What is drawn for a picture must not depend on which others are in its batch.
        alone = tiling is not None or self.choice.draws
        batches = stack.pictures.split(1 if alone else len(pictures))
        return torch.cat([fitted(batch, partial(compute, index), self.text) for index, batch in enumerate(batches)])

    def compute(self, images_NCHW: Tensor, **others: Tensor) -> Tensor:
        """The signal's value for floats `[N, C, H, W]` in `[-1, 1]`, and other fields, on the device."""
        return self._value(self.program, {self.choice.field: images_NCHW, **others})

    def _value(self, program: Program, fields: Mapping[str, Tensor]) -> Tensor:
        device = self.precision.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(self.seed)
            scene = Scene(program, fields, (), BEGINNING)
            return scene.value(Name.of(self.signal))

    def _prepare(self, pictures: Tensor) -> Tensor:
        return to_device({self.choice.field: pictures}, self.precision)[self.choice.field]

    def _tiling_for(self, height: int, width: int) -> tuple[Tiling | None, int]:
        """How to cut a picture of this size, and into tiles of which size."""
        if self.tile == "off":
            return None, 0
        large = height * width > WHOLE_PIXELS if self.tile == "auto" else max(height, width) > self.tile
        return (self._tiling, self._tile_px) if large else (None, 0)

    @property
    def _tile_px(self) -> int:
        return self.tile if isinstance(self.tile, int) else TILES_PX.get(self.precision.device.type, TILE_PX)

    @cached_property
    def _tiling(self) -> Tiling | None:
        exact = self.precision.name in ("fp32", "fp64")
        eager = self.trained.program()
        try:
            tiling = Tiling(
                lambda picture: self._value(eager, {self.choice.field: picture}),
                self.channels,
                dtype=self.precision.weights,
                device=self.precision.device,
                exact=exact,
            )
        except Untileable as reason:
            message = f"{self.text} cannot be computed in tiles: {reason}"
            if self.tile != "auto":
                raise UsageError(message, "leave --tile out") from reason
            self.tell(f"{message}; large pictures are translated whole, which takes much memory")
            return None
        norms = "with the whole picture's statistics, " if tiling.stages.norms else ""
        passes = f"in {tiling.passes} passes" if tiling.passes > 1 else "in one pass"
        self.tell(f"{self.signal} of large pictures: tiles of {self._tile_px} pixels, {norms}{passes}")
        return tiling
