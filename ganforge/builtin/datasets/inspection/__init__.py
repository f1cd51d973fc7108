"""Looking at a dataset before training on it: what is in it, and what is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from ganforge import UsageError, images
from ganforge.builtin.datasets.framing import Framing
from ganforge.builtin.datasets.inspection import copies, files, gaps, kinds
from ganforge.builtin.datasets.inspection.complaints import Complaints
from ganforge.builtin.datasets.inspection.picture import Picture, examine
from ganforge.builtin.datasets.inspection.report import (
    Case,
    Examined,
    Finding,
    Report,
    Severity,
    Summary,
    Track,
    silently,
)
from ganforge.builtin.datasets.layout.model import KINDS, Folder, Kind, Layout
from ganforge.builtin.datasets.layout.reading import find_layout, read_layout

__all__ = ["KINDS", "SEVERITIES", "Case", "Examined", "Finding", "Report", "Severity", "Summary", "Track", "inspect"]

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
_CHUNK = 64


def inspect(
    root: Path | Layout,
    crop_px: int = 256,
    track: Track = silently,
    kind: Kind | None = None,
    storage_of: Callable[[Folder], images.Storage] | None = None,
    framing: Framing | None = None,
) -> Report:
    """Decode every picture of a dataset, and report what is in it and what is wrong with it.

    Meanwhile standard error, the file descriptor, is kept back: C libraries complain there.

    Args:
        root: the folder that a recipe would name, or what a dataset found there.
        crop_px: the side of a training sample, for what is too small.
        track: shows the progress.
        kind: of the layout, where the folders' names tell none or two.
        storage_of: how the pictures of a folder are stored, where a recipe says so.
        framing: how pictures are brought to a size, where a recipe says so.

    Raises:
        UsageError: there is no such folder, no picture in it, or it could be read in two ways.
        EnvironmentFault: a folder cannot be read.
    """
    if isinstance(root, Layout):
        layout = root
    elif kind is None:
        layout = find_layout(root)
    else:
        layout = read_layout(root, kind)
    if not any(folder.found.pictures for folder in layout.folders):
        reason = f"\n  {layout.faults[0]}" if layout.faults else ""
        raise UsageError(f"there are no pictures in {layout.root}, read as {layout.kind}{reason}")
    proportion, fit = (framing.crop[1] / framing.crop[0], framing.fit) if framing else (1.0, None)
    data = Examined(layout, crop_px, _summaries(layout, track, storage_of), fit, proportion)
    measured = gaps.measure(data)
    found = [
        *files.findings(data),
        *copies.findings(data, track),
        *gaps.findings(data, measured),
        *kinds.findings(data),
    ]
    return Report(data, measured, tuple(sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))))


def _summaries(
    layout: Layout, track: Track, storage_of: Callable[[Folder], images.Storage] | None
) -> tuple[Summary, ...]:
    """What the files of each folder hold."""
    paths = {folder: folder.found.pictures for folder in layout.folders}
    stored = {folder: storage_of(folder) if storage_of else None for folder in paths}
    pictures = iter(examine_all([(path, stored[folder]) for folder, found in paths.items() for path in found], track))
    return tuple(Summary(folder, tuple(islice(pictures, len(found)))) for folder, found in paths.items())


def examine_all(paths: Sequence[tuple[Path, images.Storage | None]], track: Track) -> list[Picture]:
    """What each file holds, as it is stored."""
    chunks = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    pictures: list[Picture] = []
    with Complaints() as complaints, ThreadPoolExecutor(os.cpu_count()) as pool:
        for chunk in track(chunks, "reading"):
            read = list(pool.map(lambda each: examine(*each), chunk))
            if complaints.taken():  # of which file, only reading one by one can tell
                for picture in read:
                    if picture.format == "JPEG" and not picture.fault:
                        picture.damage = complaints.about(picture.path)
            pictures += read
    return pictures
