"""Findings about the kinds of pictures: colour modes, bits, sizes and proportions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import median

from ganforge.builtin.datasets.inspection.picture import Picture
from ganforge.builtin.datasets.inspection.report import Examined, Finding, counted

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


def is_grey(picture: Picture) -> bool:
    """Whether the file has a single channel, apart from transparency."""
    return picture.mode in _GREY or picture.mode.startswith("I;16")


def _colours(data: Examined) -> Iterator[Finding]:
    """Pictures without colour where most have some."""
    grey: list[Picture] = []
    for summary in data.summaries:
        without = [picture for picture in summary.readable if picture.colourless and not picture.flat]
        if len(without) < _MOSTLY_COLOUR * len(summary.readable):
            grey += without
    if single := [picture for picture in grey if is_grey(picture)]:
        yield Finding(
            "warning",
            "single_channel",
            f"{counted(len(single), 'single-channel picture')} among coloured ones{_where(single, data)}",
            "a few do no harm; where only one domain has them, take them out, or train both with one channel",
            len(single),
            data.cases(single),
        )
    if stored := [picture for picture in grey if not is_grey(picture)]:
        yield Finding(
            "note",
            "colourless",
            f"{counted(len(stored), 'picture')} without colour, stored as if with{_where(stored, data)}",
            "a few do no harm; many are a domain of their own",
            len(stored),
            data.cases(stored),
        )


def _where(pictures: list[Picture], data: Examined) -> str:
    """` (trainA 8, trainB 54)`, where there are several folders."""
    if len(data.summaries) == 1:
        return ""
    chosen = {id(picture) for picture in pictures}
    counts = {s.folder.name: sum(id(picture) in chosen for picture in s.readable) for s in data.summaries}
    return " (" + ", ".join(f"{name} {count:,}" for name, count in counts.items() if count) + ")"


def _bits(data: Examined) -> Iterator[Finding]:
    deep = [picture for picture in data.readable if picture.bits > 8 and picture.mode != "F"]
    if dark := [picture for picture in deep if picture.highest < _DARK]:
        yield Finding(
            "warning",
            "nearly_black",
            f"{counted(len(dark), 'picture')} of more than 8 bits with low values only: training sees black",
            "scale their values to the whole range, and store 8 bits",
            len(dark),
            data.cases(dark),
        )
    if rest := [picture for picture in deep if picture.highest >= _DARK]:
        yield Finding(
            "note",
            "deep",
            f"{counted(len(rest), 'picture')} of more than 8 bits a channel; training rounds them to 8",
            "",
            len(rest),
            tuple(data.case(picture, detail=f"{picture.bits} bits") for picture in rest),
        )
    if floats := [picture for picture in data.readable if picture.mode == "F"]:
        yield Finding(
            "warning",
            "floats",
            f"{counted(len(floats), 'picture')} of floating-point numbers; training clips them to 0..255",
            "store them as 8 bits, scaled as you want them",
            len(floats),
            data.cases(floats),
        )


def _conversions(data: Examined) -> Iterator[Finding]:
    kinds: tuple[tuple[str, Callable[[Picture], bool], str, str], ...] = (
        (
            "cmyk",
            lambda picture: picture.mode == "CMYK",
            "in CMYK, converted without a colour profile: colours may be off",
            "convert them to RGB yourself",
        ),
        (
            "transparent",
            lambda picture: picture.transparent,
            "with transparent pixels, which are put on white",
            "put them on the ground that you want",
        ),
        (
            "animated",
            lambda picture: picture.animated,
            "animated: only the first frame is used",
            "save the other frames as files if you want them",
        ),
        ("rotated", lambda picture: picture.rotated, "turned upright as their EXIF data say", ""),
    )
    for kind, applies, text, cure in kinds:
        if affected := [picture for picture in data.readable if applies(picture)]:
            text = f"{counted(len(affected), 'picture')} {text}"
            yield Finding("note", kind, text, cure, len(affected), data.cases(affected))


def _sizes(data: Examined) -> Iterator[Finding]:
    pairs = data.layout.kind == "pairs"
    if pairs and (odd := [picture for picture in data.readable if _is_no_pair(picture, data)]):
        yield Finding(
            "warning",
            "no_pair",
            f"{counted(len(odd), 'picture')} of other proportions than the rest: perhaps no pairs side by side",
            "look at them; each must be two pictures of one size, one beside the other",
            len(odd),
            tuple(data.case(picture, detail=f"{picture.width}x{picture.height}") for picture in odd),
        )
    halves = 2 if pairs else 1
    small = [p for p in data.readable if min(p.width // halves, p.height) < data.crop_px]
    if small:
        yield Finding(
            "warning",
            "too_small",
            f"{counted(len(small), 'picture')} with a side below {data.crop_px} px: "
            "training enlarges them, and learns their blur",
            "use larger ones, or a smaller crop_px in the recipe (here: `--crop`)",
            len(small),
            tuple(data.case(picture, detail=f"{picture.width}x{picture.height}") for picture in small),
        )
    if far := [p for p in data.readable if not 1 / _SQUARE <= p.proportion / halves <= _SQUARE]:
        does = "squeezed to squares" if data.layout.squeezed else "cut to their centre squares"
        yield Finding(
            "note",
            "no_squares",
            f"{counted(len(far), 'picture')} far from square{_where(far, data)}: {does}",
            "crop them as you want them",
            len(far),
            tuple(data.case(picture, detail=f"{picture.width}x{picture.height}") for picture in far),
        )


def _is_no_pair(picture: Picture, data: Examined) -> bool:
    usual = median(other.proportion for other in data.readable)
    return picture.width % 2 == 1 or not usual / 1.1 <= picture.proportion <= usual * 1.1
