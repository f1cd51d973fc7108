"""What an inspection tells: a summary of each folder, and findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from statistics import fmean, median, pstdev
from typing import Any, Literal, Protocol, TypeVar

from ganforge.builtin.datasets.inspection.picture import Picture
from ganforge.builtin.datasets.layout.model import Folder, Layout

Severity = Literal["error", "warning", "note"]
T = TypeVar("T")


class Track(Protocol):
    """Hands on a sequence's items, and shows how far it is with what."""

    def __call__(self, items: Sequence[T], what: str, /) -> Iterable[T]: ...


def silently(items: Sequence[T], what: str, /) -> Iterable[T]:
    """A `Track` that shows nothing."""
    return items


@dataclass(frozen=True)
class Case:
    """One instance of a finding: a file, or files that belong together."""

    files: tuple[str, ...]
    detail: str = ""


@dataclass(frozen=True)
class Finding:
    """Something to know before training.

    Attributes:
        severity: `error`: training would stop, or its test be void; `warning`: it may learn what was not meant.
        kind: the finding's name, for programs.
        text: one sentence.
        cure: what to do.
        count: how many files it concerns; 0 where it is about a domain as a whole.
        cases: all of them; paths are relative to the root.
        sign: stands between the files of a case.
    """

    severity: Severity
    kind: str
    text: str
    cure: str
    count: int = 0
    cases: tuple[Case, ...] = ()
    sign: str = " = "


@dataclass(frozen=True)
class Gap:
    """How far the domains of the lowest and the highest mean are apart.

    Attributes:
        spreads: the distance in pooled standard deviations of the pictures.
        error: the standard error of `spreads`, large where there are few pictures.
    """

    kind: str
    low: str
    high: str
    low_mean: float
    high_mean: float
    spreads: float
    error: float


@dataclass(frozen=True)
class Summary:
    """A folder and its pictures."""

    folder: Folder
    pictures: tuple[Picture, ...]

    @cached_property
    def readable(self) -> list[Picture]:
        """The pictures that training can read."""
        return [picture for picture in self.pictures if not picture.fault]

    @property
    def bytes(self) -> int:
        """The size of all files together."""
        return sum(picture.bytes for picture in self.pictures)

    def counts(self, attribute: Literal["format", "mode", "bits"]) -> dict[str, int]:
        """How often each value occurs, the most frequent first."""
        return dict(Counter(str(getattr(picture, attribute)) for picture in self.readable).most_common())

    @property
    def sizes(self) -> dict[str, int]:
        """How often each size occurs, as `256x256`, the most frequent first."""
        return dict(Counter(f"{picture.width}x{picture.height}" for picture in self.readable).most_common())

    @cached_property
    def brightness(self) -> tuple[float, float]:
        """The mean of the pictures' brightness, and its standard deviation between them; in [0, 1]."""
        values = [picture.brightness for picture in self.readable]
        return (fmean(values), pstdev(values)) if values else (0.0, 0.0)

    def as_json(self) -> dict[str, Any]:
        """For programs; what is measured of pictures is null where none can be read."""
        some = bool(self.readable)
        mean, spread = self.brightness
        return {
            "name": self.folder.name,
            "split": self.folder.split or None,
            "domain": self.folder.domain or None,
            "pictures": len(self.pictures),
            "unreadable": len(self.pictures) - len(self.readable),
            "bytes": self.bytes,
            "sizes": self.sizes,
            "shorter_side_px": _range([picture.shorter_px for picture in self.readable]),
            "longer_side_px": _range([max(picture.width, picture.height) for picture in self.readable]),
            "width_to_height": _range([round(picture.proportion, 4) for picture in self.readable]),
            "formats": self.counts("format"),
            "modes": self.counts("mode"),
            "bits": self.counts("bits"),
            "brightness": {"mean": round(mean, 4), "spread": round(spread, 4)} if some else None,
            "mean_rgb": [round(c, 4) for c in mean_rgb(self.readable)] if some else None,
        }


def mean_rgb(pictures: Sequence[Picture]) -> list[float]:
    """The mean colour of pictures, each counting the same, whatever its size."""
    return [fmean(channel) for channel in zip(*(picture.mean_rgb for picture in pictures), strict=True)]


def _range(values: Sequence[float]) -> dict[str, float] | None:
    return {"min": min(values), "median": median(values), "max": max(values)} if values else None


@dataclass(frozen=True)
class Examined:
    """A dataset's pictures, all looked at: what findings are drawn from."""

    layout: Layout
    crop_px: int
    summaries: tuple[Summary, ...]
    fit: str | None = None
    """How a recipe brings pictures to its samples' proportions; None: as datasets do by themselves."""
    proportion: float = 1.0
    """Width to height of samples."""

    @cached_property
    def readable(self) -> list[Picture]:
        """The pictures of all folders that training can read."""
        return [picture for summary in self.summaries for picture in summary.readable]

    @property
    def pictures(self) -> int:
        """How many files there are."""
        return sum(len(summary.pictures) for summary in self.summaries)

    def case(self, *pictures: Picture, detail: str = "") -> Case:
        """Pictures that make up one case."""
        root = self.layout.root
        return Case(tuple(picture.path.relative_to(root).as_posix() for picture in pictures), detail)

    def finding(
        self,
        severity: Severity,
        kind: str,
        pictures: Sequence[Picture],
        text: str,
        cure: str,
        detail: Callable[[Picture], str] = lambda picture: "",
    ) -> Iterator[Finding]:
        """A finding about single pictures, if there are any; its text goes on after `7 pictures`."""
        cases = [self.case(picture, detail=detail(picture)) for picture in pictures]
        return about(severity, kind, cases, "picture", text, cure)


@dataclass(frozen=True)
class Report:
    """All that was found in a dataset, the most severe first."""

    data: Examined
    gaps: tuple[Gap, ...]
    findings: tuple[Finding, ...]

    def count(self, severity: Severity) -> int:
        """How many findings are as severe as this."""
        return sum(finding.severity == severity for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """For programs: the keys stay."""
        return {
            "root": str(self.data.layout.root),
            "layout": self.data.layout.kind,
            "crop_px": self.data.crop_px,
            "remarks": self.data.layout.remarks(),
            "pictures": self.data.pictures,
            "folders": [summary.as_json() for summary in self.data.summaries],
            "gaps": [asdict(gap) for gap in self.gaps],
            "findings": [{k: v for k, v in asdict(finding).items() if k != "sign"} for finding in self.findings],
        }


def about(
    severity: Severity, kind: str, cases: Sequence[Case], what: str, text: str, cure: str, sign: str = " = "
) -> Iterator[Finding]:
    """A finding about these cases, if there are any; its text goes on after `7 pictures`, or whatever they are."""
    if cases:
        yield Finding(severity, kind, f"{counted(len(cases), what)} {text}", cure, len(cases), tuple(cases), sign)


def counted(count: int, what: str) -> str:
    """`1 picture`, `1,067 pictures`."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
