"""What a signal takes beside the picture that is translated: other pictures, masks, classes, numbers."""

from __future__ import annotations

import os
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganforge import images
from ganforge.errors import EnvironmentFault, UsageError, suggest
from ganforge.images.listing import ARRAYS, SUFFIXES
from ganforge.images.storage import as_mask, read_mask
from ganforge.inference.translate.picture_types import opened
from ganforge.recipe.model import Recipe
from ganforge.rehearsal.directions import storage_of
from ganforge.rehearsal.signals import Choice


@dataclass(frozen=True)
class Stack:
    """Pictures with those that go with them, one on the other: whatever is done to their size is done to all."""

    pictures: Tensor
    """`[N, C, H, W]`, of all fields together."""
    layers: Mapping[str, int]
    """How many channels each field has."""
    constants: Mapping[str, Tensor]
    """Classes and numbers, `[1, ...]`."""

    @classmethod
    def of(cls, choice: Choice, pictures: Tensor, others: Mapping[str, Tensor]) -> Stack:
        """Put them together.

        Raises:
            UsageError: an input is missing, or of another size.
        """
        _refuse_lacking(choice, others)
        sized = {name: value for name, value in others.items() if value.ndim == 4}
        for name, value in sized.items():
            if value.shape[2:] != pictures.shape[2:]:
                ours, theirs = ("x".join(map(str, each.shape[:1:-1])) for each in (pictures, value))
                raise UsageError(f"the picture is {ours}, and {name} is {theirs}", "give pictures of one size")
        constants = {name: value for name, value in others.items() if name not in sized}
        layers = {name: value.shape[1] for name, value in {choice.field: pictures, **sized}.items()}
        if sized:
            pictures = torch.cat([images.to_float(each) for each in (pictures, *sized.values())], 1)
        return cls(pictures, layers, constants)

    @property
    def alone(self) -> bool:
        """Whether there is nothing but the picture."""
        return len(self.layers) == 1 and not self.constants

    def fields(self, pictures: Tensor) -> dict[str, Tensor]:
        """The fields of a batch of stacked pictures."""
        pieces = pictures.split(list(self.layers.values()), 1)
        constants = {name: value.expand(len(pictures), *value.shape[1:]) for name, value in self.constants.items()}
        return {**dict(zip(self.layers, pieces, strict=True)), **constants}


def _refuse_lacking(choice: Choice, given: Container[str]) -> None:
    if lacking := [name for name in choice.others if name not in given]:
        raise UsageError(
            f"'{choice.signal}' also takes {' and '.join(lacking)}",
            f"give it: --input {lacking[0]}=..., in Python {lacking[0]}=...",
        )


def opened_inputs(recipe: Recipe, choice: Choice, given: Mapping[str, Any], size_px: int | None) -> dict[str, Tensor]:
    """What a caller has for the other fields, as tensors.

    Raises:
        UsageError: the signal takes no such field, or it is something else.
        EnvironmentFault: a file cannot be read.
    """
    if unknown := [name for name in given if name not in choice.others]:
        takes = suggest(unknown[0], choice.others, "") if choice.others else "it takes nothing but a picture"
        raise UsageError(f"'{choice.signal}' takes no '{unknown[0]}'", takes)
    found: dict[str, Tensor] = {}
    for name, value in given.items():
        shape, dtypes = recipe.dataset.shapes()[name], recipe.dataset.dtypes()
        if len(shape) != 3:
            found[name] = _constant(recipe, name, value)
            continue
        mask = name in dtypes
        if mask and isinstance(value, str | os.PathLike):
            pictures = read_mask(Path(value))[None]
        else:
            pictures, _ = opened(value, storage_of(recipe, name))
            pictures = as_mask(pictures) if mask else pictures
        if size_px is not None:
            pictures = images.resize(pictures, size_px, size_px)
        found[name] = (pictures > 127).float() if mask else pictures
    return found


def _constant(recipe: Recipe, name: str, value: Any) -> Tensor:
    shape, dtype = recipe.dataset.shapes()[name], recipe.dataset.dtypes().get(name, torch.float32)
    names = recipe.dataset.class_names().get(name, ())
    if isinstance(value, str):
        value = names.index(value) if value in names else _number(value)
    try:
        if dtype == torch.int64 and torch.as_tensor(value, dtype=torch.float64).frac().any():
            raise ValueError("no whole number")
        tensor = torch.as_tensor(value, dtype=dtype).reshape(1, *shape)
    except (TypeError, ValueError, RuntimeError) as error:
        wanted = f"one of {', '.join(names)}" if names else f"numbers {list(shape)}" if shape else "a number"
        raise UsageError(f"{name} is {wanted}, and '{value}' was given") from error
    known = recipe.dataset.ranges().get(name)
    if known and not all(int(each) in known for each in tensor.flatten()):
        raise UsageError(f"{name} is one of {min(known)} to {max(known)}, and {value} was given")
    return tensor


@dataclass(frozen=True)
class Inputs:
    """The other inputs of many pictures, as a command is given them: folders, files and numbers."""

    recipe: Recipe
    choice: Choice
    given: Mapping[str, str]
    _folders: dict[Path, dict[str, Path]] = field(default_factory=dict)
    """The files of folders by their names without suffix, each folder looked at once."""

    @classmethod
    def parsed(cls, recipe: Recipe, choice: Choice, words: Sequence[str]) -> Inputs:
        """Read `depth=depths/` and `label=3`.

        Raises:
            UsageError: a word is none of these; a field is missing, or not taken.
        """
        given = dict(word.partition("=")[::2] for word in words)
        if wrong := [word for word in words if "=" not in word]:
            raise UsageError(f"'{wrong[0]}' names no field", "write --input FIELD=FOLDER, or --input FIELD=NUMBER")
        _refuse_lacking(choice, given)
        if len(given) < len(words):
            raise UsageError("one field is given twice", "give each --input once")
        opened_inputs(recipe, choice, {n: value for n, value in given.items() if not _is_file(recipe, n)}, None)
        for name, value in given.items():
            if name in choice.others and _is_file(recipe, name) and not Path(value).exists():
                raise UsageError(f"--input {name}: there is no folder or file {value}")
        return cls(recipe, choice, given)

    def of(self, picture: Path, relative: Path, size_px: int | None) -> dict[str, Tensor]:
        """The inputs that go with a picture: of folders, the file of its name.

        Raises:
            EnvironmentFault: there is none.
        """
        found: dict[str, Any] = {}
        for name, value in self.given.items():
            is_file = _is_file(self.recipe, name)
            found[name] = self._partner(picture, relative, name, Path(value)) if is_file else value
        return opened_inputs(self.recipe, self.choice, found, size_px)

    def _partner(self, picture: Path, relative: Path, name: str, place: Path) -> Path:
        if place.is_file():
            return place
        folder = (place / relative).parent
        if folder not in self._folders:
            found = sorted(folder.iterdir(), reverse=True) if folder.is_dir() else []
            known = (path for path in found if path.suffix.lower() in SUFFIXES | ARRAYS)
            self._folders[folder] = {path.stem: path for path in known}
        partner = self._folders[folder].get(relative.stem)
        if partner is None:
            raise EnvironmentFault(f"{picture} has no {name} of its name in {folder}")
        return partner


def _is_file(recipe: Recipe, field: str) -> bool:
    return len(recipe.dataset.shapes().get(field, ())) == 3


def _number(value: str) -> Any:
    try:
        numbers = [float(each) for each in value.split(",")]
    except ValueError:
        return value
    return numbers if len(numbers) > 1 else numbers[0]
