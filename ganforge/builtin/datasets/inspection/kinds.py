"""Findings about the kinds of pictures: colour modes, bits, sizes and proportions."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from ganforge.builtin.datasets.inspection.picture import Picture
from ganforge.builtin.datasets.inspection.report import Examined, Finding

_GREY = frozenset(("1", "L", "LA", "I", "F"))
_MOSTLY_COLOUR = 0.5  # the share of colourless pictures below which they are the exception
_SQUARE = 1.25  # how far from a square is told, either way
_DARK = 32  # of 255: what twelve bits stored as sixteen do not exceed


def findings(data: Examined) -> Iterator[Finding]:
    """What the pictures' modes, bits and sizes mean for training."""
    yield from _colours(data)
    yield from _bits(data)
    yield from _conversions(data)
    yield from _sizes(data)


def _is_grey(picture: Picture) -> bool:
    """Whether the file has a single channel, apart from transparency."""
    return picture.mode in _GREY or picture.mode.startswith("I;16")


def _size(picture: Picture) -> str:
    return f"{picture.width}x{picture.height}"


def _where(pictures: list[Picture], data: Examined) -> str:
    """` (trainA 8, trainB 54)`, where there are several folders."""
    if len(data.summaries) == 1:
        return ""
    chosen = {id(picture) for picture in pictures}
    counts = {s.folder.name: sum(id(picture) in chosen for picture in s.readable) for s in data.summaries}
    return " (" + ", ".join(f"{name} {count:,}" for name, count in counts.items() if count) + ")"


def _colours(data: Examined) -> Iterator[Finding]:
    """Pictures without colour where most have some."""
    grey: list[Picture] = []
    for summary in data.summaries:
        without = [each for each in summary.readable if each.colourless and not each.flat and not each.stored]
        if len(without) < _MOSTLY_COLOUR * len(summary.readable):
            grey += without
    single = [picture for picture in grey if _is_grey(picture)]
    stored = [picture for picture in grey if not _is_grey(picture)]
    yield from data.finding(
        "warning",
        "single_channel",
        single,
        f"of a single channel among coloured ones{_where(single, data)}",
        "a few do no harm; where only one domain has them, take them out, or train both with one channel",
    )
    yield from data.finding(
        "note",
        "colourless",
        stored,
        f"without colour, stored as if with{_where(stored, data)}",
        "a few do no harm; many are a domain of their own",
    )


def _bits(data: Examined) -> Iterator[Finding]:
    deep = [picture for picture in data.readable if picture.bits > 8 and not picture.stored]
    yield from data.finding(
        "warning",
        "nearly_black",
        [picture for picture in deep if picture.highest < _DARK],
        "of more than 8 bits with low values only: training sees black",
        "scale their values to the whole range, and store 8 bits",
    )
    yield from data.finding(
        "note",
        "deep",
        [picture for picture in deep if picture.highest >= _DARK],
        "of more than 8 bits a channel; training rounds them to 8",
        "",
        lambda picture: f"{picture.bits} bits",
    )


def _conversions(data: Examined) -> Iterator[Finding]:
    yield from data.finding(
        "note",
        "cmyk",
        [picture for picture in data.readable if picture.mode == "CMYK"],
        "in CMYK, converted without a colour profile: colours may be off",
        "convert them to RGB yourself",
    )
    yield from data.finding(
        "note",
        "transparent",
        [picture for picture in data.readable if picture.transparent],
        "with transparent pixels, which are put on white",
        "put them on the ground that you want",
    )
    yield from data.finding(
        "note",
        "more_channels",
        [picture for picture in data.readable if picture.more_channels],
        "with more channels than colours, which are not read",
        "save what you need of them as pictures",
        lambda picture: f"{picture.more_channels} more",
    )
    yield from data.finding(
        "note",
        "animated",
        [picture for picture in data.readable if picture.animated],
        "with several frames, of which only the first is used",
        "save the others as files if you want them",
    )
    rotated = [picture for picture in data.readable if picture.rotated]
    yield from data.finding("note", "rotated", rotated, "turned upright as their EXIF data say", "")


def _sizes(data: Examined) -> Iterator[Finding]:
    halves = 2 if data.layout.kind == "pairs" else 1
    if halves == 2:
        yield from _no_pairs(data)
    yield from data.finding(
        "warning",
        "too_small",
        [p for p in data.readable if min(p.width // halves, p.height) < data.crop_px],
        f"with a side below {data.crop_px} px: training enlarges them, and learns their blur",
        "use larger ones, or a smaller crop_px in the recipe (here: `--crop`)",
        _size,
    )
    far = [p for p in data.readable if not 1 / _SQUARE <= p.proportion / halves / data.proportion <= _SQUARE]
    fit = data.fit or ("squeeze" if data.layout.squeezed else "cover")
    square = data.proportion == 1
    own, squares = ("square", "squares") if square else ("the proportions of samples", "these")
    centre = "cut to their centre squares" if square else "cut to these, evenly"
    does = {"squeeze": f"squeezed to {squares}", "cover": centre, "contain": "filled up with black"}
    if fit in does:
        text = f"far from {own}{_where(far, data)}: {does[fit]}"
        yield from data.finding("note", "no_squares", far, text, "crop them as you want them", _size)


def _no_pairs(data: Examined) -> Iterator[Finding]:
    usual = median([picture.proportion for picture in data.readable] or [2])
    yield from data.finding(
        "warning",
        "no_pair",
        [p for p in data.readable if p.width % 2 or not usual / 1.1 <= p.proportion <= usual * 1.1],
        "of other proportions than the rest: perhaps no pairs side by side",
        "look at them; each must be two pictures of one size, one beside the other",
        _size,
    )
