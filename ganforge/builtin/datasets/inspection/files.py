"""Findings about folders and files: what is missing, broken or not read."""

from __future__ import annotations

from collections.abc import Iterator

from ganforge.builtin.datasets.inspection.picture import Picture
from ganforge.builtin.datasets.inspection.report import Case, Examined, Finding, about, counted
from ganforge.builtin.datasets.layout.model import unread_pictures

_SUFFIXES = {
    "JPEG": {".jpg", ".jpeg"},
    "MPO": {".jpg", ".jpeg"},
    "PNG": {".png"},
    "WEBP": {".webp"},
    "BMP": {".bmp"},
    "TIFF": {".tif", ".tiff"},
    "GIF": {".gif"},
}


def findings(data: Examined) -> Iterator[Finding]:
    """What is missing, broken, damaged, blank, misnamed or left out."""
    yield from _folders(data)
    yield from _broken(data)
    yield from _left_out(data)


def _folders(data: Examined) -> Iterator[Finding]:
    layout = data.layout
    needed = layout.needed(layout.splits)
    if lacking := [f"{split}{domain}" for split, domain in needed if layout.of_domain(split, domain) is None]:
        yield Finding(
            "error",
            "missing_folder",
            f"there is no {' and no '.join(lacking)}",
            "training needs trainA and trainB, or train with pairs; of val and test both domains or none",
            len(lacking),
        )
    for fault in layout.faults:  # what else the datasets refuse: each kind as one finding
        if fault.kind not in ("missing_folder", "empty_folder"):
            cases = tuple(Case((path.relative_to(layout.root).as_posix(),)) for path in fault.files)
            yield Finding("error", fault.kind, fault.text, fault.cure, len(cases), cases)
    if empty := tuple(Case((summary.folder.name,)) for summary in data.summaries if not summary.pictures):
        text = f"no pictures in {counted(len(empty), 'folder')}"
        yield Finding("error", "empty_folder", text, "put some there, or remove it", len(empty), empty)
    if layout.squeezed and not any(summary.folder.held_out for summary in data.summaries):
        yield Finding(
            "note",
            "nothing_held_out",
            "there are no validation or test pictures: panels and metrics will use training pictures",
            "keep some pictures from training: testA and testB, or test with pairs",
        )


def _broken(data: Examined) -> Iterator[Finding]:
    yield from data.finding(
        "error",
        "unreadable",
        [picture for summary in data.summaries for picture in summary.pictures if picture.fault],
        "cannot be read: training would stop there",
        "replace them, or take them out",
        lambda picture: picture.fault,
    )
    yield from data.finding(
        "warning",
        "damaged",
        [picture for picture in data.readable if picture.damage],
        "readable but with signs of damage: parts may be grey or torn",
        "look at them; replace them, or take them out",
        lambda picture: picture.damage,
    )
    yield from data.finding(
        "warning",
        "blank",
        [picture for picture in data.readable if picture.bits <= 8 and picture.flat],
        "of one flat colour",
        "take them out, unless they belong there",
    )
    yield from data.finding(
        "note",
        "misnamed",
        [picture for picture in data.readable if _is_misnamed(picture)],
        "named for another format, which training does not mind",
        "",
        lambda picture: f"is {picture.format}",
    )


def _is_misnamed(picture: Picture) -> bool:
    return picture.path.suffix.lower() not in _SUFFIXES.get(picture.format, {picture.path.suffix.lower()})


def _left_out(data: Examined) -> Iterator[Finding]:
    root = data.layout.root
    left_out = [path for summary in data.summaries for path in unread_pictures(summary.folder)]
    cases = [Case((path.relative_to(root).as_posix(),)) for path in left_out]
    text, cure = "in formats that training does not look for", "convert them to PNG or JPEG"
    yield from about("warning", "left_out", cases, "picture", text, cure)
