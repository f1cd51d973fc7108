"""Whether the labels that a dataset promises find a place in the tables that are looked up by them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from ganforge.api.datasets import Dataset
from ganforge.core.torch_internals.fake import TorchDispatchMode
from ganforge.core.torch_internals.tensors import schema_of

aten = torch.ops.aten

# What gives back numbers that it was given, in another place or form.
_KEEPING = frozenset(
    (
        *(aten.view, aten.reshape, aten._unsafe_view, aten._reshape_alias, aten.unsqueeze, aten.squeeze, aten.flatten),
        *(aten.expand, aten.repeat, aten.repeat_interleave, aten.permute, aten.transpose, aten.t, aten.flip, aten.roll),
        *(aten.slice, aten.select, aten.index, aten.index_select, aten.gather, aten.split, aten.chunk, aten.unbind),
        *(aten.clone, aten.detach, aten.alias, aten._to_copy, aten.to, aten.contiguous, aten.lift_fresh, aten.cat),
        *(aten.stack, aten.diagonal, aten.take, aten.as_strided, aten.copy, aten.where, aten.constant_pad_nd),
    )
)


class OutOfRange(Exception):
    """A label finds no place: what it is looked up in is smaller than the dataset says that labels are."""


class LabelWatch(TorchDispatchMode):
    """While it is open, follows the numbers of labels through fake tensors, which have no values.

    Where something is looked up by them (embeddings, cross-entropy, gather, comparison with all classes), the largest
    must find a place; if not, `OutOfRange` is raised in the midst of the call. Of numbers that come otherwise than from
    labels, `randint` and simple arithmetic, nothing is known, and nothing is said.
    """

    def __init__(self, dataset: Dataset) -> None:
        super().__init__()
        self.ranges = {name: known for name, known in dataset.ranges().items() if isinstance(known, range) and known}
        self.known = WeakTensorKeyDictionary()
        """The lowest and the highest number that each tensor may hold."""
        self.classes = WeakTensorKeyDictionary()
        """Tensors that hold all whole numbers from 0 on: what one-hot vectors are compared with."""

    def note(self, batch: Mapping[str, Tensor]) -> None:
        """Note the ranges of a batch's labels; the batch has the dataset's fields."""
        for name, known in self.ranges.items():
            if name in batch and not batch[name].is_floating_point():
                self.known[batch[name]] = (min(known), max(known))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.through(func, args, kwargs or {})

    def through(self, func: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
        """What an operation gives; a mode that sees all operations too asks this one, which need not be open then.

        Raises:
            OutOfRange: a label finds no place.
        """
        check, is_mutable, follows = _concern(func)
        if check:
            check(self, *args, **kwargs)
        out = func(*args, **kwargs)
        if is_mutable:
            self._forget(args)
        elif follows and (self.known or self.classes or func.overloadpacket in _BEGINNING):
            self._follow(func.overloadpacket, args, out)
        return out

    def range(self, value: Any) -> tuple[int, int] | None:
        """The lowest and highest number of a tensor of labels, or of a number; None where nobody knows."""
        if isinstance(value, Tensor):
            return self.known.get(value)
        return (value, value) if isinstance(value, int) and not isinstance(value, bool) else None

    def fits(self, labels: Any, size: int, what: str, allowed: int = 0) -> None:
        """Whether labels, but `allowed`, are in `[0, size)`."""
        known = self.range(labels) if isinstance(labels, Tensor) else None
        if known and not (min(0, allowed) <= known[0] and known[1] < size):
            raise OutOfRange(
                f"labels go from {known[0]} to {known[1]}, as the dataset says, and {what} {size}: "
                "make these as many as there are classes"
            )

    def _forget(self, args: Any) -> None:
        for value in args[:1]:
            if isinstance(value, Tensor):
                self.known.pop(value, None)
                self.classes.pop(value, None)

    def _follow(self, op: Any, args: Any, out: Any) -> None:
        if op is aten.arange:
            ends = [each for each in args if isinstance(each, int)]
            if len(ends) == 1 or (len(ends) == 2 and ends[0] == 0):
                self.classes[out] = ends[-1]
            return
        known = self._result(op, args)
        whole = [each for each in (out if isinstance(out, list | tuple) else [out]) if isinstance(each, Tensor)]
        for each in whole:
            if known and not each.is_floating_point() and each.dtype != torch.bool:
                self.known[each] = known
            if op in _KEEPING and args and isinstance(args[0], Tensor) and args[0] in self.classes:
                self.classes[each] = self.classes[args[0]]

    def _result(self, op: Any, args: Any) -> tuple[int, int] | None:
        if op is aten.randint:
            ends = [each for each in args if isinstance(each, int)]
            return (ends[0] if len(ends) > 1 else 0, ends[-1] - 1) if ends else None
        if op in _KEEPING:
            given = args[1:] if op is aten.where else args[0] if op in (aten.cat, aten.stack) else args[:1]
            ranges = [self.range(each) for each in given]
            return _union([each for each in ranges if each]) if ranges and all(ranges) else None
        if op in _ARITHMETIC and len(args) == 2:
            ours, theirs = self.range(args[0]), self.range(args[1])
            return _ARITHMETIC[op](ours, theirs) if ours and theirs else None
        if op is aten.remainder and isinstance(args[1], int) and args[1] > 0:
            return (0, args[1] - 1)
        if op is aten.clamp and (known := self.range(args[0])):
            limits = [*args[1:], None, None]
            return _clamped(known, limits[0], limits[1])
        return None


def _union(ranges: list[tuple[int, int]]) -> tuple[int, int]:
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def _clamped(known: tuple[int, int], low: Any, high: Any) -> tuple[int, int]:
    ends = [end if low is None else max(end, low) for end in known]
    first, last = (end if high is None else min(end, high) for end in ends)
    return first, last


_ARITHMETIC: dict[Any, Callable[[tuple[int, int], tuple[int, int]], tuple[int, int]]] = {
    aten.add: lambda a, b: (a[0] + b[0], a[1] + b[1]),
    aten.sub: lambda a, b: (a[0] - b[1], a[1] - b[0]),
    aten.mul: lambda a, b: _union([(x * y, x * y) for x in a for y in b]),
}


# What is looked up by labels, and how large it is


def _embedding(watch: LabelWatch, weight: Tensor, indices: Tensor, *_: Any, **__: Any) -> None:
    watch.fits(indices, weight.shape[0], "they are looked up in a table whose rows are")


def _nll(watch: LabelWatch, scores: Tensor, target: Tensor, *_: Any, **__: Any) -> None:
    watch.fits(target, scores.shape[1 if scores.ndim > 1 else 0], "the scores that they choose among are", -100)


def _along(watch: LabelWatch, values: Tensor, dim: int, index: Tensor, *_: Any, **__: Any) -> None:
    if values.ndim:
        watch.fits(index, values.shape[dim], "the places that they choose among are")


def _index(watch: LabelWatch, values: Tensor, indices: Any, *_: Any, **__: Any) -> None:
    for place, index in enumerate(indices):
        if isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8):
            return  # a mask takes several dimensions
        if isinstance(index, Tensor):
            watch.fits(index, values.shape[place], "the places that they choose among are", -values.shape[place])


def _equal(watch: LabelWatch, one: Any, other: Any, *_: Any, **__: Any) -> None:
    for labels, classes in ((one, other), (other, one)):
        if isinstance(classes, Tensor) and classes in watch.classes:
            watch.fits(
                labels, watch.classes[classes], "the classes that they are compared with, for one-hot vectors, are"
            )


def _margin(watch: LabelWatch, scores: Tensor, target: Tensor, *_: Any, **__: Any) -> None:
    watch.fits(target, scores.shape[-1], "the scores that they choose among are")


_BY_INDEX = (
    *(aten.gather, aten.index_select, aten.scatter, aten.scatter_, aten.scatter_add, aten.scatter_add_),
    *(aten.scatter_reduce, aten.index_fill, aten.index_fill_, aten.index_add, aten.index_add_, aten.index_copy),
)
_CHECKS: dict[Any, Callable[..., None]] = {
    **dict.fromkeys((aten.embedding, aten._embedding_bag, aten._embedding_bag_forward_only), _embedding),
    **dict.fromkeys((aten.nll_loss_forward, aten.nll_loss2d_forward, aten.nll_loss), _nll),
    **dict.fromkeys(_BY_INDEX, _along),
    **dict.fromkeys((aten.index, aten.index_put, aten.index_put_, aten._unsafe_index), _index),
    aten.multi_margin_loss: _margin,
    aten.eq: _equal,
}
_BEGINNING = frozenset((aten.arange, aten.randint, aten.remainder))
"""What gives numbers that are known, whatever it is given."""
_FOLLOWED = _KEEPING | _BEGINNING | frozenset((*_ARITHMETIC, aten.clamp))


@functools.cache
def _concern(func: Any) -> tuple[Callable[..., None] | None, bool, bool]:
    """Of an operation: the check of it, whether it writes into what it is given, whether its numbers are followed."""
    return _CHECKS.get(func.overloadpacket), schema_of(func).is_mutable, func.overloadpacket in _FOLLOWED
