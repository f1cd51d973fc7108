"""Pictures that are there more than once: the same bytes, the same pixels, or alike to the eye."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from ganforge.builtin.datasets.inspection.picture import THUMBNAIL_PX, Picture
from ganforge.builtin.datasets.inspection.report import Track

# The cosine above which thumbnails' gradients count as alike. In horse2zebra copies that were sharpened, recoloured or
# blurred lie above 0.86, and strangers below 0.84: this is on the safe side.
ALIKE = 0.95
_LEAST_CONTRAST = 1.0  # mean step between neighbours, of 255, below which a thumbnail says nothing
_BLOCK = 256
_SHOWN = 16  # blocks that take long enough to show how far it is

Floats = npt.NDArray[np.float32]


def grouped(pictures: Iterable[Picture], key: Callable[[Picture], str]) -> list[list[Picture]]:
    """The pictures by a key, in the order in which they come."""
    groups: dict[str, list[Picture]] = defaultdict(list)
    for picture in pictures:
        groups[key(picture)].append(picture)
    return list(groups.values())


def distinct(pictures: Iterable[Picture], key: Callable[[Picture], str]) -> list[Picture]:
    """The first picture of each key."""
    return [group[0] for group in grouped(pictures, key)]


def alike_within(pictures: Sequence[Picture], track: Track) -> Iterator[tuple[Picture, Picture]]:
    """Each picture that looks like an earlier one, behind the one that it looks most like."""
    gradients = _gradients(pictures)
    for rows in _blocks(len(pictures), track):
        cosines = gradients[rows] @ gradients[: rows.stop].T
        own = np.arange(rows.start, rows.stop)
        cosines[np.arange(rows.stop) >= own[:, None]] = 0  # only earlier ones
        yield from ((pictures[i], pictures[row]) for row, i in _best(cosines, rows.start))


def alike_across(
    pictures: Sequence[Picture], others: Sequence[Picture], track: Track
) -> Iterator[tuple[Picture, Picture]]:
    """Each picture that looks like one of the others, before the one that it looks most like."""
    if not others:
        return
    gradients, others_gradients = _gradients(pictures), _gradients(others)
    for rows in _blocks(len(pictures), track):
        cosines = gradients[rows] @ others_gradients.T
        yield from ((pictures[row], others[i]) for row, i in _best(cosines, rows.start))


def _best(cosines: Floats, start: int) -> Iterator[tuple[int, int]]:
    """The rows, counted from `start`, that have anything alike, with the column of what is most so."""
    for row in np.flatnonzero(cosines.max(1) > ALIKE):
        yield start + int(row), int(cosines[row].argmax())


def _blocks(count: int, track: Track) -> Iterable[slice]:
    blocks = [slice(start, min(start + _BLOCK, count)) for start in range(0, count, _BLOCK)]
    return track(blocks, "comparing") if len(blocks) > _SHOWN else blocks


def _gradients(pictures: Sequence[Picture]) -> Floats:
    """The differences between neighbours in each thumbnail, of length 1: float32 `[N, 480]`.

    They change little with exposure, contrast, colour, size and compression. Where there are hardly any, they are 0.
    """
    thumbnails = np.array([picture.thumbnail for picture in pictures], np.float32)
    thumbnails = thumbnails.reshape(-1, THUMBNAIL_PX, THUMBNAIL_PX)
    steps = [np.diff(thumbnails, axis=axis).reshape(-1, THUMBNAIL_PX * (THUMBNAIL_PX - 1)) for axis in (1, 2)]
    gradients: Floats = np.concatenate(steps, axis=1)
    telling = np.abs(gradients).mean(1, keepdims=True) >= _LEAST_CONTRAST
    lengths = np.linalg.norm(gradients, axis=1, keepdims=True)
    return np.where(telling, gradients / np.maximum(lengths, 1e-6), 0).astype(np.float32)
