"""Looking at a dataset before training on it: what is in it, and what is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from ganforge import images
from ganforge.builtin.datasets.inspection import files, gaps, kinds, repeats
from ganforge.builtin.datasets.inspection.complaints import Complaints
from ganforge.builtin.datasets.inspection.layout import find_layout
from ganforge.builtin.datasets.inspection.picture import Picture, examine
from ganforge.builtin.datasets.inspection.progress import Track, silently
from ganforge.builtin.datasets.inspection.report import Case, Examined, Finding, Report, Severity, Summary

__all__ = ["SEVERITIES", "Case", "Examined", "Finding", "Report", "Severity", "Summary", "Track", "inspect"]

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
_CHUNK = 64


def inspect(root: Path, crop_px: int = 256, track: Track = silently) -> Report:
    """Decode every picture of a dataset, and report what is in it and what is wrong with it.

    Meanwhile standard error, the file descriptor, is kept back: C libraries complain there.

    Args:
        root: the folder that a recipe would name.
        crop_px: the side of a training sample, for what is too small.
        track: shows the progress.

    Raises:
        UsageError: there is no such folder, or no picture in it.
    """
    layout = find_layout(root)
    paths = {folder: images.list_images(folder.path) for folder in layout.folders}
    pictures = iter(examine_all([path for found in paths.values() for path in found], track))
    summaries = tuple(Summary(folder, tuple(islice(pictures, len(found)))) for folder, found in paths.items())
    data = Examined(layout, crop_px, summaries)
    measured = gaps.measure(data)
    found = [
        *files.findings(data),
        *repeats.findings(data, track),
        *gaps.findings(data, measured),
        *kinds.findings(data),
    ]
    return Report(data, measured, tuple(sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))))


def examine_all(paths: Sequence[Path], track: Track) -> list[Picture]:
    """What each file holds."""
    chunks = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    pictures: list[Picture] = []
    with Complaints() as complaints, ThreadPoolExecutor(os.cpu_count()) as pool:
        for chunk in track(chunks, "reading"):
            read = list(pool.map(examine, chunk))
            if complaints.taken():  # of which file, only reading one by one can tell
                for picture in read:
                    if picture.format == "JPEG" and not picture.fault:
                        picture.damage = complaints.about(picture.path)
            pictures += read
    return pictures
