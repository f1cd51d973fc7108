"""Pictures that are there more than once: the same bytes, the same pixels, or alike to the eye."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter

import numpy as np
import numpy.typing as npt

from ganforge.builtin.datasets.inspection.picture import THUMBNAIL_PX, Picture
from ganforge.builtin.datasets.inspection.report import Case, Examined, Finding, Summary, Track, about, counted

# The cosine above which thumbnails' gradients count as alike. In horse2zebra copies that were sharpened, recoloured or
# blurred lie above 0.86, and strangers below 0.84: this is on the safe side.
ALIKE = 0.95
_LEAST_CONTRAST = 1.0  # mean step between neighbours, of 255, below which a thumbnail says nothing
_BLOCK = 256
_SHOWN = 16  # blocks that take long enough to show how far it is

Floats = npt.NDArray[np.float32]
_pixels, _bytes = attrgetter("pixels"), attrgetter("sha256")


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


def findings(data: Examined, track: Track) -> Iterator[Finding]:
    """Copies across splits, across domains and within folders; then what only looks alike."""
    folders = {id(picture): s.folder for s in data.summaries for picture in s.readable}
    groups = [group for group in grouped(data.readable, _pixels) if len(group) > 1]

    def case(kept: Picture, *others: Picture) -> Case:
        same = all(other.sha256 == kept.sha256 for other in others)
        return data.case(kept, *others, detail="" if same else "same pixels, other bytes")

    leaks = []
    for group in groups:
        trained = [picture for picture in group if not folders[id(picture)].held_out]
        held_out = [picture for picture in group if folders[id(picture)].held_out]
        leaks += [case(picture, *trained) for picture in held_out if trained]
    text = "in training as well: no test of what was learnt"
    yield from about("error", "leak", leaks, "held-out picture", text, "take them out of training")
    both = [case(*group) for group in groups if len({folders[id(picture)].domain for picture in group}) > 1]
    text = "in more than one domain: contradictory examples"
    yield from about("warning", "in_two_domains", both, "picture", text, "keep each where it belongs")
    yield from _copies(data)
    yield from _alike(data, track)


def _copies(data: Examined) -> Iterator[Finding]:
    copies: list[Case] = []
    encoded: list[Case] = []
    for summary in data.summaries:
        copies += [data.case(*group) for group in grouped(summary.readable, _bytes) if len(group) > 1]
        different = distinct(summary.readable, _bytes)
        encoded += [data.case(*group) for group in grouped(different, _pixels) if len(group) > 1]
    for kind, cases, text in (
        ("copies", copies, "byte-identical to others of their folder: training sees those more often"),
        ("same_pixels", encoded, "with the pixels of others of their folder, in other bytes"),
    ):
        if cases:
            count = sum(len(case.files) - 1 for case in cases)
            text = f"{counted(count, 'file')} {text}"
            yield Finding("warning", kind, text, "keep one of each", count, tuple(cases))


def _alike(data: Examined, track: Track) -> Iterator[Finding]:
    def unique(summaries: list[Summary]) -> list[Picture]:
        return distinct((picture for s in summaries for picture in s.readable), _pixels)

    trained = unique([s for s in data.summaries if not s.folder.held_out])
    seen = {picture.pixels for picture in trained}
    held_out = [p for p in unique([s for s in data.summaries if s.folder.held_out]) if p.pixels not in seen]
    across = [data.case(*pair) for pair in alike_across(held_out, trained, track)]
    text = "looking like training pictures: perhaps a leak"
    cure = "look at them; take copies and frames of one film out of training"
    yield from about("warning", "leak_alike", across, "held-out picture", text, cure, sign=" ~ ")
    within = [data.case(*pair) for s in data.summaries for pair in alike_within(unique([s]), track)]
    yield from about("note", "alike", within, "picture", "looking like others of their folder", "", sign=" ~ ")
