"""Making parts as a recipe says: a constructor that refuses, fails, or makes something else is told at its place."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ganforge.api.callbacks import Callback
from ganforge.api.context import Progress
from ganforge.api.datasets import Dataset, Samples
from ganforge.errors import GanforgeError, Problem, RecipeError
from ganforge.failures.blame import blame, fault_of, refuse
from ganforge.failures.exhaustion import exhausted
from ganforge.failures.fault import PartFailed
from ganforge.failures.words import words
from ganforge.images.storage import Storage
from ganforge.recipe.model import PartUse

OPTIMIZER = ("step", "state_dict", "load_state_dict")
METRIC = ("update", "compute")


def build(use: PartUse, *given: Any, **injected: Any) -> Any:
    """Call a part's constructor.

    Raises:
        RecipeError: it refuses its options, fails, or makes no part of its kind; at its place in the recipe.
    """
    try:
        made = use.part.factory(*given, **injected, **use.options)
        fits, wanted = WANTED[use.part.kind]
        misfit = not fits(made)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a part may even call sys.exit
        raise RecipeError([refusal(error, use)]) from error
    if misfit:
        raise RecipeError([Problem(f"{use.part.name} makes {kind_of(made)}, not {wanted}", use.mark, _definition(use))])
    return made


def refusal(error: BaseException, use: PartUse) -> Problem:
    """The problem of a part that refuses what it is given, or fails.

    An error that says `what is wrong; what to do` is told in its own words; any other with the line that raised it.
    """
    takes = f"it takes: {use.part.signature}"
    less = f"give it smaller options; {takes}" if use.part.signature.options else "make it smaller"
    if not isinstance(error, GanforgeError) and (told := exhausted(error, less)):
        lines = replace(fault_of(error), mark=None).lines
        return Problem(f"{use.part.name}: {told.message}", use.mark, "\n".join([told.cure, *lines]))
    message, designed, cure = words(error).partition("; ")
    fault = fault_of(error)
    plain = not fault.own and not isinstance(error, PartFailed)
    if isinstance(error, GanforgeError) or (designed and isinstance(error, ValueError)) or plain:
        return Problem(f"{use.part.name}: {message or type(error).__name__}", use.mark, cure)
    return Problem(f"{use.part.name}: {fault.said}", use.mark, "\n".join(replace(fault, mark=None).lines))


def _definition(use: PartUse) -> str:
    """The place where a part is defined, for errors that no line of it raised."""
    return "\n".join(fault_of(refuse("", use)).lines[-1:])


def _offers(made: Any, names: Sequence[str]) -> bool:
    return all(callable(getattr(made, name, None)) for name in names)


def _has_groups(made: Any) -> bool:
    groups = getattr(made, "param_groups", None)
    return isinstance(groups, list) and bool(groups) and all(isinstance(group, dict) for group in groups)


WANTED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "networks": (lambda made: isinstance(made, nn.Module), "a network: an nn.Module"),
    "ops": (callable, "something that can be called"),
    "losses": (callable, "something that can be called"),
    "augmentations": (callable, "something that can be called"),
    "datasets": (lambda made: isinstance(made, Dataset), "a ganforge.Dataset"),
    "callbacks": (lambda made: isinstance(made, Callback), "a ganforge.Callback"),
    "metrics": (lambda made: _offers(made, METRIC), "a ganforge.Metric, with update and compute"),
    "optimizers": (
        lambda made: _offers(made, OPTIMIZER) and _has_groups(made),
        "an optimizer, such as a torch.optim.Optimizer with its param_groups",
    ),
}


def kind_of(value: Any) -> str:
    """What a value is, in words."""
    if isinstance(value, Tensor):
        return f"a tensor {list(value.shape)}"
    name = type(value).__name__
    return "nothing (None)" if value is None else f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def bind_schedule(use: PartUse) -> Callable[[Progress], float]:
    """A schedule as a function of the progress alone."""
    (name,) = use.part.signature.injected

    def value(progress: Progress) -> float:
        with blame(f"the schedule '{use.part.name}' cannot be computed", use):
            return number(use.part.factory(**{name: progress}, **use.options), use)

    return value


def number(value: Any, use: PartUse) -> Any:
    """What a schedule gives, which must be a finite number.

    Raises:
        PartFailed: it is none.
    """
    if isinstance(value, Tensor):
        value = value.item() if value.numel() == 1 and not value.is_complex() else value
    if isinstance(value, bool) or not hasattr(type(value), "__float__") or not math.isfinite(value):
        shown = f"{value}" if isinstance(value, float | int) else kind_of(value)
        raise refuse(f"it gives {shown}, not a finite number", use)
    return value


class Watched(Dataset):
    """A dataset that tells whose it is when one of its methods fails, or gives what it should not.

    Raises:
        PartFailed: when it is made, if it does not say what fields it has.
    """

    def __init__(self, dataset: Dataset, use: PartUse) -> None:
        self._dataset, self._use = dataset, use
        self._shapes, self._validation_shapes = self._asked("shapes"), self._asked("validation_shapes")
        self._dtypes = dict(self._call("dtypes", Mapping))
        if any(not isinstance(dtype, torch.dtype) for dtype in self._dtypes.values()):
            raise refuse("dtypes() gives something else than types of torch by the names of fields", use)

    def _call(self, method: str, *kinds: type, given: Sequence[Any] = ()) -> Any:
        with blame(f"{method}() of the dataset '{self._use.part.name}' failed", self._use):
            value = getattr(self._dataset, method)(*given)
        if kinds and not isinstance(value, kinds):
            wanted = " or ".join("nothing" if kind is type(None) else kind.__name__ for kind in kinds)
            raise refuse(f"{method}() gives {kind_of(value)}, not {wanted}", self._use)
        return value

    def _asked(self, method: str) -> dict[str, tuple[int, ...]]:
        shapes = dict(self._call(method, Mapping))
        if not shapes:
            raise refuse(f"{method}() gives no field", self._use)
        for name, shape in shapes.items():
            if not isinstance(name, str) or not isinstance(shape, list | tuple) or not all(map(_is_size, shape)):
                raise refuse(f"{method}() gives {name!r}: {shape!r}, where a name and its sizes should be", self._use)
        return {name: tuple(shape) for name, shape in shapes.items()}

    def _samples(self, method: str, *kinds: type) -> Samples | None:
        samples: Samples | None = self._call(method, Samples, *kinds)
        # With none there is nothing to validate on.
        with blame(f"the length of {method}() of the dataset '{self._use.part.name}' cannot be had", self._use):
            if samples is None or (len(samples) == 0 and kinds):
                return None
        return samples

    @property
    def resizer(self) -> str:  # type: ignore[override]
        return str(self._dataset.resizer)

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return self._shapes

    def dtypes(self) -> Mapping[str, torch.dtype]:
        return self._dtypes

    def ranges(self) -> Mapping[str, range]:
        ranges = self._call("ranges", Mapping)
        if not all(isinstance(known, range) for known in ranges.values()):
            raise refuse("ranges() gives something else than ranges by the names of fields", self._use)
        return ranges

    def class_names(self) -> Mapping[str, Sequence[str]]:
        return self._call("class_names", Mapping)

    def storage(self) -> Mapping[str, Storage]:
        storage = self._call("storage", Mapping)
        if not all(isinstance(each, Storage) for each in storage.values()):
            raise refuse("storage() gives something else than images.Storage by the names of fields", self._use)
        return storage

    def groups(self) -> Sequence[Sequence[str]]:
        groups = [tuple(group) for group in self._call("groups", Sequence)]
        named = [name for group in groups for name in group]
        if strange := [name for name in named if name not in self._shapes]:
            raise refuse(f"groups() names {strange[0]!r}, and shapes() does not", self._use)
        if twice := [name for name in named if named.count(name) > 1]:
            raise refuse(f"groups() has '{twice[0]}' twice: what corresponds to all of it is one group", self._use)
        for group in groups:
            sizes = {name: self._shapes[name] for name in group}
            if any(len(shape) not in (2, 3) or shape[-2:] != sizes[group[0]][-2:] for shape in sizes.values()):
                said = ", ".join(f"'{name}' {list(shape)}" for name, shape in sizes.items())
                raise refuse(f"groups() puts fields together that cannot correspond pixel by pixel: {said}", self._use)
        return groups

    def known_length(self) -> int | None:
        return self._call("known_length", int, type(None))

    def remarks(self) -> Sequence[str]:
        remarks = self._call("remarks", Sequence)
        if isinstance(remarks, str) or not all(isinstance(remark, str) for remark in remarks):
            raise refuse("remarks() gives something else than texts", self._use)
        return remarks

    def validation_shapes(self) -> Mapping[str, tuple[int, ...]]:
        return self._validation_shapes

    def prepare(self) -> None:
        self._call("prepare")

    def files(self) -> Sequence[Path]:
        files = self._call("files", Sequence)
        if not all(isinstance(file, Path) for file in files):
            raise refuse("files() gives something else than paths", self._use)
        return files

    def train(self) -> Samples:
        return self._samples("train")  # type: ignore[return-value]

    def validation(self) -> Samples | None:
        return self._samples("validation", type(None))

    def fields_in(self, height_px: int, width_px: int) -> Mapping[str, tuple[int, int, int, int]]:
        return self._call("fields_in", Mapping, given=(height_px, width_px))

    def partner(self, file: Path, field: str) -> Path | None:
        return self._call("partner", Path, type(None), given=(file, field))

    def truths(self) -> Mapping[str, str]:
        return self._call("truths", Mapping)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set what the engine tells the dataset, such as `skips_bad`."""
        if not name.startswith("_"):
            setattr(self._dataset, name, value)
        object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        """Get whatever else the dataset has."""
        return getattr(self.__dict__["_dataset"], name)


def _is_size(size: Any) -> bool:
    return isinstance(size, int) and not isinstance(size, bool) and size > 0
